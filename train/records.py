"""The run record: `runs/<run_id>/`, the single source of truth. Imports no torch, so that tables load in a moment.

run.json       status, resolved configuration, lineage, counts in every convention, versions, device, result; replaced
whole metrics.jsonl  the training curve and evaluations, append-only, bitwise repeatable: a resumed run's equals an
undisturbed one's timings.jsonl  throughput and wall time, which are not repeatable lock           held (flock) by the
one process that trains the run; released by the kernel however that process ends
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
FINAL: tuple[Status, ...] = ("finished", "diverged")  # a result: starting the run again does nothing
Json = dict[str, Any]
Kind = Literal["train", "evaluation"]  # of a row of metrics.jsonl
KINDS: tuple[Kind, Kind] = ("train", "evaluation")


class AlreadyRunning(RuntimeError):  # noqa: N818 - it is a state of affairs, not a fault
    """Another live process holds this run's lock."""


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_atomically(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, never half of either, also after a power cut."""
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
    """The content of `run.json`. Raises InputError where there is no readable record of this version."""
    path = Path(folder) / "run.json"
    mend = "restore it or delete the run folder"
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder}: no run record here (no run.json); name a folder such as runs/<run_id>") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {mend}") from None
    except ValueError:
        raise InputError(f"{path}: not valid JSON; {mend}") from None
    if not isinstance(record, dict) or record.get("status") not in get_args(Status):
        raise InputError(f"{path}: not a run record; {mend}")
    if record.get("schema") != SCHEMA:
        raise InputError(f"{path}: a record of schema {record.get('schema')}, not {SCHEMA}; train the run again")
    needed = {"run_id": str, "scientific_hash": str, "config": dict, "counts": dict, "data": dict}
    needed |= {"result": dict} if record["status"] in FINAL else {}
    for name, kind in needed.items():
        if not isinstance(record.get(name), kind):
            raise InputError(f"{path}: its {name} is missing or broken; {mend}")
    return record


def find_run(name: str, runs_directory: Path) -> Path:
    """The folder of a run named by its id below `runs_directory` or by a path; `read_record` says whether it is one."""
    folder = Path(runs_directory) / name
    return Path(name) if not (folder / "run.json").exists() and (Path(name) / "run.json").exists() else folder


def find_runs(directory: Path) -> list[Path]:
    """Run folders directly below `directory`, by name."""
    return sorted(path.parent for path in Path(directory).glob("*/run.json"))


def read_lines(path: Path) -> Iterator[Json]:
    """Complete JSON lines; a last line torn by a kill is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                continue
            try:
                row = json.loads(line)
                row["step"] + 0  # every row stands at a step
            except (ValueError, TypeError, KeyError):
                raise InputError(
                    f"{path}:{number}: not a row of a curve; delete the run folder to train again"
                ) from None
            yield row


def read_metrics(folder: Path, kind: Kind) -> list[Json]:
    """Rows of one kind in step order: `train` {step, tokens, loss, rate, gradient_norm}, `evaluation` {step, tokens,
    validation_*}.
    """
    return [row for row in read_lines(Path(folder) / "metrics.jsonl") if row["kind"] == kind]


def read_timings(folder: Path) -> list[Json]:
    return list(read_lines(Path(folder) / "timings.jsonl"))


class RunRecord:
    """The writer's side: one process holds it for as long as it trains the run."""

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
        """Replace top-level entries of run.json."""
        self.content = {**self.content, **values, "schema": SCHEMA, "updated": now()}
        write_atomically(self.folder / "run.json", json.dumps(self.content, indent=1, allow_nan=False).encode() + b"\n")

    def rewind(self, step: int) -> None:
        """Drop what was written after `step`, so that a resumed run writes it again, bit for bit."""
        self._close_files()
        for name in ("metrics.jsonl", "timings.jsonl"):
            path = self.folder / name
            if path.exists():
                write_lines(path, (row for row in read_lines(path) if row["step"] <= step))

    def adopt(self, parent: Path, step: int, every_steps: int, milestones: Collection[int]) -> None:
        """Begin as `parent` did: its curve up to `step` is this run's own (a branch).

        Left out is what `parent` wrote only because it ended there: an incomplete line, an evaluation off the
        milestones.
        """
        self._close_files()
        kept = []
        for row in read_lines(Path(parent) / "metrics.jsonl"):
            common = row["step"] % every_steps == 0 if row["kind"] == "train" else row["step"] in milestones
            if row["step"] <= step and common:
                kept.append(row)
        write_lines(self.folder / "metrics.jsonl", kept)

    def append(self, metrics: Iterable[Mapping[str, Any]], timings: Iterable[Mapping[str, Any]] = ()) -> None:
        self._metrics = self._metrics or (self.folder / "metrics.jsonl").open("ab")
        self._timings = self._timings or (self.folder / "timings.jsonl").open("ab")
        for file, rows in ((self._metrics, metrics), (self._timings, timings)):
            text = b"".join(_line(row) for row in rows)
            if text:
                file.write(text)
                file.flush()

    def sync(self) -> None:
        """Put what was appended onto the disk: a checkpoint must not outlive the curve that leads to it."""
        for file in (self._metrics, self._timings):
            if file is not None:
                os.fsync(file.fileno())

    def _close_files(self) -> None:
        for file in (self._metrics, self._timings):
            if file is not None:
                file.close()
        self._metrics = self._timings = None

    def close(self) -> None:
        self._close_files()
        self._lock.close()

    def __enter__(self) -> "RunRecord":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
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
