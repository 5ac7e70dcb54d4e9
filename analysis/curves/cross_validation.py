"""Errors of a law on curves that were not fitted, and cross-validation of a law on the training curves.

Legend: P points, U curves, T compared times.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from windtunnel.analysis.curves.curve import LawKey, LossCurve
from windtunnel.analysis.curves.fit import CurveFit, fit_curve_law
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.curves.seed_means import mean_over_seeds

FITTED_FRACTION = 0.6  # of the updates of a single training curve; the rest is predicted
END_FRACTION = 0.1  # of the points of a curve: its end, over which the final residual is a mean
# Two schedules are the same when their rates at this many times differ by less than this fraction of the peak.
SAME_SCHEDULE_TOLERANCE, COMPARED_TIMES = 0.02, 64


@dataclass(frozen=True)
class CurveScore:
    """Relative errors of a predicted curve; `final` is predicted / measured - 1 at the last point."""

    curve: str
    mean_abs_relative_error: float
    worst: float
    final: float


@dataclass(frozen=True)
class CrossValidationScore:
    """Errors of a law on each training curve, predicted by a fit of the others; seed replicates count as one curve.

    mean_abs_relative_error, worst: over the curves; infinite where a fit was refused, for the `reason`.
    mean_squared_error: mean over the curves of the square of their mean error.
    ends: the residual of every curve, replicates included, at its end (`end_residual`).
    """

    law: str
    mean_abs_relative_error: float
    worst: float
    mean_squared_error: float
    reason: str
    ends: tuple[float, ...] = ()


def score_curve(fit: CurveFit, curve: LossCurve) -> CurveScore:
    error_P = fit.predict_losses(curve) / curve.loss_P - 1
    size_P = np.abs(error_P)
    return CurveScore(curve.name, float(size_P.mean()), float(size_P.max()), float(error_P[-1]))


def end_residual(fit: CurveFit, curve: LossCurve) -> float:
    """The mean of log(predicted / measured) over the last points of a curve."""
    residual_P = np.log(fit.predict_losses(curve) / curve.loss_P)
    return float(residual_P[-max(1, round(END_FRACTION * curve.num_points)) :].mean())


def cross_validate(law: CurveLaw, curves: Sequence[LossCurve], objective: str | None = None) -> CrossValidationScore:
    """Leave-one-curve-out cross-validation; of a single curve, the end is predicted from the start. Errors are those of
    the mean over seed replicates, because the noise between seeds is not an error of the law.
    """
    replicates: dict[tuple[LawKey, tuple[int, ...]], list[LossCurve]] = {}  # curves with the same prediction
    ends: list[float] = []
    fits: dict[tuple[int, ...], CurveFit] = {}  # curves of one schedule are predicted from the same others
    for fitted, held_out in folds(curves):
        key = tuple(map(id, fitted)) if len(curves) > 1 else ()
        if key not in fits:
            fits[key] = fit_curve_law(law, fitted, objective)
        fit = fits[key]
        if not fit.parameters:
            return CrossValidationScore(law.name, np.inf, np.inf, np.inf, f"{fit.status}: {fit.reason}")
        replicates.setdefault((held_out.law_key, key), []).append(held_out)
        ends.append(end_residual(fit, held_out))
    scores = [score_curve(fits[key], mean_over_seeds(group)) for (_, key), group in replicates.items()]
    error_U = np.array([score.mean_abs_relative_error for score in scores])
    return CrossValidationScore(
        law=law.name,
        mean_abs_relative_error=float(np.mean(error_U)),
        worst=max(score.worst for score in scores),
        mean_squared_error=float(np.mean(np.square(error_U))),
        reason="",
        ends=tuple(ends),
    )


def folds(curves: Sequence[LossCurve]) -> list[tuple[list[LossCurve], LossCurve]]:
    """(fitted curves, held-out curve) for each curve. Curves of other sizes and seeds with the same schedule are held
    out with it, since the schedule is what is to be predicted; but not where there is only one schedule.
    """
    if len(curves) == 1:
        (curve,) = curves
        first_P = curve.time_P <= FITTED_FRACTION * curve.time_P[-1]
        return [([curve.select(first_P)], curve.select(~first_P))]
    pairs = []
    for held_out in curves:
        others = [curve for curve in curves if curve is not held_out]
        pairs.append(([curve for curve in others if not same_schedule(curve, held_out)] or others, held_out))
    return pairs


def same_schedule(first: LossCurve, second: LossCurve) -> bool:
    """Whether the learning rates of two curves, relative to their peaks, are nearly the same."""
    if abs(first.rates.num_updates - second.rates.num_updates) > SAME_SCHEDULE_TOLERANCE * second.rates.num_updates:
        return False
    step_T = np.linspace(second.rates.warmup, second.rates.num_updates - 1, COMPARED_TIMES)
    first_T, second_T = (
        np.interp(step_T, rates.step_J, rates.rate_J) / rates.peak for rates in (first.rates, second.rates)
    )
    return bool(np.max(np.abs(first_T - second_T)) < SAME_SCHEDULE_TOLERANCE)
