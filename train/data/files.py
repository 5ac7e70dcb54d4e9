"""Documents from files and from the hub: plain text, JSON lines, parquet, and streamed data sets.

A text file is one document and its own group. A record of the other formats is one document, alone in its group unless
a group field is named. Compressed files (.gz, .xz, .bz2) are read as they are.
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
from windtunnel.train.data.specification import OFFLINE_SPECIFICATIONS
from windtunnel.train.errors import InputError

_OPENERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_BUILDERS = {"jsonl": "json", "parquet": "parquet"}


def matching(kind: str, pattern: str) -> list[Path]:
    """The files a glob names, sorted. Raises InputError where there is none, or one is empty."""
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
    """A digest of names, sizes and times of the files, to notice a change; None where there is no file any more."""
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in _files(pattern)]
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16] if states else None


def content_digest(pattern: str) -> str:
    """A digest of names and contents of the files, however old they are."""
    contents = []
    for path in _files(pattern):
        with path.open("rb") as file:
            contents.append((str(path), hashlib.file_digest(file, "sha256").hexdigest()))
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]


def _files(pattern: str) -> list[Path]:
    try:
        expanded = str(Path(pattern).expanduser())
    except RuntimeError:  # ~name of no user, or ~ of a user without a home
        raise InputError(f"{pattern}: there is no such home folder: write the path in full") from None
    found = glob.glob(expanded, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return sorted(path for path in map(Path, found) if path.is_file())


def read_text(pattern: str) -> Iterator[Document]:
    """One document per file. Raises InputError for a binary file or one that is not UTF-8, with the byte offset."""
    for path in matching("text", pattern):
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
    """One document per record of JSON lines or parquet files. Raises InputError for what cannot be read, with file and
    place.
    """
    datasets = _datasets()
    for path in matching(kind, pattern):
        try:
            rows = datasets.load_dataset(
                _BUILDERS[kind], data_files=[glob.escape(str(path))], split="train", streaming=True
            )
            yield from _documents(rows, str(path), text_field, group_field)
        except InputError:
            raise
        except Exception as error:  # pyarrow, datasets and json each raise their own
            raise InputError(_diagnosis(kind, path, error)) from error


def read_hub(argument: str, text_field: str, group_field: str | None) -> Iterator[Document]:
    """One document per record of a hub data set (NAME or NAME:CONFIG), streamed from its train split in its own order.

    NAME may be a local folder of data files, which takes the same path. Raises InputError where it cannot be reached.
    """
    name, _, configuration = argument.partition(":")
    try:
        rows = _datasets().load_dataset(name, configuration or None, split="train", streaming=True)
        yield from _documents(rows, f"hub:{argument}", text_field, group_field)
    except InputError:
        raise
    except Exception as error:  # offline, absent, gated, broken: the hub's libraries raise dozens of kinds
        raise InputError(
            f"hub:{argument} cannot be read ({type(error).__name__}: {_one_line(error)}): check the name and the "
            "network, "
            f"or use a source that needs none: {OFFLINE_SPECIFICATIONS}"
        ) from error


def _documents(
    rows: Iterable[Mapping[str, Any]], where: str, text_field: str, group_field: str | None
) -> Iterator[Document]:
    for number, row in enumerate(rows, start=1):
        place = f"{where} record {number}"
        text = row.get(text_field)
        if text is None:
            present = ", ".join(sorted(name for name, value in row.items() if value is not None)) or "none"
            raise InputError(
                f"{place}: no text in field {text_field!r}: name the field in text_field (present: {present})"
            )
        if not isinstance(text, str):
            raise InputError(
                f"{place}: field {text_field!r} holds {type(text).__name__}, not text: name another in text_field"
            )
        group = None
        if group_field is not None:
            if row.get(group_field) is None:
                raise InputError(
                    f"{place}: no value in group field {group_field!r}: name another in group_field, or none"
                )
            group = json.dumps(row[group_field], sort_keys=True, default=str)
        yield Document(text, group, place)


def _diagnosis(kind: str, path: Path, error: Exception) -> str:
    """Why a file could not be read: the libraries say what, this finds where."""
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
                return f"{path} line {number} is not valid JSON ({_one_line(broken)}): mend or remove the line"
            offset += len(line) + 1
    reason = f"{type(error).__name__}: {_one_line(error)}"
    return f"{path} cannot be read as {kind} ({reason}): mend the file or leave it out of the glob"


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
            f"{path} cannot be read ({_one_line(error)}): mend the file or leave it out of the glob"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or "no message"


def _datasets() -> Any:
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what it would log becomes our one line
    return datasets
