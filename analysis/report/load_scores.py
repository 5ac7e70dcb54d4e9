"""Predictions and scores from the files that `windtunnel predict` and `windtunnel score` wrote."""

import math
from collections.abc import Sequence
from pathlib import Path

from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.score import Outcome, Score, outcome
from windtunnel.analysis.prediction.seal import read_sealed
from windtunnel.analysis.signed_json import read_json
from windtunnel.train.errors import InputError

ROUNDING = 1e-9  # between machines


def read_outcomes(
    prediction_files: Sequence[Path], score_files: Sequence[Path]
) -> tuple[tuple[Prediction, ...], tuple[Score, ...]]:
    """Predictions, and scores of some of them. Raises InputError where a file is none, or is a second of the same."""
    predictions: list[Prediction] = []
    for path in prediction_files:
        made = read_prediction(path)
        if made in predictions:
            raise InputError(f"{path}: this prediction is given twice; name it once")
        predictions.append(made)
    scores: list[Score] = []
    for path in score_files:
        found = read_score(path, predictions)
        if any(each.prediction is found.prediction for each in scores):
            raise InputError(f"{path}: a second score of one prediction; name the one to report")
        scores.append(found)
    return tuple(predictions), tuple(scores)


def read_prediction(path: Path) -> Prediction:
    """A sealed prediction, its seal checked, or one that was never sealed. Raises InputError where it is neither."""
    content = read_json(path, "windtunnel predict --seal, or predict --json")
    if content.get("sealed") is not None:
        return read_sealed(path)
    try:
        return Prediction.of(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: not a prediction; name a file of windtunnel predict") from None


def read_score(path: Path, predictions: Sequence[Prediction]) -> Score:
    """A score of one of the predictions, whose sealed numbers it must repeat. Raises InputError where it does not."""
    content = read_json(path, "windtunnel score --json")
    sealed = str(content.get("sealed"))
    made = next((each for each in predictions if each.sealed == sealed), None)
    if made is None:
        raise InputError(f"{path}: scores the prediction sealed as {sealed[:16]}; add its file with --prediction")
    if content.get("predicted") != made.loss or content.get("interval_90") != made.document()["interval_90"]:
        raise InputError(f"{path}: its prediction is not what was sealed as {sealed[:16]}; score it again")
    try:
        mean = Outcome(
            "mean",
            content["observed"],
            content["error_percent"],
            content["error_interval_widths"],
            content["error_seed_noise"],
            content["inside_90"],
        )
        runs = tuple(Outcome(**each) for each in content["runs"])
        found = Score(made, str(content["source"]), mean, runs, tuple(map(str, content["notes"])))
        whole = math.isclose(mean.loss, sum(each.loss for each in runs) / len(runs), rel_tol=ROUNDING)
        whole = whole and all(_follows(each, made) for each in (mean, *runs))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise InputError(f"{path}: not a score; name a file of windtunnel score --json") from None
    if not whole:
        raise InputError(f"{path}: its numbers do not follow from its losses and the prediction; score it again")
    return found


def _follows(told: Outcome, made: Prediction) -> bool:
    """Whether these are the numbers of its loss. The seed noise may be that of the target's runs, which is not here."""
    right = outcome(made, told.run, told.loss, None)
    pairs = [(told.error_percent, right.error_percent), (told.interval_widths or 0.0, right.interval_widths or 0.0)]
    if told.seed_noise is not None:
        pairs.append((math.copysign(1.0, told.seed_noise), math.copysign(1.0, math.log(made.loss / told.loss))))
    near = all(math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING) for one, other in pairs)
    return near and told.inside_90 is right.inside_90
