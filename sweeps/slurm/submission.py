"""Runs of a plan as one array job of SLURM, and command lines as jobs after it.

Everything a job needs lies below `RUNS/.studies/STUDY/`: the script and the list of its tasks, both named by their
hash, and the output. What has been submitted is known from SLURM's queue alone.
"""

import hashlib
import math
import shlex
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from windtunnel.sweeps.execution.checkpoint_retention import trunk_run, write_trunk_run
from windtunnel.sweeps.execution.disk_budget import Trunks
from windtunnel.sweeps.execution.file_lock import held
from windtunnel.sweeps.execution.job import is_final, job_of, write_job
from windtunnel.sweeps.slurm.packing import Seconds, Task, chains, pack
from windtunnel.sweeps.slurm.profile import Cluster
from windtunnel.sweeps.slurm.queue import QueuedTask, ask, job_name, longest_minutes, study_tasks
from windtunnel.sweeps.slurm.task_file import TaskText, dump_tasks, read_run_ids
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

SAFETY = 2.0  # of a time limit over the estimate: a job that meets its limit is requeued and goes on, but waits again
START_SECONDS = 300.0  # of a job before its first step, on a slow file system
DIGEST_LENGTH = 12
LOCK_SECONDS = 60.0
# Until Python listens: a signal during the set-up must not end the job, which would then not be requeued.
HEADER = ("#!/bin/bash", "trap '' TERM USR2")


@dataclass(frozen=True)
class Submission:
    """What a call to `submit_runs` found and did."""

    job: int | None  # of the new array; None where nothing was missing
    tasks: int  # of it
    submitted: tuple[str, ...]  # run ids
    queued: tuple[str, ...]  # in the queue already
    final: tuple[str, ...]  # trained already
    minutes: int  # the time limit of a task
    waiting_for: tuple[int, ...]  # every job in the queue that trains one of the runs: what a follow-up waits for


def submission_in_words(found: Submission) -> str:
    counts = [(len(found.final), "trained already"), (len(found.queued), "in the queue already")]
    rest = ", ".join(f"{number} {what}" for number, what in counts if number)
    if found.job is None:
        return f"nothing to submit ({rest})"
    return (
        f"{_many(len(found.submitted), 'run')} in {_many(found.tasks, 'task')} of job {found.job}, "
        f"each within {found.minutes} min{f' ({rest})' if rest else ''}"
    )


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def study_folder(runs_directory: Path, study: str) -> Path:
    """Where scripts, task lists and output of a study's jobs lie, beside its runs."""
    return runs_directory.resolve() / ".studies" / study


def submit_runs(
    plan: Plan,
    runs: Sequence[PlannedRun],
    cluster: Cluster,
    *,
    seconds_of: Seconds,
    dependency: Sequence[int] = (),
) -> Submission:
    """Submit what is missing of these runs, neither trained nor in the queue, after the jobs of `dependency` have ended
    however they end; returns at once. Raises InputError with SLURM's reason.
    """
    folder = made_folder(plan)
    with one_at_a_time(folder):
        in_queue = queued_runs(folder, study_tasks(plan.file.name, folder))
        return submit_missing(plan, runs, cluster, in_queue, seconds_of=seconds_of, dependency=dependency)


def submit_missing(
    plan: Plan,
    runs: Sequence[PlannedRun],
    cluster: Cluster,
    in_queue: Mapping[str, QueuedTask],
    *,
    seconds_of: Seconds,
    dependency: Sequence[int] = (),
) -> Submission:
    """`submit_runs` of a caller that is the only one at a time and has asked what is in the queue."""
    final = [run for run in runs if is_final(run.folder)]
    done = {run.run_id for run in final}
    queued = [run for run in runs if run.run_id in in_queue and run.run_id not in done]
    missing = [run for run in runs if run.run_id not in in_queue and run.run_id not in done]
    holding = {in_queue[run.run_id].job for run in queued}
    job, minutes, tasks = None, 0, []
    if missing:
        tasks = pack(
            chains(plan, missing, seconds_of),
            target_seconds=60 * cluster.target_minutes,
            workers=cluster.workers,
            most_tasks=cluster.most_tasks,
        )
        minutes = limit_minutes(max(task.seconds for task in tasks), cluster)
        job = _submit_array(plan, tasks, made_folder(plan), cluster, minutes, dependency)
        holding.add(job)
    return Submission(job, len(tasks), _ids(missing), _ids(queued), _ids(final), minutes, tuple(sorted(holding)))


def submit_command_line(
    plan: Plan, words: Sequence[str], cluster: Cluster, *, dependency: Sequence[int] = (), minutes: float = 60.0
) -> int:
    """A job that runs `windtunnel WORDS` in this directory after the jobs of `dependency` have ended however they end.
    Its words must bear repetition: a preempted one begins again. Raises InputError with SLURM's reason.
    """
    folder = made_folder(plan)
    script = _script(cluster, [sys.executable, "-P", "-m", "windtunnel.sweeps.cli.main", *words])
    digest = _digest(script.encode())
    path = folder / f"{digest}.sh"
    write_atomically(path, script.encode())
    options = [
        f"--job-name={job_name(plan.file.name, digest)}",
        f"--output={_pattern(folder)}/%j.log",
        f"--time={limit_minutes(60 * minutes / SAFETY, cluster)}",
    ]
    return _sbatch(cluster, options, dependency, path)


def queued_runs(folder: Path, tasks: Sequence[QueuedTask]) -> dict[str, QueuedTask]:
    """The task in the queue that each run is part of."""
    lists: dict[str, list[list[str]]] = {}
    found: dict[str, QueuedTask] = {}
    for task in tasks:
        if task.task is not None:
            if task.digest not in lists:
                lists[task.digest] = read_run_ids(_tasks_path(folder, task.digest))
            found |= dict.fromkeys(lists[task.digest][task.task], task)
    return found


def limit_minutes(seconds: float, cluster: Cluster) -> int:
    """The time limit for work of so many seconds: twice that and a start, no more than may be asked for."""
    wanted = math.ceil((SAFETY * seconds + START_SECONDS + cluster.signal_seconds) / 60)
    if cluster.time_minutes is not None:
        return min(wanted, cluster.time_minutes)
    longest = longest_minutes(cluster.partition)
    return wanted if longest is None else min(wanted, max(1, longest))


def made_folder(plan: Plan) -> Path:
    """`study_folder`, there. Raises InputError where it cannot be made."""
    folder = study_folder(Path(plan.runs[0].config.runtime.runs_directory), plan.file.name)
    try:
        (folder / "output").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); use another folder of runs") from None
    return folder


def _submit_array(
    plan: Plan, tasks: Sequence[Task], folder: Path, cluster: Cluster, minutes: int, dependency: Sequence[int]
) -> int:
    trunks = Trunks(plan)
    content = dump_tasks([_task_text(plan, trunks, task) for task in tasks])
    digest = _digest(content, "\n".join(cluster.setup).encode())
    write_atomically(_tasks_path(folder, digest), content)
    words = [sys.executable, "-P", "-m", "windtunnel.sweeps.slurm.task", str(_tasks_path(folder, digest))]
    script = folder / f"{digest}.sh"
    write_atomically(script, _script(cluster, words, ' "$SLURM_ARRAY_TASK_ID"').encode())
    at_once = f"%{cluster.at_once}" if cluster.at_once is not None else ""
    options = [
        f"--job-name={job_name(plan.file.name, digest)}",
        f"--array=0-{len(tasks) - 1}{at_once}",
        f"--output={_pattern(folder)}/%A_%a.log",
        f"--time={minutes}",
        f"--signal=B:USR2@{cluster.signal_seconds}",
    ]
    return _sbatch(cluster, options, dependency, script)


def _task_text(plan: Plan, trunks: Trunks, task: Task) -> TaskText:
    runs = [run for lane in task.lanes for run in lane.runs]
    found = {trunks.of(run.run_id)[0].run_id: trunks.of(run.run_id) for run in runs}
    return TaskText(
        [[write_job(job_of(plan, run)) for run in lane.runs] for lane in task.lanes],
        [[write_trunk_run(trunk_run(run)) for run in trunk] for trunk in found.values()],
    )


def _sbatch(cluster: Cluster, options: Sequence[str], dependency: Sequence[int], script: Path) -> int:
    after = [f"--dependency=afterany:{':'.join(map(str, dependency))}"] if dependency else []
    common = ["--parsable", "--ntasks=1", "--requeue", "--open-mode=append", f"--chdir={Path.cwd()}"]
    return int(ask("sbatch", *common, *options, *after, *cluster.options(), str(script)).split(";")[0])


def _script(cluster: Cluster, words: Sequence[str], rest: str = "") -> str:
    """`exec`: signals for the batch script reach Python itself."""
    return "\n".join([*HEADER, *_house(), *cluster.setup, f"exec {shlex.join(words)}{rest}", ""])


def _house() -> list[str]:
    """A source tree that is not installed is found as it was here."""
    house = Path(__file__).parents[3]
    if str(house) == sysconfig.get_path("purelib"):
        return []
    return [f'export PYTHONPATH={shlex.quote(str(house))}"${{PYTHONPATH:+:$PYTHONPATH}}"']


def _tasks_path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.jsonl"


def _pattern(folder: Path) -> str:
    """The folder of output in SLURM's file name patterns, where % means something."""
    return str(folder / "output").replace("%", "%%")


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:DIGEST_LENGTH]


def _ids(runs: Sequence[PlannedRun]) -> tuple[str, ...]:
    return tuple(run.run_id for run in runs)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Two that submit one study at a time would each find the same runs missing: wait for the other. Raises InputError
    where it takes too long.
    """
    busy = f"{folder}: another process is submitting this study; repeat when it is done"
    with held(folder / "lock", LOCK_SECONDS, busy):
        yield
