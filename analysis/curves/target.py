"""A run that is to be predicted: its schedule, and the steps at which its losses will be logged."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.from_runs import Losses, rates_of, times_of
from windtunnel.analysis.laws.law import Array
from windtunnel.train.schedules import Schedule


@dataclass(frozen=True)
class CurveTarget:
    """`runs` are equal but for their seed. `blank` is the curve with NaN for losses; `rate` the peak rate at the
    parametrization's base width.
    """

    name: str
    runs: tuple[str, ...]
    schedule: Mapping[str, Any]
    rate: float
    blank: Curve


def curve_target(
    name: str,
    runs: tuple[str, ...],
    schedule: Schedule,
    rate: float,
    size: float,
    batch: float,
    losses: Losses,
    evaluated_steps: list[int],
    every_steps: int,
) -> CurveTarget:
    """The curve that runs of this schedule will have."""
    time_P = logged_times(schedule, losses, evaluated_steps, every_steps)
    unknown_P = np.full(len(time_P), np.nan)
    blank = Curve(name, rates_of(schedule, rate), time_P, unknown_P, size, batch, losses=losses)
    return CurveTarget(name, runs, asdict(schedule), rate, blank)


def logged_times(schedule: Schedule, losses: Losses, evaluated_steps: list[int], every_steps: int) -> Array:
    """Of the losses after the warm-up, (P,). Validation losses are of the model after `evaluated_steps`; a line of the
    training curve is the mean of `every_steps` steps.
    """
    lines = [*range(every_steps, schedule.total_steps, every_steps), schedule.total_steps]
    time_P = times_of(np.array(evaluated_steps if losses == "validation" else lines, dtype=np.float64), losses)
    return time_P[time_P >= max(schedule.warmup_steps, 1)]
