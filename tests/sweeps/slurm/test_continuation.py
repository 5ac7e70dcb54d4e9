"""What each call of the closed loop puts into SLURM's queue, where the queue is a list: nothing twice, no step without
the job that goes on after it, and an end where nothing gets better.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.support.tiny_study import plan_of, write_study
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.slurm import queue as slurm_queue
from windtunnel.sweeps.slurm import submission
from windtunnel.sweeps.slurm.continuation import Advance, advance, successor
from windtunnel.sweeps.slurm.profile import Cluster
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError

WORDS = ("study", "closed.yaml", "--submit")


@dataclass
class Queue:
    """Stands in for sbatch, squeue and sinfo."""

    lines: list[list[str]] = field(default_factory=list)  # job, task, state, reason, name
    submitted: list[list[str]] = field(default_factory=list)  # what sbatch was asked

    cancelled: list[list[int]] = field(default_factory=list)  # of each call of scancel

    def ask(self, program: str, *arguments: str) -> str:
        if program == "squeue":
            return "".join("|".join(line) + "\n" for line in self.lines)
        if program == "sinfo":
            return ""
        if program == "scancel":
            self.cancelled.append([int(job) for job in arguments])
            return ""
        assert program == "sbatch"
        self.submitted.append(list(arguments))
        options = dict(word[2:].split("=", 1) for word in arguments if "=" in word)
        job, last = str(len(self.submitted)), options.get("array", "0-0").split("-")[1]
        for task in range(int(last) + 1) if "array" in options else ["N/A"]:
            self.lines.append([job, str(task), "PENDING", "None", options["job-name"]])
        return job

    def set(self, job: int | None, state: str) -> None:
        for line in self.lines:
            if line[0] == str(job):
                line[2] = state

    def end(self, *jobs: int | None) -> None:
        self.lines = [line for line in self.lines if line[0] not in map(str, jobs)]

    def dependency(self, job: int | None) -> str | None:
        assert job is not None
        found = [word for word in self.submitted[job - 1] if word.startswith("--dependency=")]
        return found[0].removeprefix("--dependency=") if found else None

    def script(self, job: int | None) -> str:
        assert job is not None
        return Path(self.submitted[job - 1][-1]).read_text()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    found = Queue()
    for module in (slurm_queue, submission):
        monkeypatch.setattr(module, "ask", found.ask)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return found


@pytest.fixture
def plan(tmp_path: Path, data_directory: Path) -> Plan:
    path = write_study(tmp_path / "closed.yaml", steps=(40, 60), seeds=(0, 1), target_steps=80)
    study = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**study, "analysis": {"laws": ["power:D@E=1"]}}))
    return plan_of(path, tmp_path / "runs", data_directory)


@pytest.fixture
def command(plan: Plan, tmp_path: Path, data_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`command("sweep status")` on the study, where SLURM is: the exit status."""
    monkeypatch.setattr("shutil.which", lambda program: program)
    (tmp_path / "cluster.yaml").write_text("rates: h100\n")

    def run(verb: str, *words: str) -> int:
        folders = ["--runs", str(tmp_path / "runs"), "--data", str(data_directory)]
        if verb != "sweep cancel":
            folders += ["--results", str(tmp_path / "results")]
        if verb == "study":
            folders += ["--submit", "--cluster", str(tmp_path / "cluster.yaml")]
        return main([*verb.split(), str(plan.file.path), *folders, *words])

    return run


def record(run: PlannedRun, status: str) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    content = {"schema": 1, "run_id": run.run_id, "scientific_hash": "", "status": status, "counts": {}, "data": {}}
    content |= {"config": {}, "result": {}, "error": "RuntimeError: no good" if status == "failed" else None}
    (run.folder / "run.json").write_text(json.dumps(content))


def go(plan: Plan, role: str = "family", results_before: int | None = None) -> Advance:
    runs = [run for run in plan.runs if run.role == role]
    return advance(plan, runs, Cluster(gpus=1), WORDS, seconds_of=lambda run: 1.0, results_before=results_before)


def go_on(plan: Plan, queue: Queue, job: int | None, monkeypatch: pytest.MonkeyPatch, role: str = "family") -> Advance:
    """As the continuation `job`, begun by SLURM."""
    queue.set(job, "RUNNING")
    monkeypatch.setenv("SLURM_JOB_ID", str(job))
    words = queue.script(job).split()
    found = go(plan, role, int(words[words.index("--continuation") + 1]))
    monkeypatch.delenv("SLURM_JOB_ID")
    return found


def test_a_step_is_submitted_once_with_the_job_that_goes_on(plan: Plan, queue: Queue) -> None:
    first = go(plan)
    assert (first.submission.job, first.continuation) == (1, 2)
    assert len(first.submission.submitted) == 4
    assert (queue.dependency(1), queue.dependency(2)) == (None, "afterany:1")
    assert "-m windtunnel.sweeps.cli.main study closed.yaml --submit --continuation 0" in queue.script(2)
    assert "--gres=gpu:1" in queue.submitted[0]
    assert "--gres=gpu:1" not in queue.submitted[1]
    for state in ("PENDING", "RUNNING"):
        queue.set(1, state)
        again = go(plan)
        assert (again.submission.job, again.continuation, len(again.submission.queued)) == (None, 2, 4)
    assert len(queue.submitted) == 2


def test_a_call_that_was_killed_between_the_two_is_caught_up(plan: Plan, queue: Queue) -> None:
    go(plan)
    queue.end(2)
    again = go(plan)
    assert (again.submission.job, again.continuation, queue.dependency(3)) == (None, 3, "afterany:1")


def test_where_nothing_is_to_be_trained_a_node_goes_on_at_once(
    plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in plan.of("family"):
        record(run, "finished")
    found = go(plan, role="none")
    assert (found.submission.job, found.continuation, queue.dependency(1)) == (None, 1, None)
    assert go(plan, role="none").continuation == 1
    record(plan.of("target")[0], "failed")  # which a person wants to be tried again
    targets = go_on(plan, queue, 1, monkeypatch, role="target")
    assert (targets.submission.job, targets.continuation, queue.dependency(3)) == (2, 3, "afterany:2")
    assert "--continuation 4" in queue.script(3)
    queue.end(1, 2)
    assert go_on(plan, queue, 3, monkeypatch, role="target").continuation is None


def test_a_failed_run_stops_the_loop_and_a_person_tries_it_again(
    plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(plan)
    failed, *others = plan.of("family")
    record(failed, "failed")
    for run in others:
        record(run, "finished")
    queue.end(1)
    stopped = go_on(plan, queue, 2, monkeypatch)
    assert (stopped.submission.job, stopped.continuation) == (None, None)
    assert stopped.faults == (f"{failed.run_id} failed: RuntimeError: no good",)
    assert len(queue.submitted) == 2
    # The job that stops may still be there when a person repeats the command.
    again = go(plan)
    assert (again.submission.job, again.submission.submitted, again.continuation) == (3, (failed.run_id,), 4)
    # While it is tried again its record says of the last time.
    assert go_on(plan, queue, 4, monkeypatch).continuation == 5
    assert queue.dependency(5) == "afterany:3"


def test_runs_that_left_the_queue_are_submitted_again_while_others_end(
    plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(plan)
    record(plan.runs[0], "finished")
    record(plan.runs[1], "preempted")
    queue.end(1)
    found = go_on(plan, queue, 2, monkeypatch)
    assert (found.submission.job, len(found.submission.submitted), found.continuation) == (3, 3, 4)
    queue.end(2, 3)
    stopped = go_on(plan, queue, 4, monkeypatch)
    assert (stopped.submission.job, stopped.continuation) == (None, None)
    (fault,) = stopped.faults
    assert fault.startswith("no run has come to a result since this job was submitted, and 3 are neither trained nor")
    assert len(queue.submitted) == 4


def test_a_cancelled_job_submits_nothing(plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    go(plan)
    record(plan.runs[0], "finished")
    queue.end(1)
    queue.set(2, "COMPLETING")
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    with pytest.raises(InputError, match="job 2 was cancelled: nothing is submitted"):
        go(plan, results_before=0)
    assert len(queue.submitted) == 2


def test_a_job_that_is_begun_once_more_leaves_the_rest_to_its_successor(
    plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(plan)
    record(plan.runs[0], "finished")
    queue.end(1)
    after = go_on(plan, queue, 2, monkeypatch).continuation
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    assert successor(plan) == after
    monkeypatch.setenv("SLURM_JOB_ID", str(after))
    assert successor(plan) is None


def test_cancelling_begins_with_the_job_that_would_go_on(
    plan: Plan, queue: Queue, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    go(plan)
    assert command("sweep cancel") == 0
    assert queue.cancelled == [[2], [1]]
    assert capsys.readouterr().out == "closed: cancelled 2 tasks of jobs 1, 2\n"


def test_where_a_failure_stopped_it_stands_in_the_log_and_in_the_status(
    plan: Plan,
    queue: Queue,
    command: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("study") == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "closed: training the family",
        "4 runs in 1 task of job 1, each within 9 min",
        "job 2 goes on from there, through to the score",
    ]
    assert command("sweep status") == 0
    assert "closed loop: training the family; job 2 goes on from there" in capsys.readouterr().out.splitlines()
    failed = plan.runs[0]
    record(failed, "failed")
    for run in plan.runs[1:4]:
        record(run, "finished")
    queue.end(1)
    queue.set(2, "RUNNING")
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    assert command("study", "--continuation", "0") == 1
    lines = [line.split(" s  ")[-1] for line in capsys.readouterr().err.splitlines()]
    assert f"{failed.run_id} failed: RuntimeError: no good" in lines
    assert lines[-1].startswith("closed: runs are missing, so the loop stops here; mend what failed")
    queue.end(2)
    assert command("sweep status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "closed loop: training the family; stopped: 1 failed; windtunnel study goes on from there" in lines
    assert f"failed   {failed.run_id}  RuntimeError: no good" in lines


def test_what_the_job_that_goes_on_asks_for() -> None:
    cluster = Cluster(partition="gpu", gpus="h100:2", workers=2, memory="80G", continuation={"partition": "cpu"})
    assert cluster.for_continuation().options() == ["--partition=cpu", "--mem=80G", "--cpus-per-task=1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--submit", "--workers", "2"], "--workers is of this machine: with --submit say workers in the cluster"),
        (["--cluster", "c.yaml"], "--cluster says how jobs of SLURM are asked for: add --submit, or leave it out"),
        (["--submit"], "no squeue on PATH: this works where SLURM is"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["study", "quickstart", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"windtunnel: {said}")
