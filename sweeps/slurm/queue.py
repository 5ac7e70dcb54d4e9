"""SLURM as its own programs tell it: what of a study is in the queue, and its complaints in one line.

A job is known to be a study's by its name, `windtunnel:STUDY:DIGEST`, and by the file of that digest in the study's
folder: another folder of runs may hold a study of the same name.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from windtunnel.train.errors import InputError

PREFIX = "windtunnel"


@dataclass(frozen=True)
class QueuedTask:
    """A job of the study; `task` is its place in the array, None for a job that is no array."""

    job: int
    task: int | None
    state: str  # PENDING, RUNNING, COMPLETING, ...
    reason: str  # why it waits
    digest: str

    @property
    def name(self) -> str:
        """As SLURM's programs take it."""
        return str(self.job) if self.task is None else f"{self.job}_{self.task}"


def is_there() -> bool:
    return shutil.which("squeue") is not None


def require() -> None:
    """Raises InputError where SLURM is not, before time is spent on what needs it."""
    if not is_there():
        raise _absent("squeue")


def _absent(program: str) -> InputError:
    return InputError(f"no {program} on PATH: this works where SLURM is; sweep run trains on this machine")


def ask(program: str, *arguments: str) -> str:
    """What a program of SLURM prints. Raises InputError with SLURM's own reason, in one line."""
    # Within a job: what that job was given is not what the next one asks for.
    environment = {name: value for name, value in os.environ.items() if not _of_this_job(name)}
    try:
        done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise _absent(program) from None
    if done.returncode:
        lines = [line.strip().removeprefix(f"{program}: ").removeprefix("error: ") for line in done.stderr.splitlines()]
        reason = "; ".join(line for line in lines if line) or f"exit status {done.returncode}"
        raise InputError(f"{program}: {reason}")
    return done.stdout


def _of_this_job(name: str) -> bool:
    return name.startswith("SLURM_") and name not in ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")


def job_name(study: str, digest: str) -> str:
    return f"{PREFIX}:{study}:{digest}"


def study_tasks(study: str, folder: Path) -> list[QueuedTask]:
    """What of the study is in the queue, pending tasks of an array one by one. Raises InputError."""
    shown = ask("squeue", "--me", "--noheader", "--array", "--format=%F|%K|%T|%r|%j")
    found = []
    for line in shown.splitlines():
        job, task, state, reason, name = line.split("|", 4)
        prefix, _, rest = name.partition(":")
        of, _, digest = rest.rpartition(":")
        if prefix == PREFIX and of == study and digest and (folder / f"{digest}.sh").exists():
            found.append(QueuedTask(int(job), int(task) if task.isdigit() else None, state, reason, digest))
    return found


def longest_minutes(partition: str | None) -> int | None:
    """The longest time limit that a partition (None: the default one; several by commas) allows; None: no such limit,
    or none that is told.
    """
    chosen = ["--format=%P|%l", "--noheader", *([f"--partition={partition}"] if partition else [])]
    limits = []
    for line in ask("sinfo", *chosen).splitlines():
        name, _, limit = line.partition("|")
        if partition or name.endswith("*"):
            limits.append(minutes_of(limit))
    known = [limit for limit in limits if limit is not None]
    return min(known, default=None)


def minutes_of(limit: str) -> int | None:
    """Of `[days-]hours:minutes:seconds`, as sinfo writes a limit: `30:00`, `1-00:00:00`, `infinite`."""
    days, dash, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in (*parts, *([days] if dash else []))):
        return None
    hours, minutes, _ = ["0"] * (3 - len(parts)) + parts if len(parts) <= 3 else ["0", "0", "0"]
    return int(days or 0) * 1440 + int(hours) * 60 + int(minutes)


def cancel(jobs: Sequence[int]) -> None:
    """Raises InputError with SLURM's reason."""
    ask("scancel", *map(str, jobs))
