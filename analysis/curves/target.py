"""A run whose loss curve is to be predicted: its schedule, and the steps at which its losses will be logged.

Legend: P points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve, LossKind
from windtunnel.analysis.curves.from_runs import learning_rates, times_of_steps
from windtunnel.analysis.laws.law import Array
from windtunnel.train.schedules import Schedule


@dataclass(frozen=True)
class CurveTarget:
    """runs: ids of the runs, which differ in their seed alone. rate: peak rate at the base width of the
    parametrization. query: the times at which the losses are predicted.
    """

    name: str
    runs: tuple[str, ...]
    schedule: Mapping[str, Any]
    rate: float
    query: LossCurve


def curve_target(
    name: str,
    runs: tuple[str, ...],
    schedule: Schedule,
    rate: float,
    size: float,
    batch: float,
    losses: LossKind,
    evaluated_steps: Sequence[int],
    every_steps: int,
) -> CurveTarget:
    """The target of runs with this schedule, predicted at the times at which they log their losses."""
    time_P = logged_times(schedule, losses, evaluated_steps, every_steps)
    query = LossCurve.query(name, learning_rates(schedule, rate), time_P, size, batch, losses)
    return CurveTarget(name, runs, asdict(schedule), rate, query)


def logged_times(schedule: Schedule, losses: LossKind, evaluated_steps: Sequence[int], every_steps: int) -> Array:
    """The times of the losses after the warm-up: (P,). Validation losses are evaluated after `evaluated_steps`; a line
    of the training curve is the mean over `every_steps` steps.
    """
    lines = [*range(every_steps, schedule.total_steps, every_steps), schedule.total_steps]
    step_P = np.array(evaluated_steps if losses == "validation" else lines, dtype=np.float64)
    time_P = times_of_steps(step_P, losses)
    return time_P[time_P >= max(schedule.warmup_steps, 1)]
