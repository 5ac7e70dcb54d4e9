"""Sealed predictions: any change is detected, and no target that has started is sealed."""

import hashlib
import json
import math
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.run_records import record, write
from tests.support.sealed_predictions import command, outcome, run_at_target, sealed_file, write_csv
from tests.support.true_laws import AT, SIZES, TOKENS, losses, table
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.existing_results import find_runs_at
from windtunnel.analysis.prediction.predict import predict
from windtunnel.analysis.prediction.seal import read_sealed, seal
from windtunnel.analysis.tables.load import load_table
from windtunnel.sweeps.cli import predict as predict_command
from windtunnel.train.errors import InputError


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(table(), get_law("chinchilla"), profile=False)


def test_sealed_file_is_named_by_its_content_and_cannot_be_written(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path, commit="abc")
    content = json.loads(path.read_text())
    body = {name: value for name, value in content.items() if name != "sealed"}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert content["sealed"] == digest
    assert path.name == f"prediction-chinchilla-{digest[:16]}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert content["commit"] == "abc"
    assert content["time"].endswith("Z")
    assert content["fit"]["table_digest"] == table().digest
    assert read_sealed(path).loss == predict(fitted, AT).loss
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("loss",), 1.5),
        (("interval_90",), [1.0, 3.0]),
        (("at", "N"), 1.3e7),
        (("time",), "2020-01-01T00:00:00Z"),
        (("fit", "parameters", "E"), 1.0),
        (("extrapolation", "C"), 1.0),
        (("notes",), ["as expected"]),
        (("commit",), "def"),
    ],
)
def test_any_change_is_detected(fitted: Fit, tmp_path: Path, keys: tuple[str, ...], value: Any) -> None:
    path = sealed_file(fitted, tmp_path)
    content = json.loads(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    assert place[keys[-1]] != value
    place[keys[-1]] = value
    path.chmod(0o644)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="changed after it was sealed"):
        read_sealed(path)


def reseal(content: dict[str, Any], folder: Path) -> Path:
    """A forgery: a new hash for the new content."""
    body = {name: value for name, value in content.items() if name != "sealed"}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path = folder / f"prediction-chinchilla-{digest[:16]}.json"
    path.write_text(json.dumps({**body, "sealed": digest}))
    return path


def test_duplicate_key_is_refused(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    text = path.read_text()
    path.chmod(0o644)
    path.write_text(text.replace("{\n", '{\n "loss": 1.5,\n', 1))
    with pytest.raises(InputError, match="duplicate key 'loss'"):
        read_sealed(path)


def test_sealing_a_target_again_is_noted_under_the_seal(fitted: Fit, tmp_path: Path) -> None:
    first = sealed_file(fitted, tmp_path)
    assert not any("sealed before" in note for note in read_sealed(first).notes)
    at = {"C": 6 * AT["N"] * AT["D"], "N": AT["N"] * 1.001}
    again = seal(predict(fitted, at), fitted, tmp_path, results=[])
    assert any(f"sealed before at this target by this law: {first.name}" in note for note in read_sealed(again).notes)
    other = seal(predict(fitted, {**AT, "N": 1.3e7}), fitted, tmp_path, results=[])
    assert not any("sealed before" in note for note in read_sealed(other).notes)


def test_forged_hash_is_detected_by_the_name_or_the_law(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    content = json.loads(path.read_text())
    forged = reseal({**content, "loss": 1.5}, tmp_path)
    with pytest.raises(InputError, match=r"gives .* where 1.5 is sealed: it was not made by this law"):
        read_sealed(forged)
    renamed = forged.rename(tmp_path / path.name.replace("chinchilla", "copy"))
    with pytest.raises(InputError, match="its name lacks the seal"):
        read_sealed(renamed)


def test_law_that_changed_since_is_reported(fitted: Fit, tmp_path: Path) -> None:
    content = json.loads(sealed_file(fitted, tmp_path).read_text())
    with pytest.raises(InputError, match="the code of chinchilla has changed since"):
        read_sealed(reseal({**content, "loss": 1.5, "law_digest": "0" * 64}, tmp_path))


def test_other_files_are_not_sealed_predictions(fitted: Fit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_sealed(tmp_path / "none.json")
    path = tmp_path / "file.json"
    for text, problem in (("{", "not JSON"), ("[]", "not a prediction"), ("{}", "not a prediction")):
        path.write_text(text)
        with pytest.raises(InputError, match=problem):
            read_sealed(path)
    path.write_text(json.dumps(predict(fitted, AT).to_dict()))
    with pytest.raises(InputError, match="never sealed"):
        read_sealed(path)


def test_fitted_point_cannot_be_predicted(fitted: Fit, tmp_path: Path) -> None:
    at = {"N": float(SIZES[3]) * 1.004, "D": float(TOKENS[3])}  # people round
    with pytest.raises(InputError, match="among the points that were fitted"):
        seal(predict(fitted, at), fitted, tmp_path, results=[])
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_excluded_rows_of_the_source_count_as_results(tmp_path: Path) -> None:
    rows = [(n, d, y, "") for n, d, y in zip(SIZES, TOKENS, losses(SIZES, TOKENS, 0.003), strict=True)]
    source = write_csv(tmp_path / "runs.csv", [*rows, (*outcome(1.6), "diverged")], "N,D,loss,status")
    known = fit(load_table(source), get_law("chinchilla"), profile=False)
    assert known.num_points == 25
    known.to_json(tmp_path / "fit.json")
    with pytest.raises(InputError, match=r"row 26 .* already has results"):
        command(predict_command, str(tmp_path / "fit.json"), "--at", "N=1.2e7,D=2e8", "--seal")
    assert command(predict_command, str(tmp_path / "fit.json"), "--at", "N=2e7,D=2e8", "--seal", "--no-baselines") == 0


@pytest.mark.parametrize(
    ("status", "started"), [("diverged", True), ("finished", True), ("planned", False), ("", False)]
)
def test_target_without_a_loss_has_started_if_its_status_says_so(
    fitted: Fit, tmp_path: Path, status: str, started: bool
) -> None:
    results = write_csv(
        tmp_path / "target.csv", [(AT["N"], AT["D"], "", status), (1e6, 1e7, 2.5, "")], "N,D,loss,status"
    )
    prediction = predict(fitted, AT)
    if started:
        with pytest.raises(InputError, match=r"row 1 .* already has results"):
            seal(prediction, fitted, tmp_path, results=[results])
    else:
        assert seal(prediction, fitted, tmp_path, results=[results]).exists()


def test_moved_source_must_be_named(fitted: Fit, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "runs.csv", [*zip(SIZES, TOKENS, losses(SIZES, TOKENS, 0.003), strict=True)])
    fit(load_table(source), get_law("chinchilla"), profile=False).to_json(tmp_path / "fit.json")
    moved = Path(source).rename(tmp_path / "moved.csv")
    words = (str(tmp_path / "fit.json"), "--at", "N=1.2e7,D=2e8", "--seal", "--no-baselines")
    with pytest.raises(InputError, match="the source of the fit is not here"):
        command(predict_command, *words)
    assert command(predict_command, *words, "--results", str(moved)) == 0


@pytest.mark.parametrize("status", ["finished", "running", "diverged"])
@pytest.mark.parametrize("convention", ["total", "non_embedding", "with_head"])
def test_run_folders_are_searched_in_every_convention(
    fitted: Fit, tmp_path: Path, status: str, convention: str
) -> None:
    run = record(width=128, steps=100_000, status=status)
    counts = run["counts"]["parameters"]
    size = counts["non_embedding"] + 256 * 128 if convention == "with_head" else counts[convention]
    at = {"N": float(f"{size:.3g}"), "D": 1.024e8}
    prediction = predict(fitted, at)
    runs = tmp_path / "runs"
    write(runs, record(width=128, steps=50_000))
    seal(prediction, fitted, tmp_path, results=[str(runs)])
    write(runs, run, losses={100: 4.0})
    with pytest.raises(InputError, match=rf"\({status}\) already has results"):
        seal(prediction, fitted, tmp_path, results=[str(runs)])


def test_run_folders_are_searched_by_every_column_of_the_target(tmp_path: Path) -> None:
    run, at = run_at_target(128, 100_000, rate=0.012)
    write(tmp_path, run)
    assert find_runs_at(str(tmp_path), at)
    assert find_runs_at(str(tmp_path), {**at, "rate": 0.012, "final_fraction": 0.0})
    assert not find_runs_at(str(tmp_path), {**at, "rate": 0.006})


def test_planned_run_without_metrics_is_not_a_result(fitted: Fit, tmp_path: Path) -> None:
    run = record(width=128, steps=100_000, status="planned")
    write(tmp_path / "runs", run)
    at = {"N": float(run["counts"]["parameters"]["total"]), "D": 1.024e8}
    assert seal(predict(fitted, at), fitted, tmp_path, results=[str(tmp_path / "runs")]).exists()


def test_unconverged_fits_and_unbounded_intervals_are_not_sealed(fitted: Fit, tmp_path: Path) -> None:
    prediction = predict(fitted, AT)
    with pytest.raises(InputError, match="the fit is not_converged"):
        seal(prediction, replace(fitted, status="not_converged", reason="starts disagree"), tmp_path, results=[])
    with pytest.raises(InputError, match="do not bound the loss"):
        seal(replace(prediction, interval_90=(1.0, math.inf)), fitted, tmp_path, results=[])
    assert seal(prediction, replace(fitted, status="not_identified"), tmp_path, results=[]).exists()
