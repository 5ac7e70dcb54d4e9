"""SLURM's own programs: the jobs of a study in the queue, and SLURM's errors as one line.

The jobs of a study have the name `windtunnel:STUDY:DIGEST`, and its folder holds the file of that digest: another
folder of runs may hold a study of the same name.
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
    """A job of the study. `task`: its index in the array; None for a job that is not an array."""

    job: int
    task: int | None
    state: str  # PENDING, RUNNING, COMPLETING, ...
    reason: str  # why it is pending
    digest: str

    @property
    def name(self) -> str:
        """The name that SLURM's programs accept."""
        return str(self.job) if self.task is None else f"{self.job}_{self.task}"


def slurm_available() -> bool:
    return shutil.which("squeue") is not None


def require_slurm() -> None:
    """Raises InputError where SLURM is missing, before time is spent on work that needs it."""
    if not slurm_available():
        raise _missing_program("squeue")


def _missing_program(program: str) -> InputError:
    return InputError(f"no {program} on PATH: this needs SLURM; windtunnel sweep run trains on this machine")


def run_slurm(program: str, *arguments: str) -> str:
    """The output of one of SLURM's programs. Raises InputError with SLURM's reason in one line."""
    # Within a job, its own allocation must not become the request of the next one.
    environment = {name: value for name, value in os.environ.items() if not _describes_this_job(name)}
    try:
        done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise _missing_program(program) from None
    if done.returncode:
        lines = [line.strip().removeprefix(f"{program}: ").removeprefix("error: ") for line in done.stderr.splitlines()]
        reason = "; ".join(line for line in lines if line) or f"exit status {done.returncode}"
        raise InputError(f"{program}: {reason}")
    return done.stdout


def _describes_this_job(variable: str) -> bool:
    return variable.startswith("SLURM_") and variable not in ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")


def job_name(study: str, digest: str) -> str:
    return f"{PREFIX}:{study}:{digest}"


def queued_tasks(study: str, folder: Path) -> list[QueuedTask]:
    """The jobs of a study in the queue, with the pending tasks of an array one by one. Raises InputError."""
    shown = run_slurm("squeue", "--me", "--noheader", "--array", "--format=%F|%K|%T|%r|%j")
    tasks = []
    for line in shown.splitlines():
        job, task, state, reason, name = line.split("|", 4)
        prefix, _, rest = name.partition(":")
        owner, _, digest = rest.rpartition(":")
        if prefix == PREFIX and owner == study and digest and (folder / f"{digest}.sh").exists():
            tasks.append(QueuedTask(int(job), int(task) if task.isdigit() else None, state, reason, digest))
    return tasks


def partition_limit_minutes(partition: str | None) -> int | None:
    """The longest time limit of a partition (None: the default one; several separated by commas). None where it is
    unlimited or not reported.
    """
    chosen = ["--format=%P|%l", "--noheader", *([f"--partition={partition}"] if partition else [])]
    limits = []
    for line in run_slurm("sinfo", *chosen).splitlines():
        name, _, limit = line.partition("|")
        if partition or name.endswith("*"):
            limits.append(parse_minutes(limit))
    return min((limit for limit in limits if limit is not None), default=None)


def parse_minutes(limit: str) -> int | None:
    """Minutes of a time limit as sinfo writes it, `[days-]hours:minutes:seconds`; None of `infinite`."""
    days, dash, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in (*parts, *([days] if dash else []))):
        return None
    hours, minutes, _ = ["0"] * (3 - len(parts)) + parts if len(parts) <= 3 else ["0", "0", "0"]
    return int(days or 0) * 1440 + int(hours) * 60 + int(minutes)


def cancel_jobs(jobs: Sequence[int]) -> None:
    """Raises InputError with SLURM's reason."""
    run_slurm("scancel", *map(str, jobs))
