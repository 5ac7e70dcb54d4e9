"""Status by records and queue: each state of a run, and the status without SLURM."""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.tiny_study import PlanStudy, WriteStudy
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.cli.sweep_status import format_status
from windtunnel.sweeps.execution.job import make_job, train_job
from windtunnel.sweeps.slurm.queue import QueuedTask, parse_minutes, queued_tasks, run_slurm
from windtunnel.sweeps.slurm.status import last_step, study_status
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError
from windtunnel.train.records import RunRecord

PENDING = QueuedTask(7, 0, "PENDING", "Priority", "abc")
RUNNING = QueuedTask(7, 1, "RUNNING", "None", "abc")


@pytest.fixture
def plan(write_study: WriteStudy, plan_study: PlanStudy) -> Plan:
    return plan_study(write_study(seeds=1, steps=(40, 60, 80)))


def leave(run: PlannedRun, status: str, error: str | None = None, holder: str | None = None, step: int = 36) -> None:
    """Write a record as a process that trained up to a step leaves it."""
    with RunRecord(run.folder) as record:
        record.update(
            run_id=run.run_id, scientific_hash="", config={}, counts={}, data={}, status=status, error=error, result={}
        )
        record.append([{"kind": "train", "step": step, "loss": 1.0}])
    if holder is not None:
        (run.folder / "lock").write_text(holder)


def state_of(plan: Plan, task: QueuedTask | None, queue_known: bool = True) -> str:
    run = plan.runs[0]
    tasks = [task] if task else [] if queue_known else None
    return study_status(plan, lambda run: 1.0, tasks, {run.run_id: task} if task else {}).runs[0].state


HERE = f"process {os.getpid()} on {socket.gethostname()}, since now"
DEAD = f"process 4194305 on {socket.gethostname()}, since now"  # beyond the largest process id
ELSEWHERE = "process 1 on elsewhere, since now"


HOLDERS = {"here": HERE, "dead": DEAD, "elsewhere": ELSEWHERE}


@pytest.mark.parametrize(
    ("status", "holder", "task", "state"),
    [
        (None, None, None, "missing"),
        (None, None, PENDING, "queued"),
        ("finished", "dead", PENDING, "finished"),
        ("diverged", "dead", None, "diverged"),
        ("running", "here", None, "running"),
        ("running", "here", RUNNING, "running"),
        ("running", "dead", None, "stopped"),
        ("running", "dead", PENDING, "queued"),
        ("running", "elsewhere", RUNNING, "running"),
        ("running", "elsewhere", PENDING, "queued"),
        ("running", "elsewhere", None, "stopped"),
        ("preempted", "dead", None, "stopped"),
        ("preempted", "dead", PENDING, "queued"),
        ("failed", "dead", None, "failed"),
        ("failed", "dead", RUNNING, "failed"),
        ("failed", "dead", PENDING, "queued"),
    ],
)
def test_the_state_of_a_run(
    plan: Plan, status: str | None, holder: str | None, task: QueuedTask | None, state: str
) -> None:
    if status is not None and holder is not None:
        # Names, because a process id in a test's name would differ between the workers that share the tests.
        leave(plan.runs[0], status, holder=HOLDERS[holder])
    assert state_of(plan, task) == state


def test_without_a_queue_the_record_of_another_machine_is_trusted(plan: Plan) -> None:
    leave(plan.runs[0], "running", holder=ELSEWHERE)
    assert state_of(plan, None, queue_known=False) == "running"


@pytest.mark.slow
def test_tokens_and_time_left(plan: Plan) -> None:
    first, second, third = plan.runs
    train_job(make_job(plan, first))
    leave(second, "running", holder=HERE)
    status = study_status(plan, lambda run: 10.0, [RUNNING], {second.run_id: RUNNING, third.run_id: RUNNING})
    assert [each.state for each in status.runs] == ["finished", "running", "queued"]
    # The second continues from step 32, so 4 of its 28 steps are done.
    assert (second.parent_step, status.runs[1].step) == (32, 36)
    assert [each.tokens_done for each in status.runs] == [40 * 128, 4 * 128, 0]
    took = json.loads((first.folder / "run.json").read_text())["performance"]["wall_seconds"]
    assert status.remaining_seconds == pytest.approx((24 / 28 + 1) * took)
    document = status.to_dict()
    assert document["running"] == [{"run_id": second.run_id, "step": 36, "total_steps": 60, "job": "7_1"}]
    assert document["queue"] == [{"job": "7_1", "state": "RUNNING", "reason": "None"}]
    lines = format_status(status)
    assert lines[0] == "tiny: 3 runs: 1 finished, 1 running, 1 queued"
    assert f"running  {second.run_id}  step 36/60  job 7_1" in lines
    assert "job 7: 1 task RUNNING" in lines


def test_time_left_by_flops_without_durations(plan: Plan) -> None:
    assert study_status(plan, None, [], {}).remaining_seconds is None
    assert study_status(plan, None, [], {}).to_dict()["remaining_seconds"] is None
    first, second, third = plan.runs
    train_job(make_job(plan, first))
    took = json.loads((first.folder / "run.json").read_text())["performance"]["wall_seconds"]
    left = took * (second.new_tokens + third.new_tokens) / first.new_tokens
    assert study_status(plan, None, [], {}).remaining_seconds == pytest.approx(left)


def test_last_step_of_torn_metrics(tmp_path: Path) -> None:
    assert last_step(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text('{"step":4}\n{"step":8}\n{"step":1')
    assert last_step(tmp_path) == 8
    (tmp_path / "metrics.jsonl").write_text('{"step":4}\n' + '{"padding":"' + "x" * 5000 + '"}\n{"step":12}\n')
    assert last_step(tmp_path) == 12


@pytest.fixture
def sweep(
    write_study: WriteStudy, data_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """`sweep("status")` runs that command without SLURM; the exit status."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    study = write_study(seeds=1, steps=(40, 60, 80))

    def run(verb: str, *words: str) -> int:
        return main(["sweep", verb, str(study), "--runs", f"{tmp_path}/runs", "--data", str(data_directory), *words])

    return run


def test_without_slurm_status_uses_the_records(
    plan: Plan, sweep: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    leave(plan.runs[0], "failed", error="RuntimeError: no good")
    assert sweep("status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tiny: 3 runs: 1 failed, 2 missing"
    assert f"failed   {plan.runs[0].run_id}  RuntimeError: no good" in lines
    assert "note: no SLURM on PATH; from the records alone" in lines
    assert sweep("status", "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["failed"] == [{"run_id": plan.runs[0].run_id, "error": "RuntimeError: no good"}]
    assert document["queue"] is None


@pytest.mark.parametrize("verb", ["submit", "cancel"])
def test_other_verbs_need_slurm(
    plan: Plan, sweep: Callable[..., int], verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(verb) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "windtunnel: no squeue on PATH: this needs SLURM; windtunnel sweep run trains on this machine"


def test_missing_data_are_noted(plan: Plan) -> None:
    unprepared = replace(plan.runs[0].config.data, content_hash="unprepared")
    config = replace(plan.runs[0].config, data=unprepared)
    status = study_status(replace(plan, runs=(replace(plan.runs[0], config=config),)), lambda run: 1.0, None, {})
    assert not status.to_dict()["prepared"]
    assert any("note: the data are not prepared" in line for line in format_status(status))


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`stand_in("squeue", shell)`: a script in place of one of SLURM's programs."""

    def write(program: str, lines: str) -> None:
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.defpath}")

    return write


def test_jobs_of_a_study_are_found_by_name_and_digest(stand_in: Callable[[str, str], None], tmp_path: Path) -> None:
    (tmp_path / "abc.sh").touch()
    shown = [
        "12|0|RUNNING|None|windtunnel:a|b:c:abc",
        "12|1|PENDING|Priority|windtunnel:a|b:c:abc",
        "13|N/A|PENDING|Dependency|windtunnel:a|b:c:abc",
        "14|N/A|PENDING|None|windtunnel:a|b:c:def",
        "15|N/A|PENDING|None|windtunnel:b:abc",
        "16|N/A|RUNNING|None|wrap",
    ]
    (tmp_path / "shown").write_text("".join(f"{line}\n" for line in shown))
    stand_in("squeue", f"cat {tmp_path}/shown")
    assert [(task.name, task.state) for task in queued_tasks("a|b:c", tmp_path)] == [
        ("12_0", "RUNNING"),
        ("12_1", "PENDING"),
        ("13", "PENDING"),
    ]


def test_slurm_error_is_one_line_and_the_present_job_is_not_inherited(
    stand_in: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("scancel", 'echo "scancel: error: one" >&2; echo "scancel: error: two" >&2; exit 1')
    with pytest.raises(InputError, match=r"^scancel: one; two$"):
        run_slurm("scancel", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    stand_in("sbatch", 'echo "$SLURM_JOB_ID,$SLURM_CONF"')
    assert run_slurm("sbatch") == ",/etc/slurm.conf\n"


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("1:00:00", 60), ("30:00", 30), ("2-12:30:00", 3630), ("infinite", None), ("n/a", None), ("", None)],
)
def test_parse_minutes_of_sinfo_limits(limit: str, minutes: int | None) -> None:
    assert parse_minutes(limit) == minutes
