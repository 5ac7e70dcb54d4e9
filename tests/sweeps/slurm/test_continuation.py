"""What each step of the pipeline submits, with a list as SLURM's queue: nothing twice, a continuation for every step,
and an end where there is no progress.
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
from windtunnel.sweeps.slurm.continuation import StepSubmission, find_successor, submit_step
from windtunnel.sweeps.slurm.profile import ClusterProfile
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError

WORDS = ("study", "closed.yaml", "--submit")


@dataclass
class Queue:
    """A replacement for sbatch, squeue, sinfo and scancel."""

    lines: list[list[str]] = field(default_factory=list)  # job, task, state, reason, name
    submitted: list[list[str]] = field(default_factory=list)  # arguments of each sbatch call

    canceled: list[list[int]] = field(default_factory=list)  # jobs of each scancel call

    def run_slurm(self, program: str, *arguments: str) -> str:
        if program == "squeue":
            return "".join("|".join(line) + "\n" for line in self.lines)
        if program == "sinfo":
            return ""
        if program == "scancel":
            self.canceled.append([int(job) for job in arguments])
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
        dependencies = [word for word in self.submitted[job - 1] if word.startswith("--dependency=")]
        return dependencies[0].removeprefix("--dependency=") if dependencies else None

    def script(self, job: int | None) -> str:
        assert job is not None
        return Path(self.submitted[job - 1][-1]).read_text()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    replacement = Queue()
    for module in (slurm_queue, submission):
        monkeypatch.setattr(module, "run_slurm", replacement.run_slurm)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return replacement


@pytest.fixture
def plan(tmp_path: Path, data_directory: Path) -> Plan:
    path = write_study(tmp_path / "closed.yaml", steps=(40, 60), seeds=(0, 1), target_steps=80)
    study = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**study, "analysis": {"laws": ["power:D@E=1"]}}))
    return plan_of(path, tmp_path / "runs", data_directory)


@pytest.fixture
def command(plan: Plan, tmp_path: Path, data_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`command("sweep status")` runs that verb on the study, with SLURM available; the exit status."""
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


def submit(plan: Plan, role: str = "family", results_before: int | None = None) -> StepSubmission:
    runs = [run for run in plan.runs if run.role == role]
    return submit_step(
        plan, runs, ClusterProfile(gpus=1), WORDS, duration_of=lambda run: 1.0, results_before=results_before
    )


def continue_as(
    plan: Plan, queue: Queue, job: int | None, monkeypatch: pytest.MonkeyPatch, role: str = "family"
) -> StepSubmission:
    """`submit` in the continuation `job`, started by SLURM."""
    queue.set(job, "RUNNING")
    monkeypatch.setenv("SLURM_JOB_ID", str(job))
    words = queue.script(job).split()
    step = submit(plan, role, int(words[words.index("--continuation") + 1]))
    monkeypatch.delenv("SLURM_JOB_ID")
    return step


def test_step_is_submitted_once_with_its_continuation(plan: Plan, queue: Queue) -> None:
    first = submit(plan)
    assert (first.submission.job, first.continuation) == (1, 2)
    assert len(first.submission.submitted) == 4
    assert (queue.dependency(1), queue.dependency(2)) == (None, "afterany:1")
    assert "-m windtunnel study closed.yaml --submit --continuation 0" in queue.script(2)
    assert "--gres=gpu:1" in queue.submitted[0]
    assert "--gres=gpu:1" not in queue.submitted[1]
    for state in ("PENDING", "RUNNING"):
        queue.set(1, state)
        again = submit(plan)
        assert (again.submission.job, again.continuation, len(again.submission.queued)) == (None, 2, 4)
    assert len(queue.submitted) == 2


def test_missing_continuation_is_submitted_later(plan: Plan, queue: Queue) -> None:
    submit(plan)
    queue.end(2)
    again = submit(plan)
    assert (again.submission.job, again.continuation, queue.dependency(3)) == (None, 3, "afterany:1")


def test_step_without_missing_runs_continues_at_once(plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in plan.family:
        record(run, "finished")
    step = submit(plan, role="none")
    assert (step.submission.job, step.continuation, queue.dependency(1)) == (None, 1, None)
    assert submit(plan, role="none").continuation == 1
    record(plan.targets[0], "failed")  # a user repeated the command, so it is retried
    targets = continue_as(plan, queue, 1, monkeypatch, role="target")
    assert (targets.submission.job, targets.continuation, queue.dependency(3)) == (2, 3, "afterany:2")
    assert "--continuation 4" in queue.script(3)
    queue.end(1, 2)
    assert continue_as(plan, queue, 3, monkeypatch, role="target").continuation is None


def test_failed_run_stops_the_study_until_a_user_repeats_it(
    plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(plan)
    failed, *others = plan.family
    record(failed, "failed")
    for run in others:
        record(run, "finished")
    queue.end(1)
    stopped = continue_as(plan, queue, 2, monkeypatch)
    assert (stopped.submission.job, stopped.continuation) == (None, None)
    assert stopped.problems == (f"{failed.run_id} failed: RuntimeError: no good",)
    assert len(queue.submitted) == 2
    # The stopped job may still be in the queue when a user repeats the command.
    again = submit(plan)
    assert (again.submission.job, again.submission.submitted, again.continuation) == (3, (failed.run_id,), 4)
    # During the retry its record is that of the last attempt.
    assert continue_as(plan, queue, 4, monkeypatch).continuation == 5
    assert queue.dependency(5) == "afterany:3"


def test_lost_runs_are_submitted_again_while_there_is_progress(
    plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(plan)
    record(plan.runs[0], "finished")
    record(plan.runs[1], "preempted")
    queue.end(1)
    step = continue_as(plan, queue, 2, monkeypatch)
    assert (step.submission.job, len(step.submission.submitted), step.continuation) == (3, 3, 4)
    queue.end(2, 3)
    stopped = continue_as(plan, queue, 4, monkeypatch)
    assert (stopped.submission.job, stopped.continuation) == (None, None)
    (problem,) = stopped.problems
    assert problem.startswith("no run got its result since this job was submitted, and 3 are neither trained nor")
    assert len(queue.submitted) == 4


def test_canceled_job_submits_nothing(plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(plan)
    record(plan.runs[0], "finished")
    queue.end(1)
    queue.set(2, "COMPLETING")
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    with pytest.raises(InputError, match="job 2 was canceled: nothing is submitted"):
        submit(plan, results_before=0)
    assert len(queue.submitted) == 2


def test_restarted_continuation_finds_its_successor(plan: Plan, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(plan)
    record(plan.runs[0], "finished")
    queue.end(1)
    after = continue_as(plan, queue, 2, monkeypatch).continuation
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    assert find_successor(plan) == after
    monkeypatch.setenv("SLURM_JOB_ID", str(after))
    assert find_successor(plan) is None


def test_cancel_starts_with_the_continuation(
    plan: Plan, queue: Queue, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    submit(plan)
    assert command("sweep cancel") == 0
    assert queue.canceled == [[2], [1]]
    assert capsys.readouterr().out == "closed: canceled 2 tasks of jobs 1, 2\n"


@pytest.mark.slow
def test_failure_is_in_the_log_and_the_status(
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
        "job 2 continues from there to the scores",
    ]
    assert command("sweep status") == 0
    assert "stage: training the family; job 2 continues from there" in capsys.readouterr().out.splitlines()
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
    assert lines[-1].startswith("closed: runs are missing; fix the cause of the failures and repeat")
    queue.end(2)
    assert command("sweep status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "stage: training the family; stopped (1 failed): windtunnel study continues from there" in lines
    assert f"failed   {failed.run_id}  RuntimeError: no good" in lines


def test_resources_of_a_continuation() -> None:
    cluster = ClusterProfile(partition="gpu", gpus="h100:2", workers=2, memory="80G", continuation={"partition": "cpu"})
    assert cluster.for_continuation().options() == ["--partition=cpu", "--mem=80G", "--cpus-per-task=1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--submit", "--workers", "2"], "--workers is for this machine: with --submit set workers in the cluster"),
        (["--cluster", "c.yaml"], "--cluster sets the resources of SLURM jobs: add --submit, or leave it out"),
        (["--submit"], "no squeue on PATH: this needs SLURM"),
    ],
)
def test_contradicting_options_are_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["study", "quickstart", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"windtunnel: {message}")
