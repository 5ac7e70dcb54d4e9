"""The closed loop on SLURM: the runs of a step as an array job, and after them one small job, the continuation, which
repeats the command on a node.

Nothing is remembered in between. What is done the records say, what waits the queue says, and a job of the study that
is no array is its continuation. That one stops the loop where a run failed, or where no run has come to a result since
it was submitted; a person's repetition tries again.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from windtunnel.sweeps.execution.job import is_final
from windtunnel.sweeps.slurm.packing import Seconds
from windtunnel.sweeps.slurm.profile import Cluster
from windtunnel.sweeps.slurm.queue import QueuedTask, study_tasks
from windtunnel.sweeps.slurm.submission import (
    Submission,
    made_folder,
    one_at_a_time,
    queued_runs,
    submit_command_line,
    submit_missing,
)
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError
from windtunnel.train.records import read_record

ANEW = -1  # in place of a number of results: a person asks, and what failed is tried again
CONTINUATION_MINUTES = 60.0  # to fit, rank, seal and draw the report


@dataclass(frozen=True)
class Advance:
    """What has been done about a step. `continuation` goes on after it; None: nothing does, and `faults` say why."""

    submission: Submission
    continuation: int | None
    faults: tuple[str, ...] = ()


def advance(
    plan: Plan,
    runs: Sequence[PlannedRun],
    cluster: Cluster,
    words: Sequence[str],
    *,
    seconds_of: Seconds,
    results_before: int | None = None,
) -> Advance:
    """Submit what is missing of these runs, and the job of `windtunnel WORDS --continuation ...` that goes on when they
    have ended, unless one waits already.

    results_before: of a continuation, how many runs had a result when it was submitted, or ANEW; None: a person asks,
    and not in such a job. Raises InputError with SLURM's reason, and where this job was cancelled.
    """
    folder = made_folder(plan)
    with one_at_a_time(folder):
        tasks = study_tasks(plan.file.name, folder)
        in_queue = queued_runs(folder, tasks)
        results = sum(is_final(run.folder) for run in plan.runs)
        faults: tuple[str, ...] = ()
        if results_before is not None:
            _refuse_cancelled(tasks)
            if results_before != ANEW:
                runs, faults = _worth_a_try(runs, in_queue, results > results_before)
        found = submit_missing(plan, runs, cluster, in_queue, seconds_of=seconds_of)
        if results_before is not None and not found.waiting_for:
            return Advance(found, None, faults)
        if results_before is not None:
            waiting = _successors(tasks)
        else:  # one that runs may have looked before these were submitted
            will_look = ("PENDING",) if found.job is not None else ("PENDING", "RUNNING")
            waiting = [task.job for task in tasks if task.task is None and task.state in will_look]
        if waiting:
            return Advance(found, max(waiting), faults)
        again = [*words, "--continuation", str(results if found.waiting_for else ANEW)]
        minutes = cluster.continuation.time_minutes or CONTINUATION_MINUTES
        job = submit_command_line(
            plan, again, cluster.for_continuation(), dependency=found.waiting_for, minutes=minutes
        )
        return Advance(found, job, faults)


def successor(plan: Plan) -> int | None:
    """The continuation that was submitted after this one, which SLURM has begun once more."""
    return max(_successors(study_tasks(plan.file.name, made_folder(plan))), default=None)


def continuation_of(tasks: Sequence[QueuedTask]) -> QueuedTask | None:
    """The job in the queue that goes on with the loop."""
    return max((task for task in tasks if task.task is None), key=lambda task: task.job, default=None)


def _successors(tasks: Sequence[QueuedTask]) -> list[int]:
    """Continuations that came after the one at hand. It never relies on an earlier one, which leaves the rest to it."""
    own = _own_job()
    return [task.job for task in tasks if task.task is None and own is not None and task.job > own]


def _own_job() -> int | None:
    job = os.environ.get("SLURM_JOB_ID", "")
    return int(job) if job.isdigit() else None


def _refuse_cancelled(tasks: Sequence[QueuedTask]) -> None:
    """A job that was cancelled is killed some seconds later: it must submit nothing in between."""
    own = _own_job()
    if own is not None and not any(task.job == own and task.state == "RUNNING" for task in tasks):
        raise InputError(f"job {own} was cancelled: nothing is submitted")


def _worth_a_try(
    runs: Sequence[PlannedRun], in_queue: Mapping[str, QueuedTask], progress: bool
) -> tuple[list[PlannedRun], tuple[str, ...]]:
    """The runs that a continuation may wait for or submit once more, and what it has to say of the others."""
    kept, failures, lost = [], [], []
    for run in runs:
        error = None if run.run_id in in_queue else _failure(run)
        if error is not None:
            failures.append(f"{run.run_id} failed: {error}")
        elif run.run_id in in_queue or progress or is_final(run.folder):
            kept.append(run)
        else:
            lost.append(run)
    if lost:
        failures.append(
            f"no run has come to a result since this job was submitted, and {len(lost)} are neither trained nor in "
            f"the queue, the first {lost[0].run_id}: look at the output of its task, then repeat the command"
        )
    return kept, tuple(failures)


def _failure(run: PlannedRun) -> str | None:
    if not (run.folder / "run.json").exists():
        return None
    record = read_record(run.folder)
    return str(record.get("error") or "it does not say why") if record["status"] == "failed" else None
