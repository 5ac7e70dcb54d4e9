"""A tiny run monitored while it trains: `logging.law` on its progress line, and `windtunnel curves monitor`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny_study import FIXED
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.pipeline.live_forecast import make_forecast
from windtunnel.train import loop, progress
from windtunnel.train import progress_forecast as train_forecast
from windtunnel.train.command import main as train_main
from windtunnel.train.records import find_runs, read_metrics, read_record

LAW = {"L0": 2.0, "A": 8.0, "alpha": 0.7}  # too low for the tiny run


@pytest.fixture
def law(tmp_path: Path) -> Path:
    """A power law in the updates, with replicates that lie about it."""
    generator, path = np.random.default_rng(0), tmp_path / "law.json"
    drawn = {name: value * np.exp(0.01 * generator.standard_normal(100)) for name, value in LAW.items()}
    FittedCurveLaw("last-window", LAW, "converged", drawn, 0.15, 60.0, (1e-3, 1e-1)).to_json(path)
    return path


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the clock holds back happens at every step."""
    monkeypatch.setattr(loop, "FLUSH_SECONDS", -1.0)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    monkeypatch.setattr(train_forecast, "SECONDS_BETWEEN_FORECASTS", -1.0)
    monkeypatch.setattr(train_forecast, "PAUSE_RATIO", 0.0)


def words(tmp_path: Path, data_directory: Path, *more: str, runs: str = "runs") -> list[str]:
    fixed = {**FIXED, "horizon.steps": 60, "logging.every_steps": 2}
    folders = (f"runtime.runs_directory={tmp_path / runs}", f"runtime.data_directory={data_directory}")
    return ["horizon=steps", *(f"{name}={value}" for name, value in fixed.items()), *folders, *more]


@pytest.mark.slow
@pytest.mark.usefixtures("often")
def test_run_is_monitored_while_it_trains(
    tmp_path: Path, data_directory: Path, law: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[dict[str, Any]] = []
    answer = tmp_path / "live.json"

    def watching(path: str) -> train_forecast.Forecast:
        make_text = make_forecast(path)

        def of_run(folder: Path) -> Callable[[], str]:
            text = make_text(folder)

            def forecast_text() -> str:
                assert main(["curves", "monitor", str(folder), "--law", str(law), "--json", str(answer)]) == 0
                seen.extend(json.loads(answer.read_text())["runs"])
                return text()

            return forecast_text

        return of_run

    assert train_main(words(tmp_path, data_directory, f"logging.law={law}"), watching) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "  final " in line]
    assert len(lines) > 20
    assert {each["status"] for each in seen} == {"running"}
    assert seen[0]["final"]["by"] == "law"
    last = seen[-1]
    assert last["final"]["by"] == "law and own curve"
    assert last["step"] == last["total_steps"] == 60
    assert last["seconds_left"] == 0
    (folder,) = find_runs(tmp_path / "runs")
    assert last["loss"] == read_metrics(folder, "train")[-1]["loss"]
    # The kind of losses is that of the fit, here validation losses.
    of_validation = tmp_path / "validation.json"
    replace(FittedCurveLaw.from_json(law), losses="validation").to_json(of_validation)
    assert make_forecast(str(of_validation))(folder)().startswith("final ")
    # The curve of the run has moved the forecast from that of the law toward the end of the run.
    end = float(np.mean([row["loss"] for row in read_metrics(folder, "train")[-5:]]))
    alone, moved = seen[0]["final"]["loss"], last["final"]["loss"]
    assert abs(moved - end) < 0.5 * abs(alone - end)


@pytest.mark.slow
@pytest.mark.usefixtures("often")
def test_failing_forecast_changes_no_run(
    tmp_path: Path, data_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken_at_once(path: str) -> train_forecast.Forecast:
        def of_run(folder: Path) -> Callable[[], str]:
            raise RuntimeError("no idea\nat all")

        return of_run

    calls = []

    def broken_later(path: str) -> train_forecast.Forecast:
        def forecast_text() -> str:
            calls.append(path)
            raise ZeroDivisionError

        return lambda folder: forecast_text

    for runs, make in (("a", broken_at_once), ("b", broken_later)):
        assert train_main(words(tmp_path, data_directory, "logging.law=x", runs=runs), make) == 0
        assert capsys.readouterr().err.count("note: no forecast of the final loss") == 1
    assert len(calls) == 1
    assert train_main(words(tmp_path, data_directory, runs="c")) == 0
    curves = [(folder.name, read_metrics(folder, "train")) for runs in "abc" for folder in find_runs(tmp_path / runs)]
    assert curves[0] == curves[1] == curves[2]
    assert read_record(next(iter(find_runs(tmp_path / "a"))))["config"]["logging"]["law"] == "x"


def test_forecasts_take_little_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [100.0], []

    def forecast_text() -> str:
        calls.append(clock[0])
        clock[0] += 0.1
        return "words"

    monkeypatch.setattr(train_forecast.time, "monotonic", lambda: clock[0])
    text = train_forecast.ForecastText(lambda folder: forecast_text, Path("run"))
    for _ in range(300):
        assert text() == "words"
        clock[0] += 0.1
    # It takes a tenth of a second: twenty seconds must lie between two.
    assert len(calls) == 2


@pytest.mark.slow
def test_invalid_law_is_rejected_before_training(
    tmp_path: Path, data_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    for path, message in ((bad, "not a fit of curves"), (tmp_path / "none.json", "none.json")):
        assert main(["train", *words(tmp_path, data_directory, f"logging.law={path}")]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert train_main(words(tmp_path, data_directory, f"logging.law={bad}")) == 2
    assert "only `windtunnel train`" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
