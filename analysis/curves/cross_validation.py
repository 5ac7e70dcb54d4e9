"""How far a law is from curves it was not fitted to, and which law is nearest by that on the training curves alone.

Legend: P points, U curves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.fit import CurveFit, fit_curves
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.curves.seed_means import mean_of

# Of a single training curve: this share of its updates is fitted, and the rest predicted.
FITTED_SHARE = 0.6
END = 0.1  # of the points of a curve: its end, where its distance from the law is taken
# Schedules whose rates, at so many places, differ by less than this share of the peak are one.
SAME, COMPARED = 0.02, 64


@dataclass(frozen=True)
class CurveScore:
    """Relative errors of a predicted curve, as shares of the loss: `final` is predicted / logged - 1 at the last
    point.
    """

    curve: str
    mean_abs_relative_error: float
    worst: float
    final: float


@dataclass(frozen=True)
class InnerScore:
    """Inner validation of a law: each training curve, twins as one, predicted by a fit of the others."""

    law: str
    mean_abs_relative_error: float  # infinite where a fit was refused
    worst: float
    mean_squared_error: float  # mean over the curves, twins as one, of the square of each one's mean error
    reason: str
    ends: tuple[float, ...] = ()  # of each curve, how far in log loss its end was from what was said of it


def score(fit: CurveFit, curve: Curve) -> CurveScore:
    error_P = fit.predict(curve) / curve.loss_P - 1
    size_P = np.abs(error_P)
    return CurveScore(curve.name, float(size_P.mean()), float(size_P.max()), float(error_P[-1]))


def end_apart(fit: CurveFit, curve: Curve) -> float:
    """The mean of log predicted / logged loss over the last points of a curve."""
    residual_P = np.log(fit.predict(curve) / curve.loss_P)
    return float(residual_P[-max(1, round(END * curve.num_points)) :].mean())


def inner_score(law: CurveLaw, curves: Sequence[Curve], objective: str | None = None) -> InnerScore:
    """Leave one training curve out, each in turn; of a single curve, its end. Errors are of the mean over twins: a law
    says what a run comes to and is of no seed, and the noise between them is no law's mistake.
    """
    held_out: dict[Any, list[Curve]] = {}  # twins of which one fit says the same, by kind and fit
    ends: list[float] = []
    fits: dict[tuple[int, ...], CurveFit] = {}  # curves of one schedule are predicted from the same others
    for fitted, held in folds(curves):
        key = tuple(map(id, fitted)) if len(curves) > 1 else ()
        if key not in fits:
            fits[key] = fit_curves(law, fitted, objective)
        found = fits[key]
        if not found.parameters:
            return InnerScore(law.name, np.inf, np.inf, np.inf, f"{found.status}: {found.reason}")
        held_out.setdefault((held.kind, key), []).append(held)
        ends.append(end_apart(found, held))
    scores = [score(fits[key], mean_of(twins)) for (_, key), twins in held_out.items()]
    errors, worst = zip(*((each.mean_abs_relative_error, each.worst) for each in scores), strict=True)
    return InnerScore(
        law.name, float(np.mean(errors)), float(np.max(worst)), float(np.mean(np.square(errors))), "", tuple(ends)
    )


def folds(curves: Sequence[Curve]) -> list[tuple[list[Curve], Curve]]:
    """(fitted, held out), for each curve. Curves of other sizes and seeds under its schedule are left out with it: it
    is the schedule that is to be predicted. Where there is only one schedule, they are not.
    """
    if len(curves) == 1:
        last = curves[0].time_P[-1]
        first_P = curves[0].time_P <= FITTED_SHARE * last
        return [([curves[0].points(first_P)], curves[0].points(~first_P))]
    found = []
    for held in curves:
        others = [each for each in curves if each is not held]
        found.append(([each for each in others if not same_schedule(each, held)] or others, held))
    return found


def same_schedule(first: Curve, second: Curve) -> bool:
    """Whether the rates of two curves are nearly those of one schedule, as shares of their peaks."""
    if abs(first.rates.num_updates - second.rates.num_updates) > SAME * second.rates.num_updates:
        return False
    step_T = np.linspace(second.rates.warmup, second.rates.num_updates - 1, COMPARED)
    shares = [np.interp(step_T, each.rates.step_J, each.rates.rate_J) / each.rates.peak for each in (first, second)]
    return bool(np.max(np.abs(shares[0] - shares[1])) < SAME)
