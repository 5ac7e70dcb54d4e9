"""A study in W&B: its runs as one group and its analysis run, in real offline files and online at a stand-in."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.recorded_study import STUDY, RecordingTrainer, plan_text
from tests.support.wandb_files import offline_run
from tests.support.wandb_stand_in import Mirror, StandIn
from windtunnel.analysis.prediction.seal import read_sealed
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.cli.study import add_arguments, mirror
from windtunnel.sweeps.pipeline.pipeline import run_pipeline
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import make_plan
from windtunnel.sweeps.tracking.analysis_run import read_study_content
from windtunnel.sweeps.tracking.study_runs import analysis_id
from windtunnel.train.records import find_runs

FAMILY = "{size: [10k, 25k, 50k, 100k], horizon.tokens: [1M, 2M, 4M], seed: [0, 1]}"
SMALL = STUDY.replace(FAMILY, "{size: [10k, 30k, 100k], horizon.tokens: [1M, 2M, 4M]}").replace(
    "[chinchilla, kaplan, overtraining]", "[kaplan]"
)
FIGURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `law.yaml`, 9 runs and 2 targets in `runs`, and the results in `results/law`."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "law.yaml").write_text(SMALL)
    plan = plan_text(SMALL, folder, folder / "data")
    results = ResultsFolder(folder / "results" / "law")
    result = run_pipeline(plan, results, RecordingTrainer(), lambda message: None)
    assert result is not None
    assert len(result.sealed) == 1
    # Drawing the report takes seconds and is tested elsewhere.
    (results.report / "figures").mkdir(parents=True)
    for shade, name in enumerate(("loss", "predictions")):
        Image.new("L", (3, 2), shade).save(results.report / "figures" / f"{name}.png")
    results.report_page.write_text("<!doctype html><title>A report</title>")
    return folder


@pytest.fixture
def results(study: Path) -> ResultsFolder:
    return ResultsFolder(study / "results" / "law")


def words(study: Path, **changed: Path) -> list[str]:
    places = {name: changed.get(name, study / name) for name in ("runs", "data", "results")}
    return ["wandb", "push", str(study / "law.yaml"), *(f"--{name}={place}" for name, place in places.items())]


def analysis_alone(study: Path, tmp_path: Path) -> list[str]:
    """The study on a machine that has its results but not its runs."""
    return words(study, runs=tmp_path / "none")


def tables_in(location: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables of an offline run by the name they were logged under."""
    tables = {}
    for path in sorted((location / "files" / "media" / "table").glob("*.table.json")):
        content = json.loads(path.read_text())
        tables[path.name.split("_")[0]] = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    return tables


@pytest.mark.slow
def test_offline_study_is_one_group_with_an_analysis_run(
    study: Path, results: ResultsFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(study), "--directory", str(tmp_path)]) == 0
    lines = dict(line.split(" -> ") for line in capsys.readouterr().out.splitlines())
    assert len(lines) == 12
    assert list(lines)[-1] == "analysis-law"
    kinds = [offline_run(location)["run"] for location in lines.values()]
    assert {run.run_group for run in kinds} == {"law"}
    assert [run.job_type for run in kinds] == ["train"] * 11 + ["analysis"]

    location = Path(lines["analysis-law"])
    stored = offline_run(str(location))
    tables = tables_in(location)
    expected = read_study_content(results)
    assert sum(row["held_out"] for row in tables["runs"]) == 2
    losses = {row["run"]: row["loss"] for row in tables["runs"]}
    for folder in find_runs(study / "runs"):
        record = json.loads((folder / "run.json").read_text())
        assert losses.pop(folder.name) == record["result"]["validation_nats_per_token"]
    assert losses == {}
    fit = json.loads(results.fit("kaplan").read_text())
    rows = {row["parameter"]: row for row in tables["fits"]}
    assert {name: row["value"] for name, row in rows.items()} == fit["parameters"]
    assert {name: [row["low_95"], row["high_95"]] for name, row in rows.items()} == fit["intervals"]
    assert {row["status"] for row in rows.values()} == {fit["status"]} == {stored["summary"]["status/kaplan"]}
    hashes = {read_sealed(path).sealed for path in results.predictions.iterdir()}
    assert {row["sealed"] for row in tables["predictions"]} == {row["sealed"] for row in tables["scores"]} == hashes
    (score,) = json.loads(results.document("scores").read_text())["scores"]
    assert score["law"] == "kaplan"
    assert stored["summary"]["error_percent"] == score["error_percent"] == tables["scores"][0]["error_percent"]
    assert stored["summary"]["sealed"] == score["sealed"]
    assert stored["config"]["table_digest"] == fit["table_digest"]
    assert stored["config"]["study"]["title"] == "Of a law"
    figures = {path.name.split("_")[0]: path.read_bytes() for path in location.glob("files/media/images/figures/*.png")}
    assert figures == {name: path.read_bytes() for name, path in expected.figures.items()}
    assert all(content.startswith(FIGURE) for content in figures.values())
    assert set(figures) == {"loss", "predictions"}
    (page,) = (location / "files" / "media" / "html").iterdir()
    assert page.read_bytes() == results.report_page.read_bytes()
    assert {"study.yaml", "table.csv", "fits/kaplan.json", "scores.json"} < set(expected.files)
    for name, path in expected.files.items():
        kept = location / "files" / name
        assert not kept.is_symlink()
        assert kept.read_bytes() == path.read_bytes()
    assert stored["exit_code"] == 0
    # The files that a later `wandb sync` reads.
    assert len(stored["artifacts"]) == 4
    for artifact in stored["artifacts"].values():
        assert all(Path(each.local_path).is_relative_to(tmp_path) for each in artifact.manifest.contents)
        assert all(Path(each.local_path).exists() for each in artifact.manifest.contents)


@pytest.mark.slow
def test_pushing_again_replaces_the_analysis(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main([*analysis_alone(study, tmp_path), "--directory", str(tmp_path)]) == 0
        written = capsys.readouterr()
        assert written.err == "law: 11 of its 11 runs are not recorded yet\n"
    (location,) = (tmp_path / "wandb").glob("offline-run-*")
    assert written.out == f"analysis-law -> {location}\n"
    (staged,) = (tmp_path / "wandb" / ".tables-analysis-law").iterdir()
    assert staged.name == location.name
    assert len(offline_run(str(location))["rows"]) == 1


@pytest.mark.slow
def test_without_results_only_the_runs_are_pushed(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    run = find_runs(study / "runs")[0]
    (tmp_path / "runs" / run.name).symlink_to(run)
    nowhere = tmp_path / "results"
    pushing = [*words(study, runs=tmp_path / "runs", results=nowhere), "--directory", str(tmp_path)]
    assert main(pushing) == 0
    written = capsys.readouterr()
    assert written.out.startswith(f"{run.name} -> ")
    missing, analysis = written.err.splitlines()
    assert missing == "law: 10 of its 11 runs are not recorded yet"
    assert analysis.startswith(f"law: no analysis yet: no results in {nowhere / 'law'}; windtunnel study ")
    assert main(words(study, runs=nowhere, results=nowhere)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("windtunnel: law: nothing to push: ")


@pytest.mark.slow
def test_unreadable_results_are_one_line(
    study: Path, results: ResultsFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = min(results.predictions.iterdir())
    before = sealed.read_bytes()
    sealed.chmod(0o600)
    try:
        sealed.write_bytes(before.replace(b'"loss": ', b'"loss": 1'))
        assert main([*analysis_alone(study, tmp_path), "--directory", str(tmp_path)]) == 2
    finally:
        sealed.write_bytes(before)
    _, line = capsys.readouterr().err.splitlines()
    assert "changed after it was sealed" in line


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quickstart", "analysis-quickstart"),
        ("my ladder", "analysis-my-ladder-"),
        ("x" * 100, f"analysis-{'x' * 64}-"),
    ],
)
def test_analysis_id_is_allowed_by_wandb(name: str, expected: str) -> None:
    run_name = analysis_id(name)
    assert run_name == expected or (run_name.startswith(expected) and len(run_name) == len(expected) + 8)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["off", "offline"])
def test_completed_study_is_pushed_if_requested(
    study: Path,
    results: ResultsFolder,
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args([str(study / "law.yaml"), "--wandb", mode, "--runs", str(tmp_path / "none")])
    plan = make_plan(load_study(options.study), options.runs, study / "data")
    mirror(plan, results, options)
    written = capsys.readouterr()
    assert written.out == ""  # standard output may hold JSON
    if mode == "off":
        assert written.err.endswith(f"windtunnel wandb push {study}/law.yaml --runs {tmp_path}/none\n")
        assert not (tmp_path / "wandb").exists()
    else:
        assert written.err.splitlines()[1].startswith("analysis-law -> ")


# ---- online


@pytest.mark.slow
def test_online_push_uploads_the_whole_analysis(study: Path, results: ResultsFolder, tmp_path: Path) -> None:
    server = StandIn()
    try:
        with Mirror("windtunnel.sweeps.cli.main", analysis_alone(study, tmp_path), tmp_path, server.address) as mirror:
            status, out, error = mirror.finished(60)
        assert (status, error) == (0, "law: 11 of its 11 runs are not recorded yet\n")
        assert out == f"analysis-law -> {server.address}/me/windtunnel/runs/analysis-law\n"
    finally:
        server.close()
    arrived = server.runs["analysis-law"]
    assert (arrived.created["groupName"], arrived.created["jobType"]) == ("law", "analysis")
    assert arrived.complete
    assert arrived.exit_code == 0
    (row,) = arrived.rows.values()
    tables = {name: json.loads(arrived.files[row[name]["path"]]) for name in ("runs", "fits", "predictions", "scores")}
    assert [len(table["data"]) for table in tables.values()] == [11, 4, 1, 1]
    uploaded = {name: content for name, content in server.runs["artifacts"].files.items() if "table" in name}
    assert {name.split(".")[0] for name in uploaded} == set(tables)
    assert {name.split(".")[0]: json.loads(table)["data"] for name, table in uploaded.items()} == {
        name: table["data"] for name, table in tables.items()
    }
    assert arrived.summary["error_percent"] == tables["scores"]["data"][0][4]
    assert arrived.files[row["figures/loss"]["path"]].startswith(FIGURE)
    assert arrived.files[row["report"]["path"]] == results.report_page.read_bytes()
    for name, path in read_study_content(results).files.items():
        assert arrived.files[name] == path.read_bytes()
    assert list((tmp_path / "wandb").iterdir()) == []


@pytest.mark.slow
def test_an_outage_is_one_line(study: Path, tmp_path: Path) -> None:
    with Mirror(
        "windtunnel.sweeps.cli.main", analysis_alone(study, tmp_path), tmp_path, "http://127.0.0.1:9", INIT_SECONDS=1.0
    ) as mirror:
        status, out, error = mirror.finished(60)
    assert (status, out) == (1, "")
    assert error.splitlines()[1].startswith("analysis-law: not mirrored to W&B: ")
