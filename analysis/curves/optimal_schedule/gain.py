"""The gain of one schedule over another under a fitted law with its uncertainty, and warnings about optimal schedules
at the edge of what the law was fitted to.

Legend: J updates between which the rate is linear, P points along a schedule, R replicates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.predict import INTERVAL_LEVEL
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.laws.law import Array
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import Schedule, multiplier

NUM_POINTS = 2000  # at which a schedule is inspected
HELD_MULTIPLIER, HELD_FRACTION = 0.99, 0.98  # a schedule that is at its peak for nearly the whole run
JUMP, JUMP_LENGTH = 0.3, 0.01  # a drop by this multiplier within this fraction of the run
MIN_RATE_FACTOR, MIN_RATE_FRACTION = 1.5, 0.02  # at most this times the lowest multiplier, for this part of the run


@dataclass(frozen=True)
class ScheduleGain:
    """The reduction of the final loss, relative to that of the reference; positive where the schedule is better.

    The interval is that of a paired difference: each bootstrap replicate predicts both schedules with the same
    parameters, so that what shifts whole curves alike (the seed, an error of the irreducible loss) cancels. It contains
    the uncertainty of the parameters and nothing else: not the noise of two trained runs, nor errors of the law for
    schedules unlike the fitted ones, nor the selection of a schedule by the law that evaluates it. None where the fit
    has no replicates.
    """

    gain: float
    interval_90: tuple[float, float] | None


def schedule_gain(fit: FittedCurveLaw, reference: LossCurve, curve: LossCurve) -> ScheduleGain:
    """The gain of one schedule over another at their ends."""
    gain = float(1 - fit.predict_losses(curve)[-1] / fit.predict_losses(reference)[-1])
    if not fit.num_replicates:
        return ScheduleGain(gain, None)
    gain_R = 1 - fit.final_losses(curve) / fit.final_losses(reference)
    low, high = np.quantile(gain_R, [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2])
    return ScheduleGain(gain, (float(low), float(high)))


def final_loss_function(fit: FittedCurveLaw, like: LossCurve) -> Callable[[Array, Array], float]:
    """The final loss of schedules with the peak, warm-up, size and batch size of a curve, as a function of (updates,
    multipliers) for `optimal_schedule.search`. Raises InputError where the law has no optimal schedule.
    """
    law = fit.fitted_law
    if not law.penalizes_high_rates:
        raise InputError(
            f"law {fit.law}: high rates cost nothing, so no schedule is optimal; fit another, such as annealing"
        )

    def final_loss(step_J: Array, multiplier_J: Array) -> float:
        rates = LearningRates(step_J, like.rates.peak * multiplier_J, like.rates.warmup)
        end = LossCurve.query("", rates, np.array([float(rates.num_updates)]), like.size, like.batch)
        return float(law.predict(fit.parameters, end)[0])

    return final_loss


def has_jump(schedule: Schedule) -> bool:
    """Whether the rate loses a large part of the peak within a few updates."""
    multiplier_P = _multipliers(schedule)
    width = round(JUMP_LENGTH * NUM_POINTS)
    return bool(np.max(multiplier_P[:-width] - multiplier_P[width:]) > JUMP)


def schedule_warnings(schedule: Schedule, min_multiplier: float) -> list[str]:
    """What is unusual about an optimal schedule, each a predicate ("the best free schedule ..."). `min_multiplier` is
    the lowest multiplier before the end.
    """
    multiplier_P = _multipliers(schedule)
    held = float(np.mean(multiplier_P >= HELD_MULTIPLIER))
    at_minimum = float(np.mean(multiplier_P <= MIN_RATE_FACTOR * min_multiplier))
    warnings = []
    if held >= HELD_FRACTION:
        warnings.append(
            f"is at its peak for {held:.1%} of the updates after the warm-up: the law gains little by decay"
        )
    if has_jump(schedule):
        warnings.append("has a jump, which a law fitted to other schedules may misjudge")
    if at_minimum >= MIN_RATE_FRACTION and held < HELD_FRACTION:
        warnings.append(
            f"is at the lowest rate for {at_minimum:.1%} of the updates after the warm-up: the law gains nothing by "
            "training there"
        )
    return warnings


def _multipliers(schedule: Schedule) -> Array:
    """Multipliers of the peak from the end of the warm-up to the end: (P,)."""
    length = schedule.total_steps - schedule.warmup_steps
    step_P = (schedule.warmup_steps + np.linspace(0, length, NUM_POINTS)).astype(np.int64)
    return multiplier(schedule, step_P)
