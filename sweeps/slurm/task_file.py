"""The runs of the tasks of an array: one JSON line per task, written before it is submitted and never changed.

A line is a job's input, not its state: the records show which runs are done, and the queue which are waiting. It has
`lanes`, each a list of jobs (`windtunnel.sweeps.execution.job`), and `trunks`, each the runs that continue each other,
including those of other tasks (`windtunnel.sweeps.execution.checkpoint_retention`). Imports no torch.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.train.errors import InputError

Lane = list[dict[str, Any]]  # jobs, for `windtunnel.sweeps.execution.job.parse_job`
Trunk = list[dict[str, Any]]  # runs, for `windtunnel.sweeps.execution.checkpoint_retention.parse_trunk_run`
Texts = Sequence[Sequence[bytes]]


@dataclass(frozen=True)
class TaskText:
    """A task as JSON texts: of each job in each lane, and of each run in each trunk."""

    lanes: Texts
    trunks: Texts = ()


def dump_tasks(tasks: Sequence[TaskText]) -> bytes:
    """The content of the file."""
    return b"".join(
        b'{"lanes":%b,"trunks":%b}\n' % (_json_lists(task.lanes), _json_lists(task.trunks)) for task in tasks
    )


def read_task(path: Path, number: int) -> list[Lane]:
    """The lanes of a task. Raises InputError where there is no such task."""
    lanes: list[Lane] = _read_line(path, number)["lanes"]
    return lanes


def read_trunks(path: Path, number: int) -> list[Trunk]:
    """The trunks of a task's runs. Raises InputError where there is no such task."""
    trunks: list[Trunk] = _read_line(path, number)["trunks"]
    return trunks


def read_run_ids(path: Path) -> list[list[str]]:
    """The run ids of every task. Raises InputError where the file cannot be read."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return [[job["run_id"] for lane in json.loads(line)["lanes"] for job in lane] for line in lines]


def run_folder(job: dict[str, Any]) -> Path:
    return Path(job["config"]["runtime"]["runs_directory"]) / str(job["run_id"])


def _read_line(path: Path, number: int) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            for line_number, line in enumerate(file):
                if line_number == number:
                    content: dict[str, Any] = json.loads(line)
                    return content
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); submit the study again") from None
    raise InputError(f"{path}: has no task {number}; submit the study again")


def _json_lists(texts: Texts) -> bytes:
    return b"[" + b",".join(b"[" + b",".join(lane) + b"]" for lane in texts) + b"]"
