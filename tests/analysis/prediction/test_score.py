"""Scores of sealed predictions, and fit, predict and score from the command line."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.run_records import write
from tests.support.sealed_predictions import command, outcome, run_at_target, sealed_file, write_csv
from tests.support.true_laws import AT, SIZES, TOKENS, losses, table
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.predict import predict
from windtunnel.analysis.prediction.score import Score, score, score_run
from windtunnel.analysis.prediction.seal import read_sealed, seal
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli import fit as fit_command
from windtunnel.sweeps.cli import predict as predict_command
from windtunnel.sweeps.cli import score as score_command
from windtunnel.train.errors import InputError


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(table(), get_law("chinchilla"), profile=False)


def test_score_in_per_cent_widths_and_seed_noise(tmp_path: Path) -> None:
    fitted = fit(table(seeds=3), get_law("chinchilla"), profile=False)
    assert fitted.seed_noise == pytest.approx(0.003, rel=0.2)
    path = sealed_file(fitted, tmp_path)
    prediction = predict(fitted, AT)
    low, high = prediction.interval_90
    source = write_csv(tmp_path / "target.csv", [outcome(prediction.loss / 1.01), outcome(prediction.loss / 0.99)])
    result = score(path, source)
    assert [each.error_percent for each in result.runs] == pytest.approx([1.0, -1.0])
    assert result.runs[0].interval_widths == pytest.approx((prediction.loss - prediction.loss / 1.01) / (high - low))
    assert result.runs[0].seed_noise == pytest.approx(math.log(1.01) / (fitted.seed_noise or 0))
    assert result.mean.loss == pytest.approx(prediction.loss * (1 / 1.01 + 1 / 0.99) / 2)
    assert result.to_dict()["error_percent"] == pytest.approx(-0.01, abs=1e-3)


def test_threshold_from_the_seeds_is_recorded_in_the_fit(tmp_path: Path) -> None:
    seed_fit = fit(table(seeds=3), get_law("chinchilla"), "log-huber:seed-noise", profile=False)
    assert seed_fit.seed_noise is not None
    kind, _, delta = seed_fit.objective.partition("=")
    assert kind == "log-huber:seed-noise"
    assert float(delta) == pytest.approx(1.345 * seed_fit.seed_noise, rel=1e-3)
    seed_fit.to_json(tmp_path / "fit.json")
    again = Fit.from_json(tmp_path / "fit.json")
    assert predict(again, AT).interval_90 == predict(seed_fit, AT).interval_90
    with pytest.raises(InputError, match="no repeated seeds"):
        fit(table(), get_law("chinchilla"), "log-huber:seed-noise")


def test_coverage_is_decided_by_the_sealed_interval(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    low, high = read_sealed(path).interval_90
    for number, (loss, inside) in enumerate(((low * 1.0001, True), (low * 0.9999, False), (high * 1.0001, False))):
        source = write_csv(tmp_path / f"{number}.csv", [outcome(loss)])
        assert score(path, source).mean.inside_90 is inside


def test_open_interval_has_no_width_and_is_written_as_null(fitted: Fit) -> None:
    prediction = replace(predict(fitted, AT), interval_90=(1.0, math.inf))
    run_score = score_run(prediction, "seed 0", 2.0, None)
    assert (run_score.interval_widths, run_score.inside_90) == (None, True)
    document = Score(prediction, "runs", run_score, (run_score,), ()).to_dict()
    assert document["interval_90"] == [1.0, None]
    json.dumps(document, allow_nan=False)


def test_runs_a_little_off_the_target_are_scored_with_a_note(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    result = score(path, write_csv(tmp_path / "near.csv", [outcome(1.7, N=AT["N"] * 1.01)]))
    assert any("1 % from N=1.2e+07" in note for note in result.notes)
    with pytest.raises(InputError, match=r"no run at N=1.2e"):
        score(path, write_csv(tmp_path / "off.csv", [outcome(1.7, N=AT["N"] * 1.05)]))


def test_unfinished_targets_are_refused(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    source = write_csv(tmp_path / "target.csv", [(*outcome(1.9), "running"), (1e6, 1e7, 2.5, "")], "N,D,loss,status")
    with pytest.raises(InputError, match="cannot be scored: not finished: running"):
        score(path, source)


def test_runs_at_the_target_that_are_not_scored_are_named(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    rows = [(*outcome(1.9), ""), (AT["N"], AT["D"], "", "diverged"), (*outcome(2.9), "running"), (1e6, 1e7, 3.0, "")]
    source = write_csv(tmp_path / "target.csv", rows, "N,D,loss,status")
    result = score(path, source)
    assert [each.run for each in result.runs] == ["row 1"]
    assert "row 2 is at the target and not in this score: not finished: diverged" in result.notes
    assert "row 3 is at the target and not in this score: not finished: running" in result.to_dict()["notes"]
    assert not any("row 4" in note for note in result.notes)
    two = write_csv(tmp_path / "two.csv", [outcome(1.9), outcome(1.95)])
    assert any(
        "row 2 is at the target and not in this score: left out by the condition on rows" in note
        for note in score(path, two, where="loss < 1.92").notes
    )


@pytest.mark.parametrize(
    ("row", "where", "message"),
    [
        ((*outcome(1.9), "running"), None, "not finished: running; finish it first"),
        ((AT["N"], AT["D"], "", "diverged"), None, "not finished: diverged; it has no loss to compare"),
        ((*outcome(1.9), ""), "loss > 2", "left out by the condition on rows; widen the condition"),
    ],
)
def test_hint_fits_the_reason_why_a_run_is_not_scored(
    fitted: Fit, tmp_path: Path, row: tuple[Any, ...], where: str | None, message: str
) -> None:
    path = sealed_file(fitted, tmp_path)
    source = write_csv(tmp_path / "target.csv", [row, (1e6, 1e7, 2.5, "")], "N,D,loss,status")
    with pytest.raises(InputError, match=f"row 1 cannot be scored: {message}"):
        score(path, source, where=where)


def test_run_folder_is_scored_if_it_started_after_the_seal(fitted: Fit, tmp_path: Path) -> None:
    run, at = run_at_target(128, 100_000)
    path = seal(predict(fitted, at), fitted, tmp_path / "sealed", results=[])
    write(tmp_path / "late", {**run, "created": "2999-01-01T00:00:00Z"})
    assert score(path, str(tmp_path / "late")).mean.loss == 3.0
    write(tmp_path / "early", {**run, "created": "2020-01-01T00:00:00Z"})
    with pytest.raises(InputError, match="before the prediction was sealed"):
        score(path, str(tmp_path / "early"))
    unfinished, _ = run_at_target(128, 100_000, status="running")
    write(tmp_path / "running", unfinished, losses={100: 4.0})
    with pytest.raises(InputError, match="cannot be scored: running, not finished"):
        score(path, str(tmp_path / "running"))


def test_source_without_times_gets_a_note(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    result = score(path, write_csv(tmp_path / "target.csv", [outcome(1.9)]))
    assert any("after the seal is not checked" in note for note in result.notes)
    run, at = run_at_target(128, 100_000)
    path = seal(predict(fitted, at), fitted, tmp_path / "again", results=[])
    write(tmp_path / "late", {**run, "created": "2999-01-01T00:00:00Z"})
    assert not any("not checked" in note for note in score(path, str(tmp_path / "late")).notes)


def test_fitted_run_cannot_be_scored(tmp_path: Path) -> None:
    run, at = run_at_target(128, 100_000)
    columns = {"N": SIZES, "D": TOKENS, "loss": losses(SIZES, TOKENS, 0.003)}
    names = [run["run_id"], *(f"other-{number}" for number in range(len(SIZES) - 1))]
    known = fit(Table.from_columns(columns, run=names), get_law("chinchilla"), profile=False)
    path = seal(predict(known, at), known, tmp_path / "sealed", results=[])
    write(tmp_path / "runs", {**run, "created": "2999-01-01T00:00:00Z"})
    with pytest.raises(InputError, match="was in the table that was fitted"):
        score(path, str(tmp_path / "runs"))


# --- the commands


def test_source_of_a_fit_is_read_with_the_columns_of_the_fit(tmp_path: Path) -> None:
    """Its columns have other names, which neither the seal nor the score needs again."""
    rows = [(n, d / 1e6, y) for n, d, y in zip(SIZES, TOKENS, losses(SIZES, TOKENS, 0.003), strict=True)]
    source, output = write_csv(tmp_path / "runs.csv", rows, "params,millions,val"), str(tmp_path / "fit.json")
    naming = ("--columns", "N=params,D=millions*1e6,loss=val")
    assert command(fit_command, source, "--law", "chinchilla", *naming, "--output", output) == 0
    sealing = ("--seal", "--no-baselines", "--output", str(tmp_path))
    fitted = Fit.from_json(Path(output))
    path = seal(predict(fitted, AT), fitted, tmp_path / "sealed", results=[source])
    write_csv(tmp_path / "runs.csv", [*rows, (AT["N"], AT["D"] / 1e6, 2.0)], "params,millions,val")
    with pytest.raises(InputError, match=r"row 26 .* already has results"):
        command(predict_command, output, "--at", "N=1.2e7,D=2e8", *sealing)
    assert command(score_command, str(path), source) == 0


@pytest.mark.slow
def test_fit_predict_and_score_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*zip(SIZES, TOKENS, losses(SIZES, TOKENS, 0.003), strict=True)]
    source, output = write_csv(tmp_path / "runs.csv", rows), str(tmp_path / "fit.json")
    assert command(fit_command, source, "--law", "chinchilla", "--output", output) == 0
    words = (output, "--at", "N=1.2e7,D=2e8", "--seal", "--output", str(tmp_path / "sealed"))
    capsys.readouterr()
    assert command(predict_command, *words, "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["at"] == AT
    assert document["extrapolation"] == pytest.approx({"N": 4.0, "D": 2.0, "C": 8.0})
    assert document["interval_90"][0] < document["loss"] < document["interval_90"][1]
    assert Path(document["file"]).name == f"prediction-chinchilla-{document['sealed'][:16]}.json"
    target = write_csv(tmp_path / "target.csv", [outcome(float(losses([AT["N"]], [AT["D"]])[0]))])
    assert command(score_command, document["file"], target) == 0
    shown = capsys.readouterr().out
    assert "predicted" in shown
    assert "yes" in shown
    assert "predicted / measured - 1" in shown
    assert command(predict_command, output, "--at", "N=1.2e7,D=2e8") == 0
    shown = capsys.readouterr().out
    assert "held-out error on this table: chinchilla" in shown
    assert "sealed" not in shown


@pytest.mark.slow
def test_unsealed_prediction_is_written_as_json(fitted: Fit, tmp_path: Path) -> None:
    fitted.to_json(tmp_path / "fit.json")
    out = tmp_path / "prediction.json"
    assert command(predict_command, str(tmp_path / "fit.json"), "--at", "N=1.2e7,D=2e8", "--json", str(out)) == 0
    assert json.loads(out.read_text())["sealed"] is None
