"""Reads predictions and scores from the files of `windtunnel predict` and `windtunnel score`, and checks them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.score import RunScore, Score, score_run
from windtunnel.analysis.prediction.seal import read_sealed
from windtunnel.analysis.signed_json import read_json
from windtunnel.train.errors import InputError

RELATIVE_TOLERANCE = 1e-9  # rounding between machines


def read_predictions_and_scores(
    prediction_files: Sequence[Path], score_files: Sequence[Path]
) -> tuple[tuple[Prediction, ...], tuple[Score, ...]]:
    """Predictions, and the scores of some of them.

    Raises InputError where a file is not of its kind, or repeats a prediction or the score of one.
    """
    predictions: list[Prediction] = []
    for path in prediction_files:
        prediction = read_prediction(path)
        if prediction in predictions:
            raise InputError(f"{path}: this prediction is given twice; name it once")
        predictions.append(prediction)
    scores: list[Score] = []
    for path in score_files:
        score = read_score(path, predictions)
        if any(other.prediction is score.prediction for other in scores):
            raise InputError(f"{path}: a second score of one prediction; name one of them")
        scores.append(score)
    return tuple(predictions), tuple(scores)


def read_prediction(path: Path) -> Prediction:
    """A prediction; where it is sealed, its seal is checked. Raises InputError where the file is not a prediction."""
    content = read_json(path, "windtunnel predict")
    if content.get("sealed") is not None:
        return read_sealed(path)
    try:
        return Prediction.from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: not a prediction; name a JSON file of windtunnel predict") from None


def read_score(path: Path, predictions: Sequence[Prediction]) -> Score:
    """The score of one of the predictions.

    Raises InputError where the file is not a score, its prediction is not among `predictions`, or its numbers do not
    follow from the sealed prediction and the measured losses.
    """
    content = read_json(path, "windtunnel score")
    sealed = str(content.get("sealed"))
    prediction = next((prediction for prediction in predictions if prediction.sealed == sealed), None)
    if prediction is None:
        raise InputError(f"{path}: scores the prediction sealed as {sealed[:16]}; add its file with prediction=...")
    if content.get("predicted") != prediction.loss or content.get("interval_90") != prediction.to_dict()["interval_90"]:
        raise InputError(f"{path}: its prediction differs from the one sealed as {sealed[:16]}; score it again")
    try:
        mean_numbers = {
            "run": "mean",
            "loss": content["observed"],
            "error_percent": content["error_percent"],
            "interval_widths": content["error_interval_widths"],
            "seed_noise": content["error_seed_noise"],
            "inside_90": content["inside_90"],
        }
        mean, *runs = (_recorded_score(numbers, prediction) for numbers in (mean_numbers, *content["runs"]))
        score = Score(prediction, str(content["source"]), mean, tuple(runs), tuple(map(str, content["notes"])))
        mean_loss = sum(run.loss for run in runs) / len(runs)
        is_consistent = math.isclose(mean.loss, mean_loss, rel_tol=RELATIVE_TOLERANCE)
        is_consistent = is_consistent and all(
            _follows(numbers, run, prediction)
            for numbers, run in zip((mean_numbers, *content["runs"]), (mean, *runs), strict=True)
        )
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise InputError(f"{path}: not a score; name a JSON file of windtunnel score") from None
    if not is_consistent:
        raise InputError(f"{path}: its numbers do not follow from its losses and the prediction; score it again")
    return score


def _recorded_score(numbers: Mapping[str, Any], prediction: Prediction) -> RunScore:
    """The score of the recorded loss. Its error in seed noise is the recorded one: the noise may be that of the runs of
    the target, which are not in the file.
    """
    score = score_run(prediction, str(numbers["run"]), numbers["loss"], None)
    return replace(score, seed_noise=numbers["seed_noise"])


def _follows(numbers: Mapping[str, Any], score: RunScore, prediction: Prediction) -> bool:
    """Whether the recorded numbers follow from the recorded loss; only the sign of `seed_noise` is checked."""
    pairs = [
        (numbers["error_percent"], score.error_percent),
        (numbers["interval_widths"] or 0.0, score.interval_widths or 0.0),
    ]
    if score.seed_noise is not None:
        sign = math.copysign(1.0, math.log(prediction.loss / score.loss))
        pairs.append((math.copysign(1.0, score.seed_noise), sign))
    is_close = all(
        math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=RELATIVE_TOLERANCE) for one, other in pairs
    )
    return is_close and numbers["inside_90"] is score.inside_90
