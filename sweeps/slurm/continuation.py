"""The steps of a study on SLURM: the runs of a step as an array job, followed by one small job, the continuation, which
repeats the command on a node.

No state is kept. The records show which runs are done, and the queue which are waiting. The only job of the study that
is not an array is its continuation. A continuation stops the study where a run failed, or where no run got its result
since the continuation was submitted. When a user repeats the command, everything is retried.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from windtunnel.sweeps.slurm.packing import DurationOf
from windtunnel.sweeps.slurm.profile import ClusterProfile
from windtunnel.sweeps.slurm.queue import QueuedTask, queued_tasks
from windtunnel.sweeps.slurm.submission import (
    Submission,
    create_study_folder,
    queued_runs,
    submission_lock,
    submit_command,
    submit_missing,
)
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError
from windtunnel.train.records import is_final, read_record

RETRY_ALL = -1  # in place of a number of results: a user repeated the command, so failed runs are retried
CONTINUATION_MINUTES = 60.0  # to fit, rank, seal and draw the report


@dataclass(frozen=True)
class StepSubmission:
    """The submitted runs of a step, and its continuation: None where nothing continues, because of `problems`."""

    submission: Submission
    continuation: int | None
    problems: tuple[str, ...] = ()


def submit_step(
    plan: Plan,
    runs: Sequence[PlannedRun],
    profile: ClusterProfile,
    command: Sequence[str],
    *,
    duration_of: DurationOf,
    results_before: int | None = None,
) -> StepSubmission:
    """Submit the missing ones of these runs and, unless one is in the queue, their continuation: the job that repeats
    `command` when they have ended.

    results_before: in a continuation, the number of runs that had a result when it was submitted, or RETRY_ALL; None
    outside one. Raises InputError with SLURM's reason, and where this job was canceled.
    """
    folder = create_study_folder(plan)
    with submission_lock(folder):
        tasks = queued_tasks(plan.file.name, folder)
        in_queue = queued_runs(folder, tasks)
        results = sum(is_final(run.folder) for run in plan.runs)
        problems: tuple[str, ...] = ()
        if results_before is not None:
            _check_not_canceled(tasks)
            if results_before != RETRY_ALL:
                runs, problems = _select_submittable(runs, in_queue, results > results_before)
        submission = submit_missing(plan, runs, profile, in_queue, duration_of=duration_of)
        if results_before is not None and not submission.waiting_for:
            return StepSubmission(submission, None, problems)
        if results_before is not None:
            continuations = _successors(tasks)
        else:  # a running continuation may have read the queue before these runs were in it
            states = ("PENDING",) if submission.job is not None else ("PENDING", "RUNNING")
            continuations = [task.job for task in tasks if task.task is None and task.state in states]
        if continuations:
            return StepSubmission(submission, max(continuations), problems)
        repeated = [*command, "--continuation", str(results if submission.waiting_for else RETRY_ALL)]
        minutes = profile.continuation.time_minutes or CONTINUATION_MINUTES
        job = submit_command(
            plan, repeated, profile.for_continuation(), dependency=submission.waiting_for, minutes=minutes
        )
        return StepSubmission(submission, job, problems)


def find_successor(plan: Plan) -> int | None:
    """The continuation that this one submitted before SLURM started it again."""
    return max(_successors(queued_tasks(plan.file.name, create_study_folder(plan))), default=None)


def find_continuation(tasks: Sequence[QueuedTask]) -> QueuedTask | None:
    """The continuation of a study in the queue."""
    return max((task for task in tasks if task.task is None), key=lambda task: task.job, default=None)


def _successors(tasks: Sequence[QueuedTask]) -> list[int]:
    """Continuations submitted after this one. Earlier ones do not count: they leave the rest to this one."""
    own = _own_job()
    return [task.job for task in tasks if task.task is None and own is not None and task.job > own]


def _own_job() -> int | None:
    job = os.environ.get("SLURM_JOB_ID", "")
    return int(job) if job.isdigit() else None


def _check_not_canceled(tasks: Sequence[QueuedTask]) -> None:
    """A canceled job is killed some seconds later and must not submit anything until then."""
    own = _own_job()
    if own is not None and not any(task.job == own and task.state == "RUNNING" for task in tasks):
        raise InputError(f"job {own} was canceled: nothing is submitted")


def _select_submittable(
    runs: Sequence[PlannedRun], in_queue: Mapping[str, QueuedTask], progress: bool
) -> tuple[list[PlannedRun], tuple[str, ...]]:
    """The runs that a continuation may wait for or submit again, and the problems of the others."""
    hopeful, problems, lost = [], [], []
    for run in runs:
        error = None if run.run_id in in_queue else _failure(run)
        if error is not None:
            problems.append(f"{run.run_id} failed: {error}")
        elif run.run_id in in_queue or progress or is_final(run.folder):
            hopeful.append(run)
        else:
            lost.append(run)
    if lost:
        problems.append(
            f"no run got its result since this job was submitted, and {len(lost)} are neither trained nor in the "
            f"queue, the first {lost[0].run_id}: see the output of its task, then repeat the command"
        )
    return hopeful, tuple(problems)


def _failure(run: PlannedRun) -> str | None:
    if not (run.folder / "run.json").exists():
        return None
    record = read_record(run.folder)
    return str(record.get("error") or "no error is recorded") if record["status"] == "failed" else None
