"""What the tasks of an array are to train: one JSON line a task, written before it is submitted and never changed.

It is a job's input, not a state: which runs are done the records say, which are waiting SLURM's queue says. A line has
`lanes`, each a list of jobs (`windtunnel.sweeps.execution.job`), and `trunks`, each the runs that go on from each other
(`windtunnel.sweeps.execution.checkpoint_retention`), those of other tasks too. Imports no torch.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.train.errors import InputError

Lane = list[dict[str, Any]]  # jobs, as `windtunnel.sweeps.execution.job.read_job` takes their text
Trunk = list[dict[str, Any]]  # runs, as `windtunnel.sweeps.execution.checkpoint_retention.read_trunk_run` takes them
Texts = Sequence[Sequence[bytes]]


@dataclass(frozen=True)
class TaskText:
    """The text of each job in each lane, and of each run in each trunk."""

    lanes: Texts
    trunks: Texts = ()


def dump_tasks(tasks: Sequence[TaskText]) -> bytes:
    """The file's content."""
    return b"".join(b'{"lanes":%b,"trunks":%b}\n' % (_lists(task.lanes), _lists(task.trunks)) for task in tasks)


def read_task(path: Path, number: int) -> list[Lane]:
    """The lanes of one task. Raises InputError where there are none."""
    lanes: list[Lane] = _line(path, number)["lanes"]
    return lanes


def read_trunks(path: Path, number: int) -> list[Trunk]:
    """The trunks of one task's runs. Raises InputError where there are none."""
    trunks: list[Trunk] = _line(path, number)["trunks"]
    return trunks


def read_run_ids(path: Path) -> list[list[str]]:
    """The runs of every task."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return [[job["run_id"] for lane in json.loads(line)["lanes"] for job in lane] for line in lines]


def folder_of(job: dict[str, Any]) -> Path:
    return Path(job["config"]["runtime"]["runs_directory"]) / str(job["run_id"])


def _line(path: Path, number: int) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            for place, line in enumerate(file):
                if place == number:
                    content: dict[str, Any] = json.loads(line)
                    return content
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); submit the study again") from None
    raise InputError(f"{path}: has no task {number}; submit the study again")


def _lists(texts: Texts) -> bytes:
    return b"[" + b",".join(b"[" + b",".join(each) + b"]" for each in texts) + b"]"
