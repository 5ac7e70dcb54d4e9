"""Predictions and scores from the files that `windtunnel predict` and `windtunnel score` wrote."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.prediction import Prediction
from analysis.score import Outcome, Score
from analysis.seal import read_sealed
from train.errors import InputError


def read_prediction(path: Path) -> Prediction:
    """A sealed prediction, its seal checked, or one that was never sealed. Raises InputError where it is neither."""
    content = _read(path, "windtunnel predict --seal, or predict --json")
    if content.get("sealed") is not None:
        return read_sealed(path)
    try:
        return Prediction.of(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: not a prediction; name a file of windtunnel predict") from None


def read_score(path: Path, predictions: Sequence[Prediction]) -> Score:
    """A score of one of the predictions, whose sealed numbers it must repeat. Raises InputError where it does not."""
    content = _read(path, "windtunnel score --json")
    sealed = str(content.get("sealed"))
    made = next((each for each in predictions if each.sealed == sealed), None)
    if made is None:
        raise InputError(f"{path}: scores the prediction sealed as {sealed[:16]}; add its file with --prediction")
    if content.get("predicted") != made.loss or content.get("interval_90") != list(made.interval_90):
        raise InputError(f"{path}: its prediction is not what was sealed as {sealed[:16]}; score it again")
    try:
        mean = Outcome(
            "mean",
            float(content["observed"]),
            float(content["error_percent"]),
            content["error_interval_widths"],
            content["error_seed_noise"],
            bool(content["inside_90"]),
        )
        runs = tuple(Outcome(**each) for each in content["runs"])
        return Score(made, str(content["source"]), mean, runs, tuple(content["notes"]))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: not a score; name a file of windtunnel score --json") from None


def _read(path: Path, writer: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; it is written by {writer}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        raise InputError(f"{path}: not JSON; name a file of {writer}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object; name a file of {writer}")
    return content
