"""Sealed predictions: written once, before the target is trained, under the hash of their own content.

`windtunnel.analysis.signed_json` defines a seal. Publish the hash, or commit the file, when it is made.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.existing_results import ResultSource, find_runs_at, source_name
from windtunnel.analysis.prediction.predict import SEALABLE, Prediction, is_fitted, law_digest
from windtunnel.analysis.prediction.target import columns_at, format_target, is_same_target
from windtunnel.analysis.signed_json import parsing, sealed_stem, write_sealed
from windtunnel.analysis.signed_json import read_sealed as read_sealed_json
from windtunnel.train.errors import InputError
from windtunnel.train.records import now

KIND, MADE_BY = "a prediction", "windtunnel predict"
# A recomputed loss agrees with the sealed one to this share on any machine.
SAME_LOSS = 1e-9


def seal(
    prediction: Prediction,
    fit: Fit,
    folder: Path,
    *,
    results: Sequence[ResultSource],
    columns: str | None = None,
    commit: str | None = None,
) -> Path:
    """Writes the sealed prediction into `folder` and returns its path.

    results: sources that must not have results of the target: the fitted one, and those where the target may have been
    trained. columns: names of their columns, where the fit does not name them.

    Raises InputError where the status of the fit or the interval allows no seal, or the target has results already.
    """
    if fit.status not in SEALABLE:
        raise InputError(f"the fit is {fit.status} ({fit.reason}): its predictions cannot be sealed; fit more runs")
    target = format_target(prediction.at)
    low, high = prediction.interval_90
    if not (low > 0 and math.isfinite(high)):
        raise InputError(
            f"the data do not bound the loss at {target}: nothing to seal; add runs or predict nearer the data"
        )
    if is_fitted(fit, prediction.at):
        raise InputError(f"{target} is among the points that were fitted: leave them out of the fit to predict them")
    for source in results:
        mapping = fit.column_mapping or columns if isinstance(source, str) and source == fit.source else columns
        existing = find_runs_at(source, prediction.at, mapping)
        if existing:
            state = existing[0].problem or "finished"
            raise InputError(
                f"{source_name(source)}: {existing[0].run} ({state}) already has results at {target}: "
                "a prediction is sealed before its target is trained"
            )
    notes = (*prediction.notes, *_sealed_before(prediction, folder))
    unsealed = replace(prediction, notes=notes, commit=commit, time=now(), sealed=None)
    return write_sealed(folder, sealed_stem("prediction", prediction.law), unsealed.to_dict())


def _sealed_before(prediction: Prediction, folder: Path) -> list[str]:
    """A note, sealed with the rest, if the folder already has predictions of this law at this target: choosing among
    them once the outcome is known must be visible.
    """
    earlier = []
    for path in sorted(folder.glob(f"{sealed_stem('prediction', prediction.law)}-*.json")):
        try:
            sealed = read_sealed(path)
        except InputError:
            continue
        if sealed.law == prediction.law and is_same_target(sealed.at, prediction.at):
            earlier.append(f"{path.name} ({sealed.loss:.5g}, {sealed.time})")
    return [f"sealed before at this target by this law: {', '.join(earlier)}"] if earlier else []


def read_sealed(path: Path) -> Prediction:
    """A sealed prediction, checked: its content has the hash it was sealed under, its file the name, and its law gives
    the loss. Raises InputError where it is not sealed or was changed.
    """
    content = read_sealed_json(path, KIND, MADE_BY)
    with parsing(path, KIND, MADE_BY):
        prediction = Prediction.from_dict(content)
    _check_loss(path, prediction)
    return prediction


def _check_loss(path: Path, prediction: Prediction) -> None:
    law = get_law(prediction.law)
    loss = float(law.predict_one(prediction.fit["parameters"], columns_at(law, prediction.at))[0])
    if not abs(loss - prediction.loss) <= SAME_LOSS * abs(prediction.loss):
        changed = law_digest(law) != prediction.law_digest
        reason = f"the code of {prediction.law} has changed since" if changed else "it was not made by this law"
        raise InputError(f"{path}: {prediction.law} gives {loss:.6g} where {prediction.loss:.6g} is sealed: {reason}")
