"""`run_study`, from a study file to scores and report, with recorded runs in place of training."""

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded_study import STUDY, RecordingTrainer, plan_text
from windtunnel.analysis.prediction.target import format_target
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.execution.scheduler import RunFailure, SweepResult
from windtunnel.sweeps.pipeline import run_study as module
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.pipeline.run_study import StudyIncomplete, StudyInterrupted, StudyResult, run_study
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError

FAMILY = "{size: [10k, 25k, 50k, 100k], horizon.tokens: [1M, 2M, 4M], seed: [0, 1]}"
SMALL = STUDY.replace(FAMILY, "{size: [10k, 30k, 100k], horizon.tokens: [1M, 2M, 4M]}").replace(
    "[chinchilla, kaplan, overtraining]", '[kaplan, "power:C"]'
)


class Jobs:
    """Replaces `run_jobs`: records runs instead of training them, after the outcome that a test sets."""

    def __init__(self) -> None:
        self.workers: list[int | None] = []
        self.signal: int | None = None
        self.broken: str | None = None

    def __call__(self, plan: Plan, runs: Sequence[PlannedRun], *, workers: int | None = None) -> SweepResult:
        self.workers.append(workers)
        complete = self.signal is None and RecordingTrainer(self.broken)(runs)
        failures = () if complete or self.broken is None else (RunFailure(self.broken, "RuntimeError: no good"),)
        done = len(runs) if complete else 0
        return SweepResult(len(runs), done, 0, done, failures, 0.0, self.signal)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    jobs = Jobs()
    monkeypatch.setattr(module, "run_jobs", jobs)
    # Drawing takes seconds and is tested elsewhere.
    monkeypatch.setattr(module, "write_reports", lambda plan, outcome, folder, log: [folder.report_page])
    return jobs


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "law.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def run(study: Path, tmp_path: Path, data_directory: Path) -> Callable[..., StudyResult]:
    def run(**options: Any) -> StudyResult:
        folders = {"runs_directory": tmp_path / "runs", "data_directory": data_directory}
        return run_study(load_study(study), **folders, results_directory=tmp_path / "results", **options)

    return run


@pytest.mark.slow
def test_run_study_trains_seals_scores_and_reports(jobs: Jobs, run: Callable[..., StudyResult], tmp_path: Path) -> None:
    logged: list[str] = []
    result = run(workers=2, log=logged.append)
    assert jobs.workers == [2, 2]
    assert [line for line in logged if line.startswith("training ")] == [
        "training 9 of the 9 family runs",
        "training 2 of the 2 target runs",
    ]
    folder = tmp_path / "results" / "law"
    assert (result.folder.path, result.pages) == (folder, (folder / "report/report.html",))
    content = json.loads((folder / "scores.json").read_text())
    document = result.to_dict()
    assert document == {"study": "law", "results": str(folder), "scores": content["scores"], "curve_scores": []}
    own, other = content["scores"]
    lines = result.summary()
    assert len(lines) <= 5
    point = format_target(own["at"])
    assert lines[0] == f"target {point}: measured {own['observed']:.5g} (mean of 2 runs)"
    low, high = own["interval_90"]
    where = "inside" if own["inside_90"] else "OUTSIDE"
    assert lines[1] == (
        f"kaplan predicted {own['predicted']:.5g}, 90 % interval [{low:.5g}, {high:.5g}]: "
        f"error {own['error_percent']:+.2f} %, {where} the interval"
    )
    outside = "" if other["inside_90"] else " (not of power:C)"
    inside = int(other["inside_90"])
    assert lines[2] == f"other laws: the 90 % intervals of {inside} of 1 contain the measured loss{outside}"
    assert lines[-1] == f"report: {folder}/report/report.html"


@pytest.mark.slow
def test_repeated_run_trains_nothing(jobs: Jobs, run: Callable[..., StudyResult]) -> None:
    first = run(log=lambda message: None)
    assert run(log=lambda message: None).to_dict() == first.to_dict()
    assert len(jobs.workers) == 2


@pytest.mark.slow
def test_failed_run_raises_and_is_retried(
    jobs: Jobs, run: Callable[..., StudyResult], tmp_path: Path, data_directory: Path
) -> None:
    logged: list[str] = []
    jobs.broken = plan_text(SMALL, tmp_path, data_directory).family[0].run_id
    with pytest.raises(StudyIncomplete, match="law: runs are missing; fix the cause of the failures and repeat"):
        run(log=logged.append)
    assert f"{jobs.broken} failed: RuntimeError: no good" in logged
    jobs.broken = None
    assert run(log=logged.append).outcome.own_score is not None


@pytest.mark.slow
def test_signal_raises_study_interrupted(jobs: Jobs, run: Callable[..., StudyResult]) -> None:
    jobs.signal = signal.SIGTERM
    with pytest.raises(StudyInterrupted) as caught:
        run(log=lambda message: None)
    assert caught.value.signal == signal.SIGTERM
    assert isinstance(caught.value, KeyboardInterrupt)  # what a notebook expects of an interruption


def test_study_that_another_process_runs_is_rejected(
    jobs: Jobs, run: Callable[..., StudyResult], tmp_path: Path
) -> None:
    with (
        ResultsFolder(tmp_path / "results" / "law").lock(),
        pytest.raises(InputError, match="another process is running this study"),
    ):
        run(log=lambda message: None)
    assert jobs.workers == []


@pytest.fixture
def command(study: Path, tmp_path: Path, data_directory: Path) -> Callable[..., int]:
    """`command("--json", "-")` runs `windtunnel study` with these options; the exit status."""
    folders = ["--runs", str(tmp_path / "runs"), "--data", str(data_directory), "--results", str(tmp_path / "results")]
    return lambda *words: main(["study", str(study), *folders, *words])


@pytest.mark.slow
def test_command_prints_the_summary(
    jobs: Jobs, command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--workers", "3") == 0
    written = capsys.readouterr()
    lines = written.out.splitlines()
    assert len(lines) <= 5
    assert [line.split(" ")[0] for line in lines[:3]] == ["target", "kaplan", "other"]
    assert lines[-1] == f"report: {tmp_path}/results/law/report/report.html"
    assert " s  training 9 of the 9 family runs\n" in written.err
    assert written.err.splitlines()[-1].startswith("to push the study to W&B as one group: windtunnel wandb push ")
    assert jobs.workers == [3, 3]
    assert command("--json", "-") == 0
    assert (
        json.loads(capsys.readouterr().out)["scores"]
        == json.loads((tmp_path / "results/law/scores.json").read_text())["scores"]
    )


@pytest.mark.slow
def test_exit_status_of_the_command(
    jobs: Jobs,
    command: Callable[..., int],
    tmp_path: Path,
    data_directory: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs.signal = signal.SIGTERM
    assert command() == 143
    jobs.signal = signal.SIGINT
    assert command() == 130
    jobs.signal, jobs.broken = None, plan_text(SMALL, tmp_path, data_directory).family[0].run_id
    capsys.readouterr()
    assert command() == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines()[-1] == "law: runs are missing; fix the cause of the failures and repeat"
