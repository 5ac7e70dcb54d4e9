"""How often the 90 % interval of a predicted final loss holds that of a new run under a schedule that was not fitted.

Truth is the annealing law. A run's curve is moved as a whole by its seed, and each point by noise of its own; the same
seed moves all schedules alike in part, as runs that share a trunk do. Fitted are constant, cosine
and two-stage runs; the new run decays from a plateau. The peer is the interval of the bootstrap alone, without how far
whole curves lay from the law.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.ensemble import validated
from windtunnel.analysis.curves.fit import fit_curves
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.predict import predict_curve
from windtunnel.analysis.curves.result import fitted_curves
from windtunnel.analysis.curves.schedule_sums import Rates

TRUTH = {"L0": 1.1, "A": 0.8, "C": 0.3, "alpha": 0.35, "memory": 80.0}
PEAK, WARMUP, UPDATES, EVERY = 1.2e-2, 400, 2400, 80
SHARED = 0.7  # of the variance between seeds: alike under every schedule of a size and seed
CASES = {
    "1 seed, .5 %": (1, 0.005),
    "2 seeds, .5 %": (2, 0.005),
    "4 seeds, .5 %": (4, 0.005),
    "2 seeds, 1 %": (2, 0.01),
}
POINT_NOISE = 0.003


def schedule(name: str) -> Rates:
    step_S = np.arange(UPDATES)
    along_S = np.clip((step_S - WARMUP) / (UPDATES - WARMUP), 0, 1)
    shape_S = {
        "constant": np.ones(UPDATES),
        "cosine": 0.55 + 0.45 * np.cos(np.pi * along_S),
        "two-stage": np.where(along_S < 0.5, 1.0, 0.3),
        "decay": 1 - np.sqrt(np.clip((along_S - 0.75) / 0.25, 0, 1)),
    }[name]
    return Rates.of_updates(PEAK * np.minimum((step_S + 1) / (WARMUP + 1), 1) * shape_S, WARMUP)


RATES = {name: schedule(name) for name in ("constant", "cosine", "two-stage", "decay")}


def run(name: str, offset: float, generator: np.random.Generator) -> Curve:
    time_P = np.arange(WARMUP + EVERY, UPDATES + 1, EVERY, dtype=np.float64)
    blank = Curve(f"{name} {offset}", RATES[name], time_P, np.full(len(time_P), np.nan))
    loss_P = np.asarray(curve_law("annealing").predict(TRUTH, blank))
    return replace(blank, loss_P=loss_P * np.exp(offset + POINT_NOISE * generator.standard_normal(len(time_P))))


def study(seeds: int, noise: float, number: int) -> tuple[bool, bool, float]:
    """Whether the interval and the bootstrap's own hold the new run's last loss, and the interval's relative width."""
    generator = np.random.default_rng((number, seeds))

    def offsets(names: Sequence[str]) -> list[float]:
        common = noise * SHARED**0.5 * generator.standard_normal()
        return [common + noise * (1 - SHARED) ** 0.5 * generator.standard_normal() for _ in names]

    names = ("constant", "cosine", "two-stage")
    curves = [
        run(name, offset, generator) for _ in range(seeds) for name, offset in zip(names, offsets(names), strict=True)
    ]
    fit = fit_curves(curve_law("annealing"), curves)
    fitted = fitted_curves(fit, curves, 100, number, validated(fit, curves, None, ()))
    new = run("decay", offsets(("decay",))[0], generator)
    found = predict_curve(fitted, new)
    low, high = found.interval_90 or (np.nan, np.nan)
    alone_low, alone_high = np.quantile(fitted.final_losses(new), [0.05, 0.95])
    last = float(new.loss_P[-1])
    return low <= last <= high, bool(alone_low <= last <= alone_high), (high - low) / last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200)
    number = parser.parse_known_args()[0].studies
    print(f"{number} studies; peer: the bootstrap over curves alone")
    print(f"{'case':<16} {'holds':>7} {'peer':>7} {'width':>8}")
    for name, (seeds, noise) in CASES.items():
        began = time.process_time()
        found = [study(seeds, noise, each) for each in range(number)]
        holds, peer, width = (np.mean([each[place] for each in found]) for place in range(3))
        seconds = time.process_time() - began
        print(f"{name:<16} {holds:7.1%} {peer:7.1%} {width:8.2%}   {seconds:.0f} s of a processor", flush=True)


if __name__ == "__main__":
    main()
