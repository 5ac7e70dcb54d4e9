"""What one schedule gains over another under a fitted law, and how sure that is.

Legend: J updates between which the rate is linear, R replicates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.predict import LEVEL
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.laws.law import Array
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import Schedule, multiplier


@dataclass(frozen=True)
class Gain:
    """Shares of the reference's final loss, positive where the schedule is better.

    The interval is of a paired difference: under each replicate of the bootstrap over curves both schedules are
    predicted with the same parameters, so that what lifts or lowers whole curves alike (the seed, an error of the
    floor) cancels. It has in it how far the fitted curves leave the parameters open, and nothing else: neither the
    noise of two trained runs, nor that the law may be wrong of schedules unlike those it was fitted to, nor that a best
    schedule was chosen by the law that praises it. None where the fit has no replicates.
    """

    gain: float
    interval_90: tuple[float, float] | None


def gain_over(fit: FittedCurves, reference: Curve, curve: Curve) -> Gain:
    """Of one schedule over another, at their ends."""
    gain = float(1 - fit.predict(curve)[-1] / fit.predict(reference)[-1])
    if not fit.num_replicates:
        return Gain(gain, None)
    drawn_R = 1 - fit.final_losses(curve) / fit.final_losses(reference)
    low, high = np.quantile(drawn_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Gain(gain, (float(low), float(high)))


def final_loss_under(fit: FittedCurves, like: Curve) -> Callable[[Array, Array], float]:
    """The final loss of other schedules of a curve's peak, warm-up, size and batch, as searches read it
    (`optimal_schedule.FinalLoss`). Raises InputError where the law has no best schedule.
    """
    law = fit.fitted_law
    if not law.prices_noise:
        raise InputError(
            f"law {fit.law}: it knows no cost of a high rate, and so no best schedule: fit another, such as annealing"
        )
    unlogged = np.array([np.nan])

    def loss_of(step_J: Array, multiplier_J: Array) -> float:
        rates = Rates(step_J, like.rates.peak * multiplier_J, like.rates.warmup)
        end = np.array([float(rates.num_updates)])
        return float(law.predict(fit.parameters, Curve("", rates, end, unlogged, like.size, like.batch))[0])

    return loss_of


PLACES = 2000
HELD, HELD_LONG = 0.99, 0.98  # of the peak; of the updates after the warm-up
JUMP, JUMP_WITHIN = 0.3, 0.01  # of the peak; of the updates
AT_FLOOR = 0.02  # of the updates


def jumps(schedule: Schedule) -> bool:
    """Whether a large part of the peak is lost in a few updates."""
    value_P = _along(schedule)
    width = round(JUMP_WITHIN * PLACES)
    return bool(np.max(value_P[:-width] - value_P[width:]) > JUMP)


def cautions(schedule: Schedule, least: float) -> list[str]:
    """What is odd in it, each to follow "the best free schedule"; `least` is its lowest multiplier but for the last."""
    value_P = _along(schedule)
    held = float(np.mean(value_P >= HELD))
    at_floor = float(np.mean(value_P <= 1.5 * least))
    told = []
    if held >= HELD_LONG:
        told.append(f"holds its peak for {held:.1%} of the updates after the warm-up: the law sees little in a decay")
    if jumps(schedule):
        told.append("falls all but at once: a jump, which a law that was fitted to other schedules may misjudge")
    if at_floor >= AT_FLOOR and held < HELD_LONG:
        told.append(
            f"is at its floor for {at_floor:.1%} of the updates after the warm-up: the law would rather not train then"
        )
    return told


def _along(schedule: Schedule) -> Array:
    """Multipliers from the end of the warm-up to the end."""
    along = schedule.total_steps - schedule.warmup_steps
    step_P = (schedule.warmup_steps + np.linspace(0, along, PLACES)).astype(np.int64)
    return multiplier(schedule, step_P)
