"""Noisy curves as runs log them: lines of ten steps, a distance from the law of their own, and the noise of points.

Legend: P points, G times of a grid.
"""

import numpy as np
from numpy.typing import NDArray

from tests.support.made_curves import PEAK, UPDATES, WARMUP, schedules
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.monitoring.forecast import MEMORY
from windtunnel.analysis.curves.schedule_sums import Rates

__all__ = ["PEAK", "TRUTH", "logged", "point_times", "whole"]
TRUTH = {"L0": 2.7, "A": 0.6, "C": 2.0, "alpha": 0.45, "memory": 150.0}
EVERY = 10


def point_times(updates: int = UPDATES) -> NDArray[np.float64]:
    """The middles of lines of ten steps, after the warm-up."""
    time_P = np.arange(EVERY, updates + 1, EVERY) - (EVERY + 1) / 2
    return time_P[time_P >= WARMUP]


def whole(name: str, updates: int = UPDATES) -> Curve:
    """The schedule on a grid, without losses."""
    last = float(point_times(updates)[-1])
    time_G = np.unique(np.concatenate([np.linspace(WARMUP, last, 256), np.geomspace(WARMUP, last, 128)[1:-1]]))
    return Curve(name, Rates.of_updates(schedules(updates)[name], WARMUP), time_G, np.full(len(time_G), np.nan))


def logged(
    name: str,
    generator: np.random.Generator,
    between: float,
    noise: float,
    *,
    truth: dict[str, float] | None = None,
    updates: int = UPDATES,
    wander: bool = False,
) -> Curve:
    """A curve of the law (other constants with `truth`); its distance from it is steady, or wanders."""
    rates = Rates.of_updates(schedules(updates)[name], WARMUP)
    time_P = point_times(updates)
    blank = Curve(name, rates, time_P, np.full(len(time_P), np.nan))
    distance_P = between * generator.standard_normal(1) * np.ones(len(time_P))
    if wander:
        keep = np.exp(-EVERY / updates / MEMORY)
        step_P = between * np.sqrt(1 - keep**2) * generator.standard_normal(len(time_P))
        for place in range(1, len(time_P)):
            distance_P[place] = keep * distance_P[place - 1] + step_P[place]
    loss_P = curve_law("annealing").predict(truth or TRUTH, blank)
    loss_P = loss_P * np.exp(distance_P + noise * generator.standard_normal(len(time_P)))
    return Curve(name, rates, time_P, loss_P)
