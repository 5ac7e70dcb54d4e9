"""Sealed predictions of whole curves: what a law says of schedules, written before any of them is trained.

One file is of one law and all its targets. As with predictions of final losses, the seal is the hash of everything else
in the file (`windtunnel.analysis.signed_json`) and the file is named after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.analysis.curves.predict import predict_curve
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.target import CurveTarget
from windtunnel.analysis.signed_json import from_document, parsing, read_sealed, sealed_stem, to_document, write_sealed
from windtunnel.train.records import now

MADE_BY = "windtunnel study or windtunnel curves predict"


@dataclass(frozen=True)
class PredictedCurve:
    """A target and the loss that the law says after each of its steps. `interval_90` is of the last loss of a new run,
    None where the fit has no replicates; `beyond` is its length over that of the longest curve fitted.
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


@dataclass(frozen=True)
class SealedCurves:
    """asked: the law as it was named beforehand, which may be `auto`. fit: law, parameters, status and data of the fit.
    losses: of which kind the curves are.
    """

    asked: str
    fit: Mapping[str, Any]
    losses: str
    targets: tuple[PredictedCurve, ...]
    commit: str | None
    time: str
    sealed: str

    @property
    def law(self) -> str:
        return str(self.fit["law"])


def seal_curves(
    asked: str,
    fit: FittedCurves,
    source: Mapping[str, Any],
    losses: str,
    targets: Sequence[CurveTarget],
    folder: Path,
    commit: str | None,
) -> Path:
    """Writes what the fit says of the targets and returns the path. `source` says what was fitted. Whether a target has
    begun is for the caller to refuse. Raises InputError where the law cannot say something of a target.
    """
    content = {
        "kind": "curves",
        "asked": asked,
        "fit": {"law": fit.law, "parameters": fit.parameters, "status": fit.status, "noise": fit.noise, **source},
        "losses": losses,
        "targets": [to_document(_predicted(fit, target)) for target in targets],
        "commit": commit,
        "time": now(),
    }
    return write_sealed(folder, sealed_stem("curves", asked), content)


def _predicted(fit: FittedCurves, target: CurveTarget) -> PredictedCurve:
    found = predict_curve(fit, target.query)
    return PredictedCurve(
        target=target.name,
        runs=target.runs,
        schedule=target.schedule,
        rate=target.rate,
        size=float(target.query.size or 0.0),
        step=tuple(found.curve.time_P.tolist()),
        loss=tuple(found.loss_P.tolist()),
        interval_90=found.interval_90,
        beyond=found.beyond,
    )


def read_sealed_curves(path: Path) -> SealedCurves:
    """A sealed prediction of curves, checked against its seal and its name. Raises InputError where it is not one or
    was changed.
    """
    kind = "a sealed prediction of curves"
    content = read_sealed(path, kind, MADE_BY)
    with parsing(path, kind, MADE_BY):
        return from_document(SealedCurves, content)
