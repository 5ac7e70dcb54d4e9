"""A cache of rows beside the runs they came from, so that ten thousand runs load in seconds, and then in a moment.

One Parquet file in the runs folder. A row is used while its run.json has the same time, size and inode; the others are
made anew. It is replaced whole, so that processes may write it side by side, and a folder that cannot be written to
does without.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.columns import numpy_column
from windtunnel.analysis.tables.run_row import TEXT, VERSION, Row

NAME = ".table_index.parquet"
FOLDER, STAMP = "index:folder", "index:stamp"
Arrays = dict[str, NDArray[Any]]


def indexed_columns(directory: Path, folders: Sequence[Path], make_row: Callable[[Path], Row]) -> Arrays:
    """The rows of these run folders below `directory` as columns, in the order of `folders`: from the index where it
    is current, else by `make_row`.
    """
    stamps = {folder.name: _stamp(folder / "run.json") for folder in folders}
    cached = _read(directory / NAME)
    names, had = (cached[FOLDER].tolist(), cached[STAMP].tolist()) if cached else ([], [])
    known = {name for name, stamp in zip(names, had, strict=True) if stamps.get(name) == stamp}
    # A study asks for some of the runs: rows of the others stay for whoever asks for those.
    kept = [place for place, name in enumerate(names) if name in known or _is_other(directory / name, stamps)]
    fresh = [folder for folder in folders if folder.name not in known]
    made = columns_of([{FOLDER: each.name, STAMP: stamps[each.name], **make_row(each)} for each in fresh])
    if not fresh and cached and len(kept) == len(names):
        whole = cached
    else:
        whole = _stack({name: values[kept] for name, values in (cached or {}).items()}, len(kept), made, len(fresh))
        _write(directory / NAME, whole)
    position = {name: place for place, name in enumerate(whole[FOLDER].tolist())}
    order = [position[folder.name] for folder in folders]
    return {name: values[order] for name, values in whole.items() if name not in (FOLDER, STAMP)}


def _is_other(folder: Path, asked: Mapping[str, str]) -> bool:
    return folder.name not in asked and folder.exists()


def columns_of(rows: Sequence[Mapping[str, Any]]) -> Arrays:
    """Rows as columns, with the names of all of them: float64, NaN for what a row lacks; str, "" for what it lacks."""
    names = dict.fromkeys(name for row in rows for name in row)
    found: Arrays = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if _is_text(name):
            found[name] = np.array(["" if value is None else value for value in values], dtype=np.str_)
        else:
            found[name] = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return found


def _is_text(name: str) -> bool:
    return name in TEXT or name in (FOLDER, STAMP)


def _stack(first: Arrays, num_first: int, second: Arrays, num_second: int) -> Arrays:
    found = {}
    for name in dict.fromkeys((*first, *second)):
        lacking = "" if _is_text(name) else np.nan
        pairs = ((first, num_first), (second, num_second))
        found[name] = np.concatenate([part.get(name, np.full(count, lacking)) for part, count in pairs if count])
    return found


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"


def _read(path: Path) -> Arrays | None:
    """The index, or None where there is none of this version or it cannot be read."""
    if not path.exists():
        return None
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        table = parquet.ParquetFile(path).read()
    except (OSError, pa.ArrowException):
        return None
    version = (table.schema.metadata or {}).get(b"version")
    if version != str(VERSION).encode() or not {FOLDER, STAMP} <= set(table.column_names):
        return None
    return {name: numpy_column(table[name]) for name in table.column_names}


def _write(path: Path, columns: Arrays) -> None:
    """Replace the index; it is a cache, so that a failure to write is none of the reader's business."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    temporary = path.with_name(f"{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    try:
        parquet.write_table(pa.table(columns, metadata={"version": str(VERSION)}), temporary)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
