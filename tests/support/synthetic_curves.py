"""Schedules written out update by update, and the loss curves of laws with known parameters under them.

Legend: S updates, P points, G times of a grid.
"""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.curves.monitoring.forecast import CORRELATION_LENGTH
from windtunnel.analysis.curves.schedule_sums import LearningRates

Array = NDArray[np.float64]

PEAK, WARMUP, UPDATES = 1e-3, 60, 3000
EVERY = 10  # steps of a line of a training curve
TRUTH: dict[str, dict[str, float]] = {
    "annealing": {"L0": 2.7, "A": 0.6, "C": 2.0, "alpha": 0.45, "memory": 150.0},
    "instantaneous": {"L0": 2.5, "A": 0.6, "B": 0.15, "alpha": 0.45, "g": 0.8},
    "last-window": {"L0": 2.6, "A": 9.0, "alpha": 0.5},
    "multi-power": {"L0": 2.7, "A": 0.6, "B": 150.0, "alpha": 0.45, "C": 1.5, "beta": 0.6, "gamma": 0.5},
    "sublinear": {
        "L0": 2.7,
        "A": 1.5,
        "B": 20.0,
        "alpha": 0.5,
        "progress_exponent": 0.6,
        "noise_exponent": 0.7,
        "memory": 0.02,
    },
    "functional": {"L0": 2.6, "A": 4.0, "F": 0.3, "B": 0.05, "s": 0.5, "p": 1.5, "tau": 0.02},
    "trajectory": {"L0": 2.7, "S_c": 300.0, "alpha_S": 0.5},
}


def schedules(updates: int = UPDATES) -> dict[str, Array]:
    """The rate of every update: constant, cosine to a tenth, two stages, and a plateau that decays."""
    step_S = np.arange(updates)
    warmup_S = np.minimum(step_S / WARMUP, 1.0)
    share_S = np.clip((step_S - WARMUP) / (updates - 1 - WARMUP), 0, 1)
    shapes = {
        "constant": np.ones(updates),
        "cosine": 0.55 + 0.45 * np.cos(np.pi * share_S),
        "two-stage": np.where(step_S < updates // 3, 1.0, 0.3),
        "decay": np.where(step_S < 0.7 * updates, 1.0, np.maximum(1 - (step_S / updates - 0.7) / 0.33, 0.05)),
    }
    return {name: PEAK * warmup_S * shape_S for name, shape_S in shapes.items()}


def make_query(name: str, every: int = 40, rates: LearningRates | None = None) -> LossCurve:
    """The times of a schedule at which a law is evaluated."""
    rates = LearningRates.from_updates(schedules()[name]) if rates is None else rates
    return LossCurve.query(name, rates, np.arange(WARMUP + every, rates.num_updates + 1, every, dtype=np.float64))


def with_law_losses(law: CurveLaw, values: dict[str, float], query: LossCurve) -> LossCurve:
    """The curve with exactly the losses of the law."""
    return replace(query, loss_P=np.asarray(law.predict(values, query), dtype=np.float64))


def make_curve(law: str, schedule: str, every: int = 40) -> LossCurve:
    """The noiseless curve of a law with its `TRUTH`."""
    return with_law_losses(curve_law(law), TRUTH[law], make_query(schedule, every))


def line_times(updates: int = UPDATES) -> Array:
    """The times of the lines of a training curve, each a mean over `EVERY` steps, after the warm-up."""
    time_P = np.arange(EVERY, updates + 1, EVERY) - (EVERY + 1) / 2
    return time_P[time_P >= WARMUP]


def make_forecast_query(name: str, updates: int = UPDATES) -> LossCurve:
    """The whole schedule on a grid that ends at the last line."""
    last = float(line_times(updates)[-1])
    time_G = np.unique(np.concatenate([np.linspace(WARMUP, last, 256), np.geomspace(WARMUP, last, 128)[1:-1]]))
    return LossCurve.query(name, LearningRates.from_updates(schedules(updates)[name], WARMUP), time_G)


def make_noisy_curve(
    name: str,
    generator: np.random.Generator,
    run_noise: float,
    point_noise: float,
    *,
    truth: dict[str, float] | None = None,
    updates: int = UPDATES,
    wander: bool = False,
) -> LossCurve:
    """A training curve of the annealing law, or of other parameters of it, with noise of the points and a deviation of
    the run, which is constant or wanders.
    """
    rates = LearningRates.from_updates(schedules(updates)[name], WARMUP)
    query = LossCurve.query(name, rates, line_times(updates))
    deviation_P = run_noise * generator.standard_normal(1) * np.ones(query.num_points)
    if wander:
        correlation = np.exp(-EVERY / updates / CORRELATION_LENGTH)
        step_P = run_noise * np.sqrt(1 - correlation**2) * generator.standard_normal(query.num_points)
        for index in range(1, query.num_points):
            deviation_P[index] = correlation * deviation_P[index - 1] + step_P[index]
    curve = with_law_losses(curve_law("annealing"), truth or TRUTH["annealing"], query)
    noise_P = deviation_P + point_noise * generator.standard_normal(query.num_points)
    return replace(curve, loss_P=curve.loss_P * np.exp(noise_P))


def write_curve(path: Path, curve: LossCurve) -> Path:
    """Rows as other programs log them: the rate of a row is that of the update that follows its step."""
    rate_P = np.interp(curve.time_P, curve.rates.step_J, curve.rates.rate_J)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "lr", "loss"])
        for step, rate, loss in zip(curve.time_P, rate_P, curve.loss_P, strict=True):
            writer.writerow([int(step), repr(float(rate)), repr(float(loss))])
    return path
