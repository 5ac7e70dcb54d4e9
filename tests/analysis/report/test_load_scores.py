"""Predictions and scores from files: what is read, and what is refused."""

import json
from pathlib import Path

import pytest

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.predict import predict
from windtunnel.analysis.prediction.score import Score, score_run
from windtunnel.analysis.prediction.seal import read_sealed, seal
from windtunnel.analysis.report.load_scores import read_predictions_and_scores
from windtunnel.train.errors import InputError

pytestmark = pytest.mark.xdist_group("report")


def test_predictions_and_scores_are_read_with_care(chinchilla: Fit, tmp_path: Path) -> None:
    sealed = read_sealed(seal(predict(chinchilla, {"N": 1e8, "D": 2e9}), chinchilla, tmp_path, results=[]))
    path = next(tmp_path.glob("prediction-*.json"))
    outcomes = tuple(score_run(sealed, f"seed {number}", loss, 0.002) for number, loss in enumerate((2.0, 2.1)))
    right = Score(sealed, "runs", score_run(sealed, "mean", 2.05, 0.002), outcomes, ()).to_dict()
    file = tmp_path / "score.json"

    def read_with(**changes: object) -> tuple[Score, ...]:
        file.write_text(json.dumps({**right, **changes}))
        return read_predictions_and_scores([path], [file])[1]

    assert read_with()[0].to_dict() == right
    for changes in ({"inside_90": True}, {"observed": 2.04}, {"error_percent": 0.1}, {"error_interval_widths": 0.1}):
        with pytest.raises(InputError, match="do not follow from its losses"):
            read_with(**changes)
    flattered = [{**outcomes[0].to_dict(), "inside_90": True}, outcomes[1].to_dict()]
    with pytest.raises(InputError, match="do not follow from its losses"):
        read_with(runs=flattered)
    for changes in ({"runs": []}, {"runs": [{"run": "a"}]}, {"observed": "2"}, {"notes": 3}, {"error_seed_noise": "a"}):
        with pytest.raises(InputError, match="not a score"):
            read_with(**changes)
    read_with()
    with pytest.raises(InputError, match="a second score of one prediction"):
        read_predictions_and_scores([path], [file, file])
    with pytest.raises(InputError, match="this prediction is given twice"):
        read_predictions_and_scores([path, path], [])
    for changes in ({"loss": -3.0}, {"at": {"N": -1.0, "D": 1e9}}, {"interval_90": [3.0, 2.0]}):
        file.write_text(json.dumps({**sealed.to_dict(), "sealed": None, **changes}))
        with pytest.raises(InputError, match="not a prediction"):
            read_predictions_and_scores([file], [])
    file.write_text("[" * 100_000)
    with pytest.raises(InputError, match="not JSON"):
        read_predictions_and_scores([file], [])
