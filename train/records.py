"""The run record `runs/<run_id>/`, the single source of truth. Imports no torch, so that tables load in a moment.

run.json        status, resolved configuration, lineage, counts in every convention, versions, device, result;
                replaced as a whole
metrics.jsonl   the training curve and evaluations; append-only and bitwise repeatable: a resumed run's equals that
                of an undisturbed one
timings.jsonl   throughput and wall time, which are not repeatable
lock            held (flock) by the one process that trains the run; the kernel releases it when the process ends
"""

import fcntl
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, get_args

from windtunnel.train.errors import InputError

SCHEMA = 1
Status = Literal["planned", "running", "finished", "diverged", "failed", "preempted"]
FINAL_STATUSES: tuple[Status, ...] = ("finished", "diverged")  # the run has a result and is not trained again
Json = dict[str, Any]
RowKind = Literal["train", "evaluation"]  # of a row of metrics.jsonl
ROW_KINDS: tuple[RowKind, RowKind] = ("train", "evaluation")


class AlreadyRunning(RuntimeError):  # noqa: N818 - a state, not an error of the program
    """Another live process holds this run's lock."""


def now() -> str:
    """The time in UTC, as records hold it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it, even after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_record(folder: Path) -> Json:
    """The content of `run.json`. Raises InputError if there is no readable record of this version."""
    path = Path(folder) / "run.json"
    hint = "restore it or delete the run folder"
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder}: no run record here (no run.json); name a folder such as runs/<run_id>") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {hint}") from None
    except ValueError:
        raise InputError(f"{path}: not valid JSON; {hint}") from None
    if not isinstance(record, dict) or record.get("status") not in get_args(Status):
        raise InputError(f"{path}: not a run record; {hint}")
    if record.get("schema") != SCHEMA:
        raise InputError(f"{path}: a record of schema {record.get('schema')}, not {SCHEMA}; train the run again")
    required = {"run_id": str, "scientific_hash": str, "config": dict, "counts": dict, "data": dict}
    required |= {"result": dict} if record["status"] in FINAL_STATUSES else {}
    for name, type_ in required.items():
        if not isinstance(record.get(name), type_):
            raise InputError(f"{path}: its {name} is missing or broken; {hint}")
    return record


def is_final(folder: Path) -> bool:
    """Whether the run in a folder has a result: finished or diverged."""
    return (folder / "run.json").exists() and read_record(folder)["status"] in FINAL_STATUSES


def find_run(name: str, runs_directory: Path) -> Path:
    """The folder of a run given by its id below `runs_directory` or by a path. It may lack a record; `read_record`
    raises InputError then.
    """
    folder = Path(runs_directory) / name
    return Path(name) if not (folder / "run.json").exists() and (Path(name) / "run.json").exists() else folder


def find_runs(directory: Path) -> list[Path]:
    """Run folders directly below `directory`, sorted by name."""
    return sorted(path.parent for path in Path(directory).glob("*/run.json"))


def read_lines(path: Path) -> Iterator[Json]:
    """The complete rows of a JSON lines file, without a last line that was cut off.

    Raises InputError with the line that is not a row with a step.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                continue
            try:
                row = json.loads(line)
                row["step"] + 0  # TypeError unless it is a number
            except (ValueError, TypeError, KeyError):
                raise InputError(
                    f"{path}:{number}: not a row of a curve; delete the run folder and train the run again"
                ) from None
            yield row


def read_metrics(folder: Path, kind: RowKind) -> list[Json]:
    """Rows of one kind in step order.

    train: {step, tokens, loss, rate, gradient_norm}. evaluation: {step, tokens, validation_*}.
    """
    return [row for row in read_lines(Path(folder) / "metrics.jsonl") if row["kind"] == kind]


def read_timings(folder: Path) -> list[Json]:
    """Rows {step, seconds, tokens_per_second} of `timings.jsonl`."""
    return list(read_lines(Path(folder) / "timings.jsonl"))


class RunRecord:
    """A record open for writing. The process that trains the run holds its lock.

    Raises InputError if the folder cannot be written or its record cannot be read, AlreadyRunning if another process
    trains the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.folder / "lock")
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error.strerror}); use another folder") from None
        self._metrics: IO[bytes] | None = None
        self._timings: IO[bytes] | None = None
        try:
            self.content: Json = read_record(self.folder) if (self.folder / "run.json").exists() else {}
        except InputError:
            self.close()
            raise

    @property
    def status(self) -> Status | None:
        status: Status | None = self.content.get("status")
        return status

    def update(self, **values: Any) -> None:
        """Replace top-level entries of `run.json`."""
        self.content = {**self.content, **values, "schema": SCHEMA, "updated": now()}
        write_atomically(self.folder / "run.json", json.dumps(self.content, indent=1, allow_nan=False).encode() + b"\n")

    def rewind(self, step: int) -> None:
        """Delete the rows after `step`. A resumed run writes them again, bit for bit."""
        self._close_files()
        for name in ("metrics.jsonl", "timings.jsonl"):
            path = self.folder / name
            if path.exists():
                write_lines(path, (row for row in read_lines(path) if row["step"] <= step))

    def copy_parent_curve(self, parent: Path, step: int, every_steps: int, milestones: Collection[int]) -> None:
        """Start a branch with the curve of its parent up to `step`.

        Rows that the parent wrote only because it ended there are left out: an incomplete row of the curve, and an
        evaluation that is not at a milestone.
        """
        self._close_files()
        rows = []
        for row in read_lines(Path(parent) / "metrics.jsonl"):
            is_common = row["step"] % every_steps == 0 if row["kind"] == "train" else row["step"] in milestones
            if row["step"] <= step and is_common:
                rows.append(row)
        write_lines(self.folder / "metrics.jsonl", rows)

    def append(self, metrics: Iterable[Mapping[str, Any]], timings: Iterable[Mapping[str, Any]] = ()) -> None:
        """Append rows to `metrics.jsonl` and `timings.jsonl`."""
        self._metrics = self._metrics or (self.folder / "metrics.jsonl").open("ab")
        self._timings = self._timings or (self.folder / "timings.jsonl").open("ab")
        for file, rows in ((self._metrics, metrics), (self._timings, timings)):
            text = b"".join(_line(row) for row in rows)
            if text:
                file.write(text)
                file.flush()

    def sync(self) -> None:
        """Flush appended rows to the disk. A checkpoint must not survive without the curve that leads to it."""
        for file in (self._metrics, self._timings):
            if file is not None:
                os.fsync(file.fileno())

    def _close_files(self) -> None:
        for file in (self._metrics, self._timings):
            if file is not None:
                file.close()
        self._metrics = self._timings = None

    def close(self) -> None:
        """Close the files and release the lock."""
        self._close_files()
        self._lock.close()

    def __enter__(self) -> "RunRecord":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a JSON lines file."""
    write_atomically(path, b"".join(_line(row) for row in rows))


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _lock(path: Path) -> IO[bytes]:
    file = path.open("ab+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().decode(errors="replace").strip() or "another process"
        file.close()
        raise AlreadyRunning(f"{path.parent}: already being trained by {holder}") from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {os.uname().nodename}, since {now()}".encode())
    file.flush()
    return file
