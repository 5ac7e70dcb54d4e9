"""Sealed predictions: written once, before the target is trained, under the hash of their own content.

The seal is the hash of everything else in the file (`analysis.signed_json`), and the file is named after it. Whoever
changes a digit must change the name too: publish the hash, or commit the file, when it is made.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.prediction.existing_results import runs_at
from windtunnel.analysis.prediction.predict import SEALABLE, Prediction, describe, is_fitted, law_digest
from windtunnel.analysis.prediction.target import columns_at, same_target
from windtunnel.analysis.signed_json import digest_of, read_json
from windtunnel.analysis.tables.table import Source
from windtunnel.train.errors import InputError
from windtunnel.train.records import now, write_atomically

MADE_BY = "windtunnel predict FIT --at ... --seal"
NAME_DIGITS = 16
READ_ONLY = 0o444
# A recomputed loss agrees with the sealed one to this share on any machine.
ROUNDING = 1e-9


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
    notes = (*prediction.notes, *_sealed_before(prediction, folder))
    unsealed = replace(prediction, notes=notes, commit=commit, time=now(), sealed=None)
    digest = digest_of(unsealed.document(), "sealed")
    document = replace(unsealed, sealed=digest).document()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_stem(prediction.law)}-{digest[:NAME_DIGITS]}.json"
    if not path.exists():
        write_atomically(path, (json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())
        path.chmod(READ_ONLY)
        _persist_directory(folder)
    return path


def _sealed_before(prediction: Prediction, folder: Path) -> list[str]:
    """A note, sealed with the rest, where the folder has predictions of this law at this target already: whoever
    chooses among them once the outcome is known must be seen to.
    """
    found = []
    for path in sorted(folder.glob(f"{_stem(prediction.law)}-*.json")):
        try:
            earlier = read_sealed(path)
        except InputError:
            continue
        if earlier.law == prediction.law and same_target(earlier.at, prediction.at):
            found.append(f"{path.name} ({earlier.loss:.5g}, {earlier.time})")
    return [f"sealed before at this target by this law: {', '.join(found)}"] if found else []


def read_sealed(path: Path) -> Prediction:
    """A sealed prediction, checked: its content has the hash it was sealed under, its file the name, and its law gives
    the loss. Raises InputError where it is not sealed or was changed.
    """
    content = read_json(path, MADE_BY)
    try:
        prediction = Prediction.of(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: not a prediction; name a file written by {MADE_BY}") from None
    if prediction.sealed is None:
        raise InputError(f"{path}: this prediction was never sealed and cannot be scored; seal one with --seal")
    if digest_of(content, "sealed") != prediction.sealed:
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
