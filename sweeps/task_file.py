"""What the tasks of an array are to train: one JSON line a task, written before it is submitted and never changed.

It is a job's input, not a state: which runs are done the records say, which are waiting SLURM's queue says. A line is a
list of lanes, a lane a list of jobs (`sweeps.job`). Imports no torch.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.errors import InputError

Lane = list[dict[str, Any]]  # jobs, as `sweeps.job.read_job` takes their text


def dump_tasks(tasks: Sequence[Sequence[Sequence[bytes]]]) -> bytes:
    """The file's content, from the text of each job."""
    return b"".join(_list(_list(lane) for lane in lanes) + b"\n" for lanes in tasks)


def read_task(path: Path, number: int) -> list[Lane]:
    """The lanes of one task. Raises InputError where there are none."""
    try:
        with path.open("rb") as file:
            for place, line in enumerate(file):
                if place == number:
                    lanes: list[Lane] = json.loads(line)
                    return lanes
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); submit the study again") from None
    raise InputError(f"{path}: has no task {number}; submit the study again")


def read_run_ids(path: Path) -> list[list[str]]:
    """The runs of every task."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return [[job["run_id"] for lane in json.loads(line) for job in lane] for line in lines]


def folder_of(job: dict[str, Any]) -> Path:
    return Path(job["config"]["runtime"]["runs_directory"]) / str(job["run_id"])


def _list(parts: Any) -> bytes:
    return b"[" + b",".join(parts) + b"]"
