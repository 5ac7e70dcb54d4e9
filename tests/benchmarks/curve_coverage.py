"""Coverage of the 90 % interval of a predicted final loss, for a new run under a schedule that was not fitted.

The truth is the annealing law. The seed of a run shifts its whole curve, and each point has its own noise. Part of
the shift is common to all schedules of a seed, as in runs that share a trunk. Constant, cosine and two-stage runs are
fitted; the new run decays from a plateau.

The baseline is the interval of the bootstrap over curves alone, without the deviation of whole curves from the law.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.ensemble import member_scores
from windtunnel.analysis.curves.fit import fit_curve_law
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.schedule_sums import LearningRates

TRUTH = {"L0": 1.1, "A": 0.8, "C": 0.3, "alpha": 0.35, "memory": 80.0}
PEAK, WARMUP, UPDATES, EVERY = 1.2e-2, 400, 2400, 80
SHARED = 0.7  # share of the variance between seeds that is common to the schedules of a seed
CASES = {
    "1 seed, 0.5 %": (1, 0.005),
    "2 seeds, 0.5 %": (2, 0.005),
    "4 seeds, 0.5 %": (4, 0.005),
    "2 seeds, 1 %": (2, 0.01),
}
POINT_NOISE = 0.003


def schedule(name: str) -> LearningRates:
    step_S = np.arange(UPDATES)
    along_S = np.clip((step_S - WARMUP) / (UPDATES - WARMUP), 0, 1)
    shape_S = {
        "constant": np.ones(UPDATES),
        "cosine": 0.55 + 0.45 * np.cos(np.pi * along_S),
        "two-stage": np.where(along_S < 0.5, 1.0, 0.3),
        "decay": 1 - np.sqrt(np.clip((along_S - 0.75) / 0.25, 0, 1)),
    }[name]
    return LearningRates.from_updates(PEAK * np.minimum((step_S + 1) / (WARMUP + 1), 1) * shape_S, WARMUP)


RATES = {name: schedule(name) for name in ("constant", "cosine", "two-stage", "decay")}


def run(name: str, offset: float, generator: np.random.Generator) -> LossCurve:
    time_P = np.arange(WARMUP + EVERY, UPDATES + 1, EVERY, dtype=np.float64)
    blank = LossCurve(f"{name} {offset}", RATES[name], time_P, np.full(len(time_P), np.nan))
    loss_P = np.asarray(curve_law("annealing").predict(TRUTH, blank))
    return replace(blank, loss_P=loss_P * np.exp(offset + POINT_NOISE * generator.standard_normal(len(time_P))))


def study(seeds: int, noise: float, number: int) -> tuple[bool, bool, float]:
    """Whether the interval and the baseline cover the last loss of the new run, and the interval's relative width."""
    generator = np.random.default_rng((number, seeds))

    def offsets(names: Sequence[str]) -> list[float]:
        common = noise * SHARED**0.5 * generator.standard_normal()
        return [common + noise * (1 - SHARED) ** 0.5 * generator.standard_normal() for _ in names]

    names = ("constant", "cosine", "two-stage")
    curves = [
        run(name, offset, generator) for _ in range(seeds) for name, offset in zip(names, offsets(names), strict=True)
    ]
    fit = fit_curve_law(curve_law("annealing"), curves)
    fitted = FittedCurveLaw.from_fit(fit, curves, 100, number, member_scores(fit, curves, None, ()))
    new = run("decay", offsets(("decay",))[0], generator)
    low, high = fitted.predict(new).interval_90 or (np.nan, np.nan)
    baseline_low, baseline_high = np.quantile(fitted.final_losses(new), [0.05, 0.95])
    last = float(new.loss_P[-1])
    return low <= last <= high, bool(baseline_low <= last <= baseline_high), (high - low) / last


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200, help="noisy studies of each case; default 200")
    num_studies = parser.parse_args(arguments).studies
    print(f"{num_studies} studies; baseline: bootstrap over curves alone")
    print(f"{'case':<16} {'covered':>8} {'baseline':>9} {'width':>8}")
    for name, (seeds, noise) in CASES.items():
        start = time.process_time()
        covered, baseline, width = np.mean([study(seeds, noise, number) for number in range(num_studies)], axis=0)
        seconds = time.process_time() - start
        print(f"{name:<16} {covered:8.1%} {baseline:9.1%} {width:8.2%}   {seconds:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
