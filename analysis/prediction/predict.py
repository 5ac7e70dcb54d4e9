"""Predictions of a fit for a run that does not exist, with an interval and the distance from the data.

`seal` writes a prediction down so that it cannot be changed; `windtunnel.analysis.prediction.score` compares it with
the run.
"""

import hashlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Law
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.prediction.target import (
    check_extrapolation,
    columns_at,
    extrapolation,
    format_target,
    matching_rows,
)
from windtunnel.analysis.signed_json import Interval, from_document, to_document
from windtunnel.train.errors import InputError

INTERVAL_LEVEL = 0.9
# Predictions of a fit with another status can be made, but not sealed.
SEALABLE = ("converged", "not_identified", "edge")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The loss of a run at a target.

    at: the columns of the target. extrapolation: the target as a multiple of the data's largest N, D and C. fit: the
    fit as JSON. fitted_runs: the runs of the fitted table, none of which may be the target. baselines: held-out mean
    absolute relative error of the law and of plain forms on the same table ("rivals" in JSON). commit, time, sealed:
    None until it is sealed.
    """

    at: Mapping[str, float]
    loss: float
    interval_90: Interval
    sealed: str | None = None
    extrapolation: Mapping[str, float | None]
    law: str
    formula: str
    law_digest: str
    fit: Mapping[str, Any]
    fitted_runs: tuple[str, ...]
    baselines: Annotated[Mapping[str, float | None], Field(alias="rivals")]
    notes: tuple[str, ...]
    commit: str | None = None
    time: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The prediction as JSON; an unbounded end of the interval is null."""
        return to_document(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Prediction":
        """The prediction of `to_dict`. Raises ValueError where the content is not a prediction."""
        prediction = from_document(cls, content)
        if not all(0 < value < math.inf for value in (prediction.loss, *prediction.at.values())):
            raise ValueError("a loss and a target are above zero")
        if not prediction.interval_90[0] <= prediction.interval_90[1]:
            raise ValueError("interval_90 has its lower end first")
        return prediction


def predict(
    fit: Fit,
    at: Mapping[str, float],
    *,
    allow_extrapolation: bool = False,
    baselines: Mapping[str, float | None] | None = None,
) -> Prediction:
    """The fit's prediction at a target, such as `{"N": 1e9, "D": 2e10}`; missing ones of N, D, C, M follow from the
    others.

    allow_extrapolation: allow a target more than 30 times beyond the data in N, D or C, or below them. baselines:
    held-out errors to report beside the prediction, from `windtunnel.analysis.comparison.ranking.baseline_errors`.

    Raises InputError where the fit was refused, a column is missing, or the target is too far from the data.
    """
    fit.check_fitted()
    columns = columns_at(fit.law, at)
    notes = check_extrapolation(fit.points.columns, at, allow_extrapolation)
    loss_Q, low_Q, high_Q = predict_interval(fit, columns, INTERVAL_LEVEL)
    loss, low, high = float(loss_Q[0]), float(low_Q[0]), float(high_Q[0])
    if not math.isfinite(loss):
        raise InputError(
            f"law {fit.law.name} has no value at {format_target(at)}; fit another law, or predict nearer the data"
        )
    if fit.status != "converged":
        notes.append(f"the fit is {fit.status}: {fit.reason}")
    if not (math.isfinite(low) and math.isfinite(high)) or low == 0.0:
        notes.append("the data do not bound the loss at the target: the interval is open")
    num_points, num_parameters = fit.num_points, fit.law.num_parameters
    if num_points < num_parameters + 2:
        notes.append(f"{num_points} points for {num_parameters} parameters: almost an interpolation")
    if fit.seed_noise is None:
        notes.append("the table has no repeated seeds: the noise in the interval is that of the residuals")
    return Prediction(
        at=dict(at),
        loss=loss,
        interval_90=(low, high),
        extrapolation=extrapolation(fit.points.columns, at),
        law=fit.law.name,
        formula=fit.law.formula,
        law_digest=law_digest(fit.law),
        fit=fit.to_dict(),
        fitted_runs=tuple(sorted({str(run) for run in fit.points.run_P})),
        baselines=dict(baselines or {}),
        notes=tuple(notes),
    )


def law_digest(law: Law) -> str:
    """sha256 of the law's name, formula, parameters and source file."""
    stem = law.name.partition(":")[0].partition("@")[0].replace("-", "_")
    spec = find_spec(f"windtunnel.analysis.laws.{stem}")
    source = spec.origin if spec is not None else inspect.getsourcefile(law.predict)
    content = Path(source).read_bytes() if source else b""
    heading = "\0".join((law.name, law.formula, *law.names))
    return hashlib.sha256(heading.encode() + b"\0" + content).hexdigest()


def is_fitted(fit: Fit, at: Mapping[str, float]) -> bool:
    """Whether the target is among the fitted points."""
    target = {name: float(value[0]) for name, value in columns_at(fit.law, at).items()}
    return bool(matching_rows(fit.points.columns, target, len(fit.points.target_P)).any())
