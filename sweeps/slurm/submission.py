"""Runs of a plan as one array job of SLURM, and `windtunnel` commands as jobs after it.

Everything a job needs is in `RUNS/.studies/STUDY/`: its script and the list of its tasks, both named by their hash, and
its output. What was submitted is known from SLURM's queue alone.
"""

import hashlib
import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from windtunnel.sweeps.execution.checkpoint_retention import dump_trunk_run, make_trunk_run
from windtunnel.sweeps.execution.disk_budget import Trunks
from windtunnel.sweeps.execution.file_lock import exclusive_lock
from windtunnel.sweeps.execution.job import dump_job, make_job
from windtunnel.sweeps.slurm.packing import DurationOf, Task, pack, trunk_chains
from windtunnel.sweeps.slurm.profile import ClusterProfile
from windtunnel.sweeps.slurm.queue import (
    QueuedTask,
    cancel_jobs,
    job_name,
    partition_limit_minutes,
    queued_tasks,
    run_slurm,
)
from windtunnel.sweeps.slurm.task_file import TaskText, dump_tasks, read_run_ids
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import source_root
from windtunnel.train.records import is_final, write_atomically

TIME_LIMIT_FACTOR = 2.0  # time limit over the estimate: a job that meets its limit is requeued and has to wait again
START_SECONDS = 300.0  # of a job before its first step, on a slow file system
DIGEST_LENGTH = 12
LOCK_SECONDS = 60.0
# Until Python handles signals: one during the setup would end the job, and SLURM would not requeue it.
HEADER = ("#!/bin/bash", "trap '' TERM USR2")


@dataclass(frozen=True)
class Submission:
    """The outcome of `submit_runs`."""

    job: int | None  # the new array; None where no run was missing
    tasks: int  # in the new array
    submitted: tuple[str, ...]  # run ids
    queued: tuple[str, ...]  # in the queue before
    final: tuple[str, ...]  # trained before
    minutes: int  # time limit of a task
    waiting_for: tuple[int, ...]  # all jobs in the queue that train these runs: the dependency of a continuation


def format_submission(submission: Submission) -> str:
    counts = [(len(submission.final), "trained already"), (len(submission.queued), "in the queue already")]
    others = ", ".join(f"{number} {what}" for number, what in counts if number)
    if submission.job is None:
        return f"nothing to submit ({others})"
    return (
        f"{_count(len(submission.submitted), 'run')} in {_count(submission.tasks, 'task')} of job {submission.job}, "
        f"each within {submission.minutes} min{f' ({others})' if others else ''}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def study_folder(runs_directory: Path, study: str) -> Path:
    """The folder of scripts, task lists and output of a study's jobs, in the folder of its runs."""
    return runs_directory.resolve() / ".studies" / study


def create_study_folder(plan: Plan) -> Path:
    """Create `study_folder`. Raises InputError where that fails."""
    folder = study_folder(Path(plan.runs[0].config.runtime.runs_directory), plan.file.name)
    try:
        (folder / "output").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror}); use another folder of runs") from None
    return folder


@contextmanager
def submission_lock(folder: Path) -> Iterator[None]:
    """Exclude other processes that submit this study: each would find the same runs missing. Raises InputError where
    another holds the lock for too long.
    """
    busy = f"{folder}: another process is submitting this study; repeat when it is done"
    with exclusive_lock(folder / "lock", LOCK_SECONDS, busy):
        yield


def submit_runs(
    plan: Plan,
    runs: Sequence[PlannedRun],
    profile: ClusterProfile,
    *,
    duration_of: DurationOf,
    dependency: Sequence[int] = (),
) -> Submission:
    """Submit those of these runs that are neither trained nor in the queue, to start after the jobs of `dependency`
    have ended, successfully or not. Returns at once. Raises InputError with SLURM's reason.
    """
    folder = create_study_folder(plan)
    with submission_lock(folder):
        in_queue = queued_runs(folder, queued_tasks(plan.file.name, folder))
        return submit_missing(plan, runs, profile, in_queue, duration_of=duration_of, dependency=dependency)


def submit_missing(
    plan: Plan,
    runs: Sequence[PlannedRun],
    profile: ClusterProfile,
    in_queue: Mapping[str, QueuedTask],
    *,
    duration_of: DurationOf,
    dependency: Sequence[int] = (),
) -> Submission:
    """`submit_runs` for a caller that holds the lock and knows the queue."""
    final = [run for run in runs if is_final(run.folder)]
    done = {run.run_id for run in final}
    queued = [run for run in runs if run.run_id in in_queue and run.run_id not in done]
    missing = [run for run in runs if run.run_id not in in_queue and run.run_id not in done]
    training_jobs = {in_queue[run.run_id].job for run in queued}
    job, minutes, tasks = None, 0, []
    if missing:
        tasks = pack(
            trunk_chains(plan, missing, duration_of),
            target_seconds=60 * profile.target_minutes,
            workers=profile.workers,
            max_tasks=profile.most_tasks,
        )
        minutes = time_limit_minutes(max(task.seconds for task in tasks), profile)
        job = _submit_array(plan, tasks, create_study_folder(plan), profile, minutes, dependency)
        training_jobs.add(job)
    submitted, waiting, trained = (tuple(run.run_id for run in group) for group in (missing, queued, final))
    return Submission(job, len(tasks), submitted, waiting, trained, minutes, tuple(sorted(training_jobs)))


def submit_command(
    plan: Plan,
    arguments: Sequence[str],
    profile: ClusterProfile,
    *,
    dependency: Sequence[int] = (),
    minutes: float = 60.0,
) -> int:
    """Submit a job that runs `windtunnel ARGUMENTS` in this directory after the jobs of `dependency` have ended,
    successfully or not. A preempted job starts again, so the command must allow repetition. Raises InputError with
    SLURM's reason.
    """
    folder = create_study_folder(plan)
    script = _script(profile, [sys.executable, "-P", "-m", "windtunnel", *arguments])
    digest = _digest(script.encode())
    path = folder / f"{digest}.sh"
    write_atomically(path, script.encode())
    options = [
        f"--job-name={job_name(plan.file.name, digest)}",
        f"--output={_output_pattern(folder)}/%j.log",
        f"--time={time_limit_minutes(60 * minutes / TIME_LIMIT_FACTOR, profile)}",
    ]
    return _sbatch(profile, options, dependency, path)


def cancel_study(study: str, runs_directory: Path) -> list[QueuedTask]:
    """Cancel the jobs of a study that are in the queue; their tasks. Raises InputError with SLURM's reason."""
    folder = study_folder(runs_directory, study)
    # A continuation submits under this lock, and not where it was canceled. Its own job goes first, because the end of
    # the jobs that it waits for would start it.
    with submission_lock(folder) if folder.exists() else nullcontext():
        tasks = queued_tasks(study, folder)
        for is_array in (False, True):
            jobs = sorted({task.job for task in tasks if (task.task is not None) == is_array})
            if jobs:
                cancel_jobs(jobs)
    return tasks


def queued_runs(folder: Path, tasks: Sequence[QueuedTask]) -> dict[str, QueuedTask]:
    """Run id -> its task in the queue."""
    lists: dict[str, list[list[str]]] = {}
    queued: dict[str, QueuedTask] = {}
    for task in tasks:
        if task.task is not None:
            if task.digest not in lists:
                lists[task.digest] = read_run_ids(_tasks_path(folder, task.digest))
            queued |= dict.fromkeys(lists[task.digest][task.task], task)
    return queued


def time_limit_minutes(seconds: float, profile: ClusterProfile) -> int:
    """The time limit for work of so many seconds, at most what the profile or the partition allows."""
    needed = math.ceil((TIME_LIMIT_FACTOR * seconds + START_SECONDS + profile.signal_seconds) / 60)
    if profile.time_minutes is not None:
        return min(needed, profile.time_minutes)
    limit = partition_limit_minutes(profile.partition)
    return needed if limit is None else min(needed, max(1, limit))


def _submit_array(
    plan: Plan, tasks: Sequence[Task], folder: Path, profile: ClusterProfile, minutes: int, dependency: Sequence[int]
) -> int:
    trunks = Trunks(plan)
    content = dump_tasks([_task_text(plan, trunks, task) for task in tasks])
    digest = _digest(content, "\n".join(profile.setup).encode())
    write_atomically(_tasks_path(folder, digest), content)
    words = [sys.executable, "-P", "-m", "windtunnel.sweeps.slurm.task", str(_tasks_path(folder, digest))]
    script = folder / f"{digest}.sh"
    write_atomically(script, _script(profile, words, ' "$SLURM_ARRAY_TASK_ID"').encode())
    at_once = f"%{profile.at_once}" if profile.at_once is not None else ""
    options = [
        f"--job-name={job_name(plan.file.name, digest)}",
        f"--array=0-{len(tasks) - 1}{at_once}",
        f"--output={_output_pattern(folder)}/%A_%a.log",
        f"--time={minutes}",
        f"--signal=B:USR2@{profile.signal_seconds}",
    ]
    return _sbatch(profile, options, dependency, script)


def _task_text(plan: Plan, trunks: Trunks, task: Task) -> TaskText:
    runs = [run for lane in task.lanes for run in lane.runs]
    own_trunks = {trunks.trunk_of(run.run_id)[0].run_id: trunks.trunk_of(run.run_id) for run in runs}
    return TaskText(
        [[dump_job(make_job(plan, run)) for run in lane.runs] for lane in task.lanes],
        [[dump_trunk_run(make_trunk_run(run)) for run in trunk] for trunk in own_trunks.values()],
    )


def _sbatch(profile: ClusterProfile, options: Sequence[str], dependency: Sequence[int], script: Path) -> int:
    after = [f"--dependency=afterany:{':'.join(map(str, dependency))}"] if dependency else []
    common = ["--parsable", "--ntasks=1", "--requeue", "--open-mode=append", f"--chdir={Path.cwd()}"]
    return int(run_slurm("sbatch", *common, *options, *after, *profile.options(), str(script)).split(";")[0])


def _script(profile: ClusterProfile, words: Sequence[str], rest: str = "") -> str:
    """The job script. With `exec`, signals to the batch script reach Python itself."""
    root = source_root()
    path = [] if root is None else [f'export PYTHONPATH={shlex.quote(str(root))}"${{PYTHONPATH:+:$PYTHONPATH}}"']
    return "\n".join([*HEADER, *path, *profile.setup, f"exec {shlex.join(words)}{rest}", ""])


def _tasks_path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.jsonl"


def _output_pattern(folder: Path) -> str:
    """The folder of job output as a SLURM file name pattern, in which % is special."""
    return str(folder / "output").replace("%", "%%")


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:DIGEST_LENGTH]
