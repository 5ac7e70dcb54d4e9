"""Sealed predictions of whole curves: what a law says of schedules, written before any of them is trained.

One file is of one law and all its targets. As with predictions of final losses, the seal is the hash of everything else
in the file (`windtunnel.analysis.signed_json`) and the file is named after it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from windtunnel.analysis.curves.predict import predict_curve
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.target import CurveTarget
from windtunnel.analysis.signed_json import digest_of, read_json
from windtunnel.train.errors import InputError
from windtunnel.train.records import now, write_atomically

MADE_BY = "windtunnel study or windtunnel curves predict --seal"
NAME_DIGITS = 16
READ_ONLY = 0o444


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
    content: dict[str, Any] = {
        "kind": "curves",
        "asked": asked,
        "fit": {"law": fit.law, "parameters": fit.parameters, "status": fit.status, "noise": fit.noise, **source},
        "losses": losses,
        "targets": [asdict(_predicted(fit, target)) for target in targets],
        "commit": commit,
        "time": now(),
    }
    content = json.loads(json.dumps(content, allow_nan=False))  # tuples become lists, as they are read back
    digest = digest_of(content, "sealed")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"curves-{_stem(asked)}-{digest[:NAME_DIGITS]}.json"
    text = json.dumps({**content, "sealed": digest}, sort_keys=True, indent=1, allow_nan=False) + "\n"
    write_atomically(path, text.encode())
    path.chmod(READ_ONLY)
    return path


def _predicted(fit: FittedCurves, target: CurveTarget) -> PredictedCurve:
    found = predict_curve(fit, target.blank)
    return PredictedCurve(
        target=target.name,
        runs=target.runs,
        schedule=target.schedule,
        rate=target.rate,
        size=float(target.blank.size or 0.0),
        step=tuple(found.curve.time_P.tolist()),
        loss=tuple(found.loss_P.tolist()),
        interval_90=found.interval_90,
        beyond=found.beyond,
    )


def read_sealed_curves(path: Path) -> SealedCurves:
    """Checked: the content has the hash it was sealed under, and the file its name. Raises InputError."""
    content = read_json(path, MADE_BY)
    try:
        if digest_of(content, "sealed") != content["sealed"]:
            raise InputError(
                f"{path}: changed after it was sealed (its content has another hash); restore the original"
            )
        if content["sealed"][:NAME_DIGITS] not in Path(path).name:
            raise InputError(f"{path}: its name is not the one it was sealed under; restore it")
        body = {name: value for name, value in content.items() if name != "kind"}
        return SealedCurves(**{**body, "targets": tuple(_of(each) for each in content["targets"])})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: no sealed prediction of curves; name a file written by {MADE_BY}") from None


def _of(content: Mapping[str, Any]) -> PredictedCurve:
    interval = content["interval_90"]
    return PredictedCurve(
        **{
            **content,
            "runs": tuple(content["runs"]),
            "step": tuple(content["step"]),
            "loss": tuple(content["loss"]),
            "interval_90": None if interval is None else (float(interval[0]), float(interval[1])),
        }
    )


def _stem(law: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in law)
