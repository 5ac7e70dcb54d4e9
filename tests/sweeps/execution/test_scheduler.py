"""Workers that die and hang, runs that fail, targets, and what a full disk allows: each costs its own run at most."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.tiny_study import plan_of, write_study
from windtunnel.sweeps.cli import main as command
from windtunnel.sweeps.execution import scheduler as pool
from windtunnel.sweeps.execution.disk_budget import peak_bytes
from windtunnel.sweeps.execution.job import Job
from windtunnel.sweeps.execution.progress_display import Board
from windtunnel.sweeps.execution.scheduler import Failure, Summary, missing_runs, run_jobs
from windtunnel.sweeps.execution.worker_pool import Crew
from windtunnel.sweeps.execution.worker_process import WorkerProcess
from windtunnel.sweeps.study.plan import Plan
from windtunnel.train import checkpoint
from windtunnel.train.errors import InputError
from windtunnel.train.records import RunRecord, read_record

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "data"


class Recorder:
    """A board whose plain log is kept."""

    def __init__(self) -> None:
        self._text = StringIO()
        self.board = Board(Console(file=self._text, width=200))

    @property
    def lines(self) -> list[str]:
        return self._text.getvalue().splitlines()

    def place(self, *words: str) -> int:
        """Of the first line that has all of these."""
        return next(place for place, line in enumerate(self.lines) if all(word in line for word in words))


@pytest.fixture
def on_giving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[WorkerProcess, Job], None]], None]:
    """Have something happen just after a worker was given a job."""

    def set_up(deed: Callable[[WorkerProcess, Job], None]) -> None:
        give = WorkerProcess.give

        def given(worker: WorkerProcess, job: Job) -> None:
            give(worker, job)
            deed(worker, job)

        monkeypatch.setattr(WorkerProcess, "give", given)

    return set_up


def test_what_goes_wrong_costs_its_own_run_alone(data: Path, tmp_path: Path, on_giving) -> None:
    file = write_study(tmp_path / "study.yaml", rates=(3e-3, 6e-3, 9e-3), steps=(24, 40))
    plan = plan_of(file, tmp_path / "runs", data)
    broken, doomed, held = (run for run in plan.runs if run.parent is None)
    stopped = next(run for run in plan.runs if run.parent == broken.run_id)
    broken.folder.mkdir(parents=True)
    (broken.folder / "run.json").write_text("{")
    attempts: list[str] = []

    def disturb(worker: WorkerProcess, job: Job) -> None:
        attempts.append(job.run_id)
        if job.run_id == doomed.run_id:
            while not (doomed.folder / "run.json").exists():
                time.sleep(0.01)
            os.kill(worker.identity, signal.SIGKILL)
        elif job.run_id == stopped.run_id and attempts.count(job.run_id) == 1:
            os.kill(worker.identity, signal.SIGSTOP)

    on_giving(disturb)
    recorder = Recorder()
    with RunRecord(held.folder):  # as another process that hangs would
        summary = run_jobs(plan, plan.runs, workers=2, board=recorder.board, patience_seconds=10.0)

    errors = {failure.run_id: failure.error for failure in summary.failures}
    assert set(errors) == {broken.run_id, doomed.run_id, held.run_id}
    assert errors[broken.run_id] == f"{broken.folder}/run.json: not valid JSON; restore it or delete the run folder"
    assert errors[doomed.run_id] == "its worker ended (killed by SIGKILL)"
    kept = read_record(doomed.folder)
    assert (kept["status"], kept["error"]) == ("failed", errors[doomed.run_id])
    holder = f"{held.folder}: already being trained by process {os.getpid()} on "
    assert errors[held.run_id].startswith(holder)
    assert re.search(r", which has written nothing for \d+ s: end that process$", errors[held.run_id])
    assert [attempts.count(run.run_id) for run in (broken, doomed, stopped)] == [1, 3, 2]
    assert recorder.place(f"again     {stopped.run_id}: nothing written for ", "its worker was killed")
    assert (summary.finished, summary.trained) == (3, 3)  # what would have gone on from the three began from scratch
    assert not summary.is_complete
    assert missing_runs(plan.runs) == [broken, doomed, held]
    assert recorder.lines[-1].startswith("3 of 6 runs done, 3 just now in ")


def test_branches_and_targets(data: Path, tmp_path: Path) -> None:
    """A branch starts while its trunk's run goes on; targets are apart, and what they need is kept for them."""
    file = write_study(tmp_path / "study.yaml", steps=(200, 240), target_steps=280, schedule__decay_fraction=0.5)
    plan = plan_of(file, tmp_path / "runs", data)
    trunk, branch = plan.of("family")
    (target,) = plan.of("target")
    assert (branch.parent, target.parent) == (trunk.run_id, branch.run_id)

    recorder = Recorder()
    assert run_jobs(plan, plan.of("family"), workers=2, board=recorder.board).is_complete
    begun = recorder.place("start", branch.run_id)
    assert recorder.place("start", trunk.run_id) < begun < recorder.place("finished", trunk.run_id)
    assert read_record(branch.folder)["lineage"] == {"parent": trunk.run_id, "step": 100}
    assert not checkpoint.find(trunk.folder)
    assert [found.step for found in checkpoint.find(branch.folder)] == [target.parent_step] == [120]
    assert not target.folder.exists()

    assert run_jobs(plan, plan.of("target"), workers=1, board=recorder.board).is_complete
    assert read_record(target.folder)["lineage"] == {"parent": branch.run_id, "step": 120}
    assert not checkpoint.find(branch.folder)
    assert [found.step for found in checkpoint.find(target.folder)] == [280]  # to export


def test_told_to_stop(data: Path, tmp_path: Path, on_giving) -> None:
    plan = plan_of(write_study(tmp_path / "study.yaml", steps=(4000,)), tmp_path / "runs", data)
    (run,) = plan.runs

    def interrupt(worker: WorkerProcess, job: Job) -> None:
        while not (run.folder / "metrics.jsonl").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    on_giving(interrupt)
    recorder = Recorder()
    summary = run_jobs(plan, plan.runs, workers=1, board=recorder.board)
    assert (summary.signal, summary.trained, summary.failures) == (signal.SIGINT, 0, ())
    assert read_record(run.folder)["status"] == "preempted"
    assert [found.step for found in checkpoint.find(run.folder)] == [read_record(run.folder)["progress"]["step"]]
    assert recorder.lines[2] == "stopping: saving 1 runs; once more to stop at once"
    assert recorder.lines[3].endswith("; interrupted: the same command goes on from there")


def test_a_disk_budget_is_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = plan_of(write_study(tmp_path / "free.yaml", seeds=(0, 1)), tmp_path / "runs", data)
    most = max(peak_bytes(run) for run in free.runs)

    def limited(factor: float) -> Plan:
        file = write_study(tmp_path / "study.yaml", seeds=(0, 1), disk_gigabytes=factor * most / 1e9)
        return plan_of(file, tmp_path / "runs", data)

    with pytest.raises(InputError, match=r"study.yaml:\d+: budget.disk_gigabytes: the checkpoints of .* alone take"):
        run_jobs(limited(0.9), limited(0.9).runs, workers=2)

    plan, taken = limited(1.6), []
    start = Crew.hear

    def watch(crew: Crew, seconds: float):
        folders = [run.folder for run in plan.runs]
        taken.append((sum(path.stat().st_size for each in folders for path in each.glob("checkpoints/step*")), crew))
        return start(crew, seconds)

    monkeypatch.setattr(Crew, "hear", watch)
    recorder = Recorder()
    summary = run_jobs(plan, plan.runs, workers=2, board=recorder.board)
    assert summary.is_complete, summary
    assert 0 < max(size for size, _ in taken) <= 1.6 * most
    # Two would not fit beside each other.
    events = [line.split()[0] for line in recorder.lines if line.startswith(("start", "finished"))]
    assert events == ["start", "finished"] * 6


def test_the_verb(data: Path, tmp_path: Path, monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    file = write_study(tmp_path / "study.yaml", steps=(24,), target_steps=32)
    words = ["sweep", "run", str(file), "--runs", str(tmp_path / "runs"), "--data", str(data), "--json", "-"]
    plan = plan_of(file, tmp_path / "runs", data)
    ((family,), (target,)) = plan.of("family"), plan.of("target")
    assert command.main([*words, "--dry-run"]) == 0
    assert json.loads(capfd.readouterr().out) == {"study": "study", "runs": 1, "missing": [family.run_id]}
    assert command.main([*words[:-2], "--dry-run"]) == 0
    assert capfd.readouterr().out == f"{family.run_id}: 3,072 tokens\n1 of 1 runs would be trained\n"
    assert not (tmp_path / "runs").exists()
    assert command.main([*words, "--workers", "0"]) == 2
    assert capfd.readouterr().err == "windtunnel: --workers 0: at least 1\n"

    asked = []
    outcomes = iter(
        [
            Summary(1, 0, 1, 1, (), 1.0, None),
            Summary(1, 0, 0, 0, (Failure(target.run_id, "no good"),), 1.0, None),
            Summary(1, 0, 0, 0, (), 1.0, signal.SIGTERM),
        ]
    )

    def run(plan: Plan, runs, workers: int | None) -> Summary:
        asked.append(([run.run_id for run in runs], workers))
        return next(outcomes)

    monkeypatch.setattr(pool, "run_jobs", run)
    assert command.main(words) == 0
    assert json.loads(capfd.readouterr().out)["diverged"] == 1
    assert command.main([*words, "--only", "targets", "--workers", "3"]) == 1
    assert json.loads(capfd.readouterr().out)["failed"] == [{"run": target.run_id, "error": "no good"}]
    assert command.main(words) == 143
    assert json.loads(capfd.readouterr().out)["missing"] == 1
    assert asked == [([family.run_id], None), ([target.run_id], 3), ([family.run_id], None)]
