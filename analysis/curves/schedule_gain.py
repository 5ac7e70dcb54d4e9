"""What one schedule gains over another under a fitted law, and how sure that is.

Legend: J updates between which the rate is linear, R replicates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.curves.curve import Curve
from analysis.curves.fitted_curves import FittedCurves
from analysis.curves.prediction import LEVEL
from analysis.curves.rates import Rates
from analysis.law import Array
from train.errors import InputError


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
