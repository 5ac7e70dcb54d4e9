"""`fit_curves`: fit a curve law to loss curves, test it on others, and predict further schedules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.curves.cross_validation import CrossValidationScore, CurveScore, score_curve
from windtunnel.analysis.curves.curve import LossCurve, LossKind
from windtunnel.analysis.curves.domain import FittedDomain
from windtunnel.analysis.curves.ensemble import AUTO, CombinedLaw, fit_named_law, member_scores, rank_laws
from windtunnel.analysis.curves.fit import CurveFit, fit_curve_law
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.load import CurveSource, ScheduleSource, load_curve_groups
from windtunnel.analysis.curves.predict import CurvePrediction
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.signed_json import finite_or_none, to_document

NUM_REPLICATES = 200


@dataclass(frozen=True)
class CurveFitResult:
    """A curve law fitted to training curves.

    fit: the optimum with its certificate. train, test: the curves. tests: scores on the test curves.
    cross_validation: the scores of all laws, best first, where they chose the combination (`auto`).
    """

    fit: CurveFit
    train: Sequence[LossCurve] = field(repr=False)
    test: Sequence[LossCurve] = field(repr=False)
    tests: Sequence[CurveScore]
    cross_validation: Sequence[CrossValidationScore]
    objective: str | None
    num_replicates: int
    seed: int

    @property
    def law(self) -> str:
        return self.fit.law.name

    @property
    def parameters(self) -> dict[str, float]:
        """Empty where the fit was refused."""
        return self.fit.parameters

    @property
    def status(self) -> str:
        return self.fit.status

    @cached_property
    def fitted_law(self) -> FittedCurveLaw:
        """The law with bootstrap replicates and the noise of whole curves, computed when first needed. Raises
        InputError where the fit was refused.
        """
        self.fit.check_fitted()
        scores = member_scores(self.fit, self.train, self.objective, self.cross_validation)
        return FittedCurveLaw.from_fit(self.fit, self.train, self.num_replicates, self.seed, scores)

    def predict(
        self,
        schedule: ScheduleSource,
        *,
        columns: str | Mapping[str, str] | None = None,
        warmup: int | None = None,
        size: float | None = None,
        batch: float | None = None,
    ) -> CurvePrediction:
        """The loss curve under a schedule that was not trained, with the interval of its final loss; arguments and
        errors as of `FittedCurveLaw.predict`.
        """
        return self.fitted_law.predict(schedule, columns=columns, warmup=warmup, size=size, batch=batch)

    def score(self, curve: LossCurve) -> CurveScore:
        """The errors of the law on a curve that was not fitted."""
        return score_curve(self.fit, curve)

    def to_json(self, path: Path) -> None:
        """Writes the fitted law, for `FittedCurveLaw.from_json`."""
        self.fitted_law.to_json(path)

    @property
    def notes(self) -> list[str]:
        return fit_notes(self.fit, self.train, self.test)

    def to_dict(self) -> dict[str, Any]:
        """The fit and its tests. Errors are fractions of the loss: `mean_abs_relative_error` is the mean over the test
        curves, `worst` the largest at any point, `mean_worst` the mean of the largest of each curve.
        """
        fit = self.fit
        weights = fit.law.weights if isinstance(fit.law, CombinedLaw) else ()
        return {
            "law": self.law,
            "weights": dict(zip([member.law.name for member in fit.members], weights, strict=True)),
            "parameters": fit.parameters,
            "status": fit.status,
            "reason": fit.reason,
            "not_identified": list(fit.not_identified),
            "objective": {"name": fit.objective, "value": finite_or_none(fit.value)},
            "num_points": fit.num_points,
            "certificate": {key: value for key, value in to_document(fit.certificate).items() if key != "at_bound"},
            "seconds": fit.seconds,
            **_test_scores(self.tests),
            "inner_validation": [
                {
                    "law": score.law,
                    "mean_abs_relative_error": finite_or_none(score.mean_abs_relative_error),
                    "worst": finite_or_none(score.worst),
                    "reason": score.reason,
                }
                for score in self.cross_validation
            ],
            "train": [curve.name for curve in self.train],
            "notes": self.notes,
        }


@dataclass(frozen=True)
class RankedLaw:
    """A law in a ranking: its cross-validation score, its fit to all training curves, and its scores on test curves."""

    cross_validation: CrossValidationScore
    fit: CurveFit
    tests: Sequence[CurveScore]

    def to_dict(self) -> dict[str, Any]:
        return {
            "law": self.cross_validation.law,
            "inner_mean_abs_relative_error": finite_or_none(self.cross_validation.mean_abs_relative_error),
            "inner_worst": finite_or_none(self.cross_validation.worst),
            "status": self.fit.status,
            "reason": self.fit.reason,
            "parameters": self.fit.parameters,
            **_test_scores(self.tests),
        }


def fit_curves(
    sources: CurveSource | Sequence[CurveSource],
    law: str = AUTO,
    *,
    test: CurveSource | Sequence[CurveSource] = (),
    columns: str | Mapping[str, str] | None = None,
    warmup: int | None = None,
    losses: LossKind = "training",
    objective: str | None = None,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> CurveFitResult:
    """Fit a curve law to training curves.

    sources, test: curves to fit and curves to test on: CSV or Parquet files, run folders, folders of runs, DataFrames
        or curves. columns, warmup, losses: how they are read (`load_curves`).
    law: the name of a law, or "auto" for a combination of all laws, with weights from cross-validation on the training
        curves.
    objective: log-huber:DELTA, log-mse, huber:DELTA or mse; log-huber:1e-3 by default.
    num_replicates, seed: of the bootstrap over curves, which predictions need for their intervals.

    Raises InputError where a source cannot be read or no law can be fitted. Where the curves are too few for the law,
    the result has no parameters and a status and reason that say why.
    """
    if law != AUTO:
        curve_law(law)  # check the name before curves are read
    train, tests = load_curve_groups([sources, test], columns=columns, warmup=warmup, losses=losses)
    fit, scores = fit_named_law(law, train, objective)
    test_scores = [score_curve(fit, curve) for curve in tests] if fit.parameters else []
    return CurveFitResult(fit, train, tests, test_scores, scores, objective, num_replicates, seed)


def rank_curve_laws(
    laws: Sequence[str], train: Sequence[LossCurve], test: Sequence[LossCurve] = (), objective: str | None = None
) -> list[RankedLaw]:
    """The laws by cross-validation on the training curves, best first; test curves do not enter the order."""
    ranked = []
    for score in rank_laws([curve_law(name) for name in laws], train, objective):
        fit = fit_curve_law(curve_law(score.law), train, objective)
        tests = [score_curve(fit, curve) for curve in test] if fit.parameters else []
        ranked.append(RankedLaw(score, fit, tests))
    return ranked


def fit_notes(fit: CurveFit, train: Sequence[LossCurve], test: Sequence[LossCurve]) -> list[str]:
    """Notes on the curves, and on those outside the domain of the fit."""
    notes = [note for curve in (*train, *test) for note in curve.notes]
    return notes + (FittedDomain.from_curves(fit, train).notes(test) if fit.parameters else [])


def _test_scores(tests: Sequence[CurveScore]) -> dict[str, Any]:
    """The scores of the test curves and their summary; null where there are none."""
    errors, worst = [score.mean_abs_relative_error for score in tests], [score.worst for score in tests]
    return {
        "test": [vars(score) for score in tests],
        "mean_abs_relative_error": float(np.mean(errors)) if tests else None,
        "worst": max(worst, default=None),
        "mean_worst": float(np.mean(worst)) if tests else None,
    }
