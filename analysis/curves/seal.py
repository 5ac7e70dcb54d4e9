"""Sealed predictions of whole curves: the losses that a law predicts for schedules, written before any is trained.

A file holds one law and all its targets. Its seal is the hash of everything else in the file, and is part of its name
(`windtunnel.analysis.signed_json`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.target import CurveTarget
from windtunnel.analysis.signed_json import from_document, parsing, read_sealed, sealed_stem, to_document, write_sealed
from windtunnel.train.records import now

KIND = "a sealed prediction of curves"
MADE_BY = "windtunnel study or windtunnel curves predict"


@dataclass(frozen=True)
class PredictedCurve:
    """The predicted curve of a target.

    runs: ids of the runs, which differ in their seed alone. rate: peak rate. size: parameters.
    step, loss: the predicted loss after a number of updates. interval_90: of the last loss of a new run; None where the
    fit has no replicates. beyond: the length of the schedule relative to the longest fitted curve.
    """

    target: str
    runs: tuple[str, ...]
    schedule: Mapping[str, Any]
    rate: float
    size: float
    step: tuple[float, ...]
    loss: tuple[float, ...]
    interval_90: tuple[float, float] | None
    beyond: float

    @classmethod
    def from_target(cls, fit: FittedCurveLaw, target: CurveTarget) -> "PredictedCurve":
        """Raises InputError where the target is outside the domain of the fit."""
        prediction = fit.predict(target.query)
        return cls(
            target=target.name,
            runs=target.runs,
            schedule=target.schedule,
            rate=target.rate,
            size=float(target.query.size or 0.0),
            step=tuple(prediction.curve.time_P.tolist()),
            loss=tuple(prediction.loss_P.tolist()),
            interval_90=prediction.interval_90,
            beyond=prediction.beyond,
        )


@dataclass(frozen=True)
class SealedCurves:
    """requested: the name of the law as it was requested, which may be `auto`. fit: law, parameters, status and source
    of the fit. losses: kind of the losses. sealed: the seal.
    """

    requested: Annotated[str, Field(alias="asked")]
    fit: Mapping[str, Any]
    losses: str
    targets: tuple[PredictedCurve, ...]
    commit: str | None
    time: str
    sealed: str

    @property
    def law(self) -> str:
        return str(self.fit["law"])

    def to_dict(self) -> dict[str, Any]:
        return to_document(self)


def seal_curves(
    requested: str,
    fit: FittedCurveLaw,
    source: Mapping[str, Any],
    losses: str,
    targets: Sequence[CurveTarget],
    folder: Path,
    commit: str | None,
) -> Path:
    """Seals the predictions of a fit for the targets and returns the path. `source`: what was fitted. The caller
    checks that no target has started. Raises InputError where a target is outside the domain of the fit.
    """
    content = {
        "kind": "curves",
        "asked": requested,
        "fit": {"law": fit.law, "parameters": fit.parameters, "status": fit.status, "noise": fit.noise, **source},
        "losses": losses,
        "targets": [to_document(PredictedCurve.from_target(fit, target)) for target in targets],
        "commit": commit,
        "time": now(),
    }
    return write_sealed(folder, sealed_stem("curves", requested), content)


def read_sealed_curves(path: Path) -> SealedCurves:
    """A sealed prediction of curves, checked against its seal and its name. Raises InputError where it is not one or
    was changed.
    """
    content = read_sealed(path, KIND, MADE_BY)
    with parsing(path, KIND, MADE_BY):
        return from_document(SealedCurves, content)
