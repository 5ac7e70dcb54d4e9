"""Documents from files and from the Hugging Face hub: plain text, JSON lines, Parquet, and streamed datasets.

A text file is one document. In the other formats each record is one document. Each document is a group unless a
group field is given. Compressed files (.gz, .xz, .bz2) are decompressed.
"""

import bz2
import glob
import gzip
import hashlib
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from windtunnel.train.data.documents import Document
from windtunnel.train.data.specification import OFFLINE_SOURCES
from windtunnel.train.errors import InputError

_OPENERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_BUILDERS = {"jsonl": "json", "parquet": "parquet"}


def matching_files(kind: str, pattern: str) -> list[Path]:
    """The files that match a glob, sorted. Raises InputError if there are none, or one is empty."""
    paths = _files(pattern)
    if not paths:
        raise InputError(
            f"{kind}:{pattern} matches no file (from {Path.cwd()}): check the path, and quote the glob in a shell"
        )
    for path in paths:
        if not path.stat().st_size:
            raise InputError(f"{path} is empty: remove it or leave it out of the glob")
    return paths


def fingerprint(pattern: str) -> str | None:
    """A digest of names, sizes and times of the files; None if no file is left."""
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in _files(pattern)]
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16] if states else None


def content_digest(pattern: str) -> str:
    """A digest of names and contents of the files, whatever their times."""
    contents = []
    for path in _files(pattern):
        with path.open("rb") as file:
            contents.append((str(path), hashlib.file_digest(file, "sha256").hexdigest()))
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]


def _files(pattern: str) -> list[Path]:
    try:
        expanded = str(Path(pattern).expanduser())
    except RuntimeError:  # ~name of an unknown user, or ~ without a home folder
        raise InputError(f"{pattern}: no such home folder: write the full path") from None
    names = glob.glob(expanded, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return sorted(path for path in map(Path, names) if path.is_file())


def read_text(pattern: str) -> Iterator[Document]:
    """One document per file. Raises InputError, with the byte offset, for a file that is binary or not UTF-8."""
    for path in matching_files("text", pattern):
        data = _bytes_of(path)
        if b"\0" in data:
            raise InputError(
                f"{path}: a NUL byte at offset {data.index(0)}, so this is binary, not text: leave it out of the glob"
            )
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not UTF-8 at byte {error.start:,}: convert it, for example with iconv"
            ) from None
        yield Document(text, str(path), str(path))


def read_records(kind: str, pattern: str, text_field: str, group_field: str | None) -> Iterator[Document]:
    """One document per record of JSON lines or Parquet files.

    Raises InputError, with file and line or record, for a record that cannot be read.
    """
    datasets = _datasets()
    for path in matching_files(kind, pattern):
        try:
            rows = datasets.load_dataset(
                _BUILDERS[kind], data_files=[glob.escape(str(path))], split="train", streaming=True
            )
            yield from _documents(rows, str(path), text_field, group_field)
        except InputError:
            raise
        except Exception as error:  # pyarrow, datasets and json raise types of their own
            raise InputError(_diagnosis(kind, path, error)) from error


def read_hub(argument: str, text_field: str, group_field: str | None) -> Iterator[Document]:
    """One document per record of a hub dataset (NAME or NAME:CONFIG), streamed from its train split in its order.

    NAME may be a local folder of data files. Raises InputError if the dataset cannot be read.
    """
    name, _, configuration = argument.partition(":")
    try:
        rows = _datasets().load_dataset(name, configuration or None, split="train", streaming=True)
        yield from _documents(rows, f"hub:{argument}", text_field, group_field)
    except InputError:
        raise
    except Exception as error:  # offline, absent, gated or broken: the hub's libraries raise dozens of types
        raise InputError(
            f"hub:{argument} cannot be read ({type(error).__name__}: {_one_line(error)}): check the name and the "
            f"network, or use a source that needs none: {OFFLINE_SOURCES}"
        ) from error


def _documents(
    rows: Iterable[Mapping[str, Any]], location: str, text_field: str, group_field: str | None
) -> Iterator[Document]:
    for number, row in enumerate(rows, start=1):
        place = f"{location} record {number}"
        text = row.get(text_field)
        if text is None:
            present = ", ".join(sorted(name for name, value in row.items() if value is not None)) or "none"
            raise InputError(
                f"{place}: no text in field {text_field!r}: name the field with text_field=... (present: {present})"
            )
        if not isinstance(text, str):
            raise InputError(
                f"{place}: field {text_field!r} holds {type(text).__name__}, not text: name another with text_field=..."
            )
        group = None
        if group_field is not None:
            if row.get(group_field) is None:
                raise InputError(
                    f"{place}: no value in group field {group_field!r}: name another with group_field=..., or none"
                )
            group = json.dumps(row[group_field], sort_keys=True, default=str)
        yield Document(text, group, place)


def _diagnosis(kind: str, path: Path, error: Exception) -> str:
    """Why a file could not be read, with the place, which the libraries do not report."""
    if kind == "jsonl":
        try:
            lines = _bytes_of(path).split(b"\n")
        except InputError as unreadable:
            return str(unreadable)
        offset = 0
        for number, line in enumerate(lines, start=1):
            if b"\0" in line:
                place = offset + line.index(0)
                return (
                    f"{path}: a NUL byte at offset {place}, so this is binary, not JSON lines: leave it out of the glob"
                )
            try:
                if line.strip():
                    json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as broken:
                place = offset + broken.start
                return f"{path} line {number} is not UTF-8 at byte {place:,}: convert it, for example with iconv"
            except ValueError as broken:
                return f"{path} line {number} is not valid JSON ({_one_line(broken)}): fix or remove the line"
            offset += len(line) + 1
    reason = f"{type(error).__name__}: {_one_line(error)}"
    return f"{path} cannot be read as {kind} ({reason}): fix the file or leave it out of the glob"


def _bytes_of(path: Path) -> bytes:
    opener = _OPENERS.get(path.suffix)
    try:
        if opener is None:
            return path.read_bytes()
        with opener(path) as file:
            data: bytes = file.read()
        return data
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read ({_one_line(error)}): fix the file or leave it out of the glob"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or "no message"


def _datasets() -> Any:
    import datasets  # start-up: it loads pandas and pyarrow

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # its errors are reported by our one line
    return datasets
