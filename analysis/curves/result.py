"""A fit of curves as a file, with the bootstrap replicates, so that a prediction from it alone has its interval."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.curves.bootstrap import bootstrap_replicates, end_noise
from windtunnel.analysis.curves.cross_validation import CrossValidationScore, CurveScore
from windtunnel.analysis.curves.curve import LossCurve, LossKind
from windtunnel.analysis.curves.ensemble import CombinedLaw, reconstruct_law
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.signed_json import (
    JsonArray,
    finite_or_none,
    from_document,
    parsing,
    read_signed,
    to_document,
    write_signed,
)

MADE_BY = "windtunnel curves fit"


def fitted_curves(
    fit: CurveFit,
    curves: Sequence[LossCurve],
    num_replicates: int,
    seed: int,
    member_scores: Sequence[CrossValidationScore] = (),
) -> "FittedCurves":
    """What predictions need of a fit to these curves that was not refused.

    member_scores: cross-validation scores, of every member of a combination; they show how wrong the law is on a
    schedule that it was not fitted to.
    """
    drawn, noise = bootstrap_replicates(fit, num_replicates, seed), end_noise(fit, curves, member_scores)
    return replace(without_replicates(fit, curves), replicates=drawn, noise=noise)


def without_replicates(fit: CurveFit, curves: Sequence[LossCurve]) -> "FittedCurves":
    """What says of which runs a fit to these curves speaks, and not how surely."""
    return FittedCurves(
        law=fit.law.name,
        parameters=fit.parameters,
        status=fit.status,
        replicates={},
        noise=math.nan,
        last_update=max(float(curve.time_P[-1]) for curve in curves),
        peaks=(min(curve.rates.peak for curve in curves), max(curve.rates.peak for curve in curves)),
        reason=fit.reason,
        not_identified=fit.not_identified,
        sizes=tuple(sorted({curve.size for curve in curves if curve.size is not None})),
        batches=tuple(sorted({curve.batch for curve in curves if curve.batch is not None})),
        num_curves=len(curves),
        losses=", ".join(sorted({curve.losses for curve in curves if curve.losses is not None})),
    )


@dataclass(frozen=True)
class FittedCurves:
    """What a prediction needs of a fit: the law by name and what it was made for, parameters, replicates (R of them),
    and how far whole curves lay from it (s.d. of log loss near their ends); and what a reader needs: why its status is
    what it is, and the parameters that the curves do not tell. Of the fitted curves: their sizes (parameters), batches
    (tokens an update) and kind of losses, as far as they are known, and their number (0: not known).
    """

    law: str
    parameters: dict[str, float]
    status: str
    replicates: dict[str, JsonArray]
    noise: float
    last_update: float
    peaks: tuple[float, float]  # lowest and highest peak rate that was fitted
    reason: str = ""
    not_identified: tuple[str, ...] = ()
    sizes: tuple[float, ...] = ()
    batches: tuple[float, ...] = ()
    losses: str = ""
    num_curves: int = 0

    @property
    def kind(self) -> LossKind:
        """Of the losses that it says; of training where it is not known."""
        return "validation" if self.losses == "validation" else "training"

    @cached_property
    def fitted_law(self) -> CurveLaw:
        return reconstruct_law(self.law, self.parameters)

    @property
    def num_replicates(self) -> int:
        return len(next(iter(self.replicates.values()), ()))

    def predict(self, curve: LossCurve) -> Array:
        """The loss at the logged times of a curve, which need no losses: (P,)."""
        return np.asarray(self.fitted_law.predict(self.parameters, curve), dtype=np.float64)

    def final_losses(self, curve: LossCurve) -> Array:
        """The loss at the last of those times under each replicate: (R,)."""
        last = curve.select(np.arange(curve.num_points) == curve.num_points - 1)
        return np.array([float(self.fitted_law.predict(values, last)[0]) for values in self.replicate_values()])

    def replicate_values(self) -> Iterator[dict[str, float]]:
        """The parameters of each replicate."""
        for index in range(self.num_replicates):
            yield {name: float(values[index]) for name, values in self.replicates.items()}

    def to_json(self, path: Path) -> None:
        """Writes the fit with its digest."""
        write_signed(path, to_document(self))

    @classmethod
    def from_json(cls, path: Path) -> "FittedCurves":
        """Reads what `to_json` wrote. Raises InputError where the file is missing, is not a fit of curves, or was
        changed.
        """
        content = read_signed(path, "a fit of curves", MADE_BY)
        with parsing(path, "a fit of curves", MADE_BY):
            return from_document(cls, content)


def fit_document(fit: CurveFit, tests: Sequence[CurveScore], inner: Sequence[CrossValidationScore]) -> dict[str, Any]:
    """The fit for programs. Errors are shares of the loss; `mean_abs_relative_error` is the mean over the test curves,
    `worst` the largest at any point of any, `mean_worst` the mean of the curves' own.
    """
    weights = fit.law.weights if isinstance(fit.law, CombinedLaw) else ()
    return {
        "law": fit.law.name,
        "weights": dict(zip([each.law.name for each in fit.members], weights, strict=True)),
        "parameters": fit.parameters,
        "status": fit.status,
        "reason": fit.reason,
        "not_identified": list(fit.not_identified),
        "objective": {"name": fit.objective, "value": finite_or_none(fit.value)},
        "num_points": fit.num_points,
        "certificate": {key: value for key, value in to_document(fit.certificate).items() if key != "at_bound"},
        "seconds": fit.seconds,
        "test": [vars(each) for each in tests],
        **summary(tests),
        "inner_validation": [
            {
                "law": each.law,
                "mean_abs_relative_error": finite_or_none(each.mean_abs_relative_error),
                "worst": finite_or_none(each.worst),
                "reason": each.reason,
            }
            for each in inner
        ],
    }


def summary(tests: Sequence[CurveScore]) -> dict[str, float | None]:
    """Over the test curves; null where there are none."""
    if not tests:
        return {"mean_abs_relative_error": None, "worst": None, "mean_worst": None}
    return {
        "mean_abs_relative_error": float(np.mean([each.mean_abs_relative_error for each in tests])),
        "worst": max(each.worst for each in tests),
        "mean_worst": float(np.mean([each.worst for each in tests])),
    }
