"""Sealed predictions: written once, before the target is trained, under the hash of their own content.

The seal is sha256 over the canonical JSON of everything else in the file (sorted keys, no spaces), and the file is
named after it. Whoever changes a digit must change the name too: publish the hash, or commit the file, when it is made.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.fit_document import Fit
from analysis.known_results import runs_at
from analysis.laws import law as law_named
from analysis.prediction import SEALABLE, Prediction, describe, is_fitted, law_digest
from analysis.table import Source
from analysis.target import columns_at
from train.errors import InputError
from train.records import now, write_atomically

NAME_DIGITS = 16
READ_ONLY = 0o444
# A recomputed loss agrees with the sealed one to this share on any machine.
ROUNDING = 1e-9


def canonical(content: Mapping[str, Any]) -> bytes:
    """The bytes that are hashed: the document without its seal."""
    body = {name: value for name, value in content.items() if name != "sealed"}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def seal(
    prediction: Prediction,
    fit: Fit,
    folder: Path,
    *,
    results: Sequence[Source],
    columns: str | None = None,
    commit: str | None = None,
) -> Path:
    """Writes the sealed prediction into `folder` and returns its path. `results` are the sources that must not hold the
    target: the one that was fitted, and folders where the target may have been trained; `columns` name theirs, where
    the fit does not.

    Raises InputError where the fit is not fit for it or the target has results already.
    """
    if fit.status not in SEALABLE:
        raise InputError(f"the fit is {fit.status} ({fit.reason}): a prediction of it cannot be sealed; mend the fit")
    low, high = prediction.interval_90
    if not (low > 0 and math.isfinite(high)):
        raise InputError(
            f"the data do not bound the loss at {describe(prediction.at)}: nothing to seal; "
            "add runs or predict nearer the data"
        )
    if is_fitted(fit, prediction.at):
        raise InputError(
            f"{describe(prediction.at)} is among the points that were fitted: leave them out of the fit to predict them"
        )
    for source in results:
        named = fit.named or columns if source == fit.source else columns
        known = runs_at(source, prediction.at, named)
        if known:
            state = known[0].fault or "finished"
            raise InputError(
                f"{source}: {known[0].run} ({state}) already has results at {describe(prediction.at)}: "
                "a prediction is sealed before its target is trained"
            )
    unsealed = replace(prediction, commit=commit, time=now(), sealed=None)
    digest = hashlib.sha256(canonical(unsealed.document())).hexdigest()
    document = replace(unsealed, sealed=digest).document()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_stem(prediction.law)}-{digest[:NAME_DIGITS]}.json"
    if not path.exists():
        write_atomically(path, (json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())
        path.chmod(READ_ONLY)
        _persist_directory(folder)
    return path


def read_sealed(path: Path) -> Prediction:
    """A sealed prediction, checked: its content has the hash it was sealed under, its file the name, and its law gives
    the loss. Raises InputError where it is not sealed or was changed.
    """
    try:
        content = json.loads(Path(path).read_text())
        prediction = Prediction.of(content)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write it with: windtunnel predict FIT --at ... --seal") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{path}: not JSON; name a file written by windtunnel predict --seal") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: not a prediction; name a file written by windtunnel predict --seal") from None
    if prediction.sealed is None:
        raise InputError(f"{path}: this prediction was never sealed and cannot be scored; seal one with --seal")
    if hashlib.sha256(canonical(content)).hexdigest() != prediction.sealed:
        raise InputError(f"{path}: changed after it was sealed (its content has another hash); restore the original")
    if prediction.sealed[:NAME_DIGITS] not in Path(path).name:
        raise InputError(
            f"{path}: sealed as {prediction.sealed[:NAME_DIGITS]}, which its name does not say: "
            "restore the name it was written under"
        )
    _check_loss(path, prediction)
    return prediction


def _check_loss(path: Path, prediction: Prediction) -> None:
    law = law_named(prediction.law)
    loss = float(law.predict_one(prediction.fit["parameters"], columns_at(law, prediction.at))[0])
    if not abs(loss - prediction.loss) <= ROUNDING * abs(prediction.loss):
        changed = law_digest(law) != prediction.law_digest
        reason = f"the code of {prediction.law} has changed since" if changed else "it was not made by this law"
        raise InputError(f"{path}: {prediction.law} gives {loss:.6g} where {prediction.loss:.6g} is sealed: {reason}")


def _stem(law: str) -> str:
    return "prediction-" + "".join(letter if letter.isalnum() else "-" for letter in law)


def _persist_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
