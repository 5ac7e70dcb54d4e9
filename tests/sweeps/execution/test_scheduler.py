"""Workers that die or hang, runs that fail, targets, and a full disk: each costs its own run alone."""

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
from windtunnel.sweeps.execution import scheduler
from windtunnel.sweeps.execution.disk_budget import max_checkpoint_bytes
from windtunnel.sweeps.execution.job import Job
from windtunnel.sweeps.execution.progress_display import ProgressDisplay
from windtunnel.sweeps.execution.scheduler import RunFailure, SweepResult, missing_runs, run_jobs
from windtunnel.sweeps.execution.worker_pool import WorkerPool
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
    """A display whose plain log is kept."""

    def __init__(self) -> None:
        self._text = StringIO()
        self.display = ProgressDisplay(Console(file=self._text, width=200))

    @property
    def lines(self) -> list[str]:
        return self._text.getvalue().splitlines()

    def index(self, *words: str) -> int:
        """The index of the first line with all of these words."""
        return next(index for index, line in enumerate(self.lines) if all(word in line for word in words))


@pytest.fixture
def on_submit(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[WorkerProcess, Job], None]], None]:
    """Call a function just after a job was submitted to a worker."""

    def set_up(action: Callable[[WorkerProcess, Job], None]) -> None:
        original = WorkerProcess.submit

        def submit(worker: WorkerProcess, job: Job) -> None:
            original(worker, job)
            action(worker, job)

        monkeypatch.setattr(WorkerProcess, "submit", submit)

    return set_up


def test_failures_cost_their_own_run_alone(data: Path, tmp_path: Path, on_submit) -> None:
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
            os.kill(worker.pid, signal.SIGKILL)
        elif job.run_id == stopped.run_id and attempts.count(job.run_id) == 1:
            os.kill(worker.pid, signal.SIGSTOP)

    on_submit(disturb)
    recorder = Recorder()
    with RunRecord(held.folder):  # as another process that hangs does
        result = run_jobs(plan, plan.runs, workers=2, display=recorder.display, patience_seconds=10.0)

    errors = {failure.run_id: failure.error for failure in result.failures}
    assert set(errors) == {broken.run_id, doomed.run_id, held.run_id}
    assert errors[broken.run_id] == f"{broken.folder}/run.json: not valid JSON; restore it or delete the run folder"
    assert errors[doomed.run_id] == "its worker ended (killed by SIGKILL)"
    kept = read_record(doomed.folder)
    assert (kept["status"], kept["error"]) == ("failed", errors[doomed.run_id])
    holder = f"{held.folder}: already being trained by process {os.getpid()} on "
    assert errors[held.run_id].startswith(holder)
    assert re.search(r", which has written nothing for \d+ s: end that process$", errors[held.run_id])
    assert [attempts.count(run.run_id) for run in (broken, doomed, stopped)] == [1, 3, 2]
    assert recorder.index(f"retry     {stopped.run_id}: nothing written for ", "its worker was killed")
    assert (result.finished, result.trained) == (3, 3)  # branches of the three trained from scratch
    assert not result.is_complete
    assert missing_runs(plan.runs) == [broken, doomed, held]
    assert recorder.lines[-1].startswith("3 of 6 runs done, 3 trained in ")


def test_branches_and_targets(data: Path, tmp_path: Path) -> None:
    """A branch starts while its parent still trains. Targets train separately, and their checkpoints are kept."""
    file = write_study(tmp_path / "study.yaml", steps=(200, 240), target_steps=280, schedule__decay_fraction=0.5)
    plan = plan_of(file, tmp_path / "runs", data)
    trunk, branch = plan.family
    (target,) = plan.targets
    assert (branch.parent, target.parent) == (trunk.run_id, branch.run_id)

    recorder = Recorder()
    assert run_jobs(plan, plan.family, workers=2, display=recorder.display).is_complete
    start = recorder.index("start", branch.run_id)
    assert recorder.index("start", trunk.run_id) < start < recorder.index("finished", trunk.run_id)
    assert read_record(branch.folder)["lineage"] == {"parent": trunk.run_id, "step": 100}
    assert not checkpoint.find(trunk.folder)
    assert [saved.step for saved in checkpoint.find(branch.folder)] == [target.parent_step] == [120]
    assert not target.folder.exists()

    assert run_jobs(plan, plan.targets, workers=1, display=recorder.display).is_complete
    assert read_record(target.folder)["lineage"] == {"parent": branch.run_id, "step": 120}
    assert not checkpoint.find(branch.folder)
    assert [saved.step for saved in checkpoint.find(target.folder)] == [280]  # to export


def test_interruption(data: Path, tmp_path: Path, on_submit) -> None:
    plan = plan_of(write_study(tmp_path / "study.yaml", steps=(4000,)), tmp_path / "runs", data)
    (run,) = plan.runs

    def interrupt(worker: WorkerProcess, job: Job) -> None:
        while not (run.folder / "metrics.jsonl").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    on_submit(interrupt)
    recorder = Recorder()
    result = run_jobs(plan, plan.runs, workers=1, display=recorder.display)
    assert (result.signal, result.trained, result.failures) == (signal.SIGINT, 0, ())
    assert read_record(run.folder)["status"] == "preempted"
    assert [saved.step for saved in checkpoint.find(run.folder)] == [read_record(run.folder)["progress"]["step"]]
    assert recorder.lines[2] == "stopping: saving 1 runs; interrupt again to stop at once"
    assert recorder.lines[3].endswith("; interrupted: repeat the command to resume")


def test_disk_budget_is_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = plan_of(write_study(tmp_path / "free.yaml", seeds=(0, 1)), tmp_path / "runs", data)
    largest = max(max_checkpoint_bytes(run) for run in free.runs)

    def limited(factor: float) -> Plan:
        file = write_study(tmp_path / "study.yaml", seeds=(0, 1), disk_gigabytes=factor * largest / 1e9)
        return plan_of(file, tmp_path / "runs", data)

    with pytest.raises(InputError, match=r"study.yaml:\d+: budget.disk_gigabytes: the checkpoints of .* alone take"):
        run_jobs(limited(0.9), limited(0.9).runs, workers=2)

    plan, sizes = limited(1.6), []
    original = WorkerPool.poll

    def poll(pool: WorkerPool, seconds: float):
        folders = [run.folder for run in plan.runs]
        sizes.append(sum(path.stat().st_size for folder in folders for path in folder.glob("checkpoints/step*")))
        return original(pool, seconds)

    monkeypatch.setattr(WorkerPool, "poll", poll)
    recorder = Recorder()
    result = run_jobs(plan, plan.runs, workers=2, display=recorder.display)
    assert result.is_complete, result
    assert 0 < max(sizes) <= 1.6 * largest
    # Two would not fit beside each other.
    events = [line.split()[0] for line in recorder.lines if line.startswith(("start", "finished"))]
    assert events == ["start", "finished"] * 6


def test_sweep_run_command(data: Path, tmp_path: Path, monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    file = write_study(tmp_path / "study.yaml", steps=(24,), target_steps=32)
    arguments = ["sweep", "run", str(file), "--runs", str(tmp_path / "runs"), "--data", str(data), "--json", "-"]
    plan = plan_of(file, tmp_path / "runs", data)
    ((family,), (target,)) = plan.family, plan.targets
    assert command.main([*arguments, "--dry-run"]) == 0
    assert json.loads(capfd.readouterr().out) == {"study": "study", "runs": 1, "missing": [family.run_id]}
    assert command.main([*arguments[:-2], "--dry-run"]) == 0
    assert capfd.readouterr().out == f"{family.run_id}: 3,072 tokens\n1 of 1 runs would be trained\n"
    assert not (tmp_path / "runs").exists()
    assert command.main([*arguments, "--workers", "0"]) == 2
    assert capfd.readouterr().err == "windtunnel: workers must be at least 1, got 0\n"

    calls = []
    results = iter(
        [
            SweepResult(1, 0, 1, 1, (), 1.0, None),
            SweepResult(1, 0, 0, 0, (RunFailure(target.run_id, "no good"),), 1.0, None),
            SweepResult(1, 0, 0, 0, (), 1.0, signal.SIGTERM),
        ]
    )

    def run(plan: Plan, runs, workers: int | None) -> SweepResult:
        calls.append(([run.run_id for run in runs], workers))
        return next(results)

    monkeypatch.setattr(scheduler, "run_jobs", run)
    assert command.main(arguments) == 0
    assert json.loads(capfd.readouterr().out)["diverged"] == 1
    assert command.main([*arguments, "--only", "targets", "--workers", "3"]) == 1
    assert json.loads(capfd.readouterr().out)["failed"] == [{"run": target.run_id, "error": "no good"}]
    assert command.main(arguments) == 143
    assert json.loads(capfd.readouterr().out)["missing"] == 1
    assert calls == [([family.run_id], None), ([target.run_id], 3), ([family.run_id], None)]
