"""A task of an array job without SLURM: killed workers, failed runs, and the requeue."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.tiny_study import PlanStudy, WriteStudy
from windtunnel.sweeps.execution.checkpoint_retention import dump_trunk_run, make_trunk_run
from windtunnel.sweeps.execution.job import dump_job, make_job, train_job
from windtunnel.sweeps.slurm.task import lane_environment
from windtunnel.sweeps.slurm.task_file import TaskText, dump_tasks, read_run_ids, read_task
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train import checkpoint
from windtunnel.train.errors import InputError
from windtunnel.train.records import is_final, read_record

STEPS = (40, 600, 620)


@pytest.fixture
def plan(write_study: WriteStudy, plan_study: PlanStudy) -> Plan:
    """One trunk of three horizons; the second is long enough to be interrupted."""
    return plan_study(write_study(seeds=1, steps=STEPS))


@pytest.fixture
def start(tmp_path: Path, plan: Plan) -> Callable[[], subprocess.Popen[str]]:
    """Start the task that trains them; `scontrol` is a script that writes its arguments to a file."""
    jobs = [dump_job(make_job(plan, run)) for run in plan.runs]
    trunk = [dump_trunk_run(make_trunk_run(run)) for run in plan.runs]
    (tmp_path / "tasks.jsonl").write_bytes(dump_tasks([TaskText([[b"{}"]]), TaskText([jobs], [trunk])]))
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    words = [sys.executable, "-P", "-m", "windtunnel.sweeps.slurm.task", str(tmp_path / "tasks.jsonl"), "1"]

    def run() -> subprocess.Popen[str]:
        environment = {**os.environ, "PATH": path, "SLURM_JOB_ID": "17"}
        return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return run


def wait_for_step(run: PlannedRun, step: int, task: subprocess.Popen[str], after: int = 0) -> int:
    """Wait until a process other than `after` has trained the run past a step; its id."""
    deadline = time.monotonic() + 90
    while True:
        assert task.poll() is None, task.communicate()
        assert time.monotonic() < deadline
        process = process_of(run)
        metrics = run.folder / "metrics.jsonl"
        if process not in (None, after) and metrics.exists() and f'"step":{step},' in metrics.read_text():
            return process
        time.sleep(0.01)


def process_of(run: PlannedRun) -> int | None:
    """The process in its lock file."""
    try:
        return int((run.folder / "lock").read_text().split()[1])
    except (FileNotFoundError, IndexError):
        return None


def kill(run: PlannedRun, process: int) -> None:
    """Kill the process and delete the metrics, so that the progress of the next one is visible."""
    os.kill(process, signal.SIGKILL)
    (run.folder / "metrics.jsonl").write_text("")


def undisturbed(plan: Plan, plan_study: PlanStudy) -> list[bytes]:
    again = plan_study(plan.file.path, "undisturbed")
    for run in again.runs:
        train_job(make_job(again, run))
    return metrics(again)


def metrics(plan: Plan) -> list[bytes]:
    return [(run.folder / "metrics.jsonl").read_bytes() for run in plan.runs]


def test_task_file_holds_lanes_and_runs(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "tasks.jsonl"
    jobs = [dump_job(make_job(plan, run)) for run in plan.runs]
    path.write_bytes(dump_tasks([TaskText([jobs[:1], jobs[1:2]]), TaskText([jobs[2:]])]))
    ids = [run.run_id for run in plan.runs]
    assert read_run_ids(path) == [ids[:2], ids[2:]]
    assert [[job["run_id"] for job in lane] for lane in read_task(path, 0)] == [[ids[0]], [ids[1]]]
    with pytest.raises(InputError, match="has no task 2"):
        read_task(path, 2)


def test_lanes_share_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert [lane_environment(lane)["CUDA_VISIBLE_DEVICES"] for lane in range(3)] == ["2", "5", "2"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "CUDA_VISIBLE_DEVICES" not in lane_environment(0)


@pytest.mark.slow
def test_preemption_and_time_limit_change_no_result(
    plan: Plan, plan_study: PlanStudy, start: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    task = start()
    wait_for_step(plan.runs[1], 60, task)
    task.send_signal(signal.SIGTERM)  # announces a preemption that does not happen: save and continue
    while not any(saved.step >= 60 for saved in checkpoint.find(plan.runs[1].folder)):
        assert task.poll() is None, task.communicate()
    task.send_signal(signal.SIGUSR2)
    _, errors = task.communicate(timeout=60)
    assert task.returncode == 0, errors
    assert (tmp_path / "arguments").read_text() == "requeue 17\n"
    assert "the time limit is near: saving" in errors
    assert read_record(plan.runs[1].folder)["status"] == "preempted"
    assert not plan.runs[2].folder.exists()

    again = start()
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert "resuming at step" in errors
    assert metrics(plan) == undisturbed(plan, plan_study)
    assert [checkpoint.find(run.folder) for run in plan.runs] == [[], [], []]  # none is needed any more


@pytest.mark.slow
def test_run_whose_process_always_crashes_fails_alone(plan: Plan, start: Callable[[], subprocess.Popen[str]]) -> None:
    task = start()
    first = wait_for_step(plan.runs[1], 60, task)
    kill(plan.runs[1], first)
    os.kill(wait_for_step(plan.runs[1], 60, task, after=first), signal.SIGKILL)
    _, errors = task.communicate(timeout=120)
    assert task.returncode == 1, errors
    assert [is_final(run.folder) for run in plan.runs] == [True, False, True]
    record = read_record(plan.runs[1].folder)
    assert (record["status"], record["error"]) == ("failed", "its process was killed by SIGKILL, 2 times")
