"""Cache of the rows of run records, one Parquet file in the folder of runs.

A row is reused while its run.json keeps its modification time, size and inode; other rows are made again. The file is
replaced as a whole, so that several processes may write it, and nothing is cached in a folder that cannot be written.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from windtunnel.analysis.tables.columns import arrow_to_numpy
from windtunnel.analysis.tables.run_row import TEXT_COLUMNS, VERSION, Row

CACHE_FILE = ".table_index.parquet"
FOLDER, STAMP = "index:folder", "index:stamp"
Arrays = dict[str, NDArray[Any]]


def cached_columns(directory: Path, folders: Sequence[Path], make_row: Callable[[Path], Row]) -> Arrays:
    """The rows of run folders below `directory` as columns, in the order of `folders`. Rows that the cache does not
    have, or that have changed, are made by `make_row`.
    """
    stamps = {folder.name: _stamp(folder / "run.json") for folder in folders}
    cached = _read(directory / CACHE_FILE)
    names, cached_stamps = (cached[FOLDER].tolist(), cached[STAMP].tolist()) if cached else ([], [])
    current = {name for name, stamp in zip(names, cached_stamps, strict=True) if stamps.get(name) == stamp}
    # Rows of runs that are not requested now are kept for later, as long as their folders exist.
    kept = [
        position
        for position, name in enumerate(names)
        if name in current or (name not in stamps and (directory / name).exists())
    ]
    new = [folder for folder in folders if folder.name not in current]
    new_columns = columns_from_rows(
        [{FOLDER: folder.name, STAMP: stamps[folder.name], **make_row(folder)} for folder in new]
    )
    if cached and not new and len(kept) == len(names):
        columns = cached
    else:
        kept_columns = {name: values[kept] for name, values in (cached or {}).items()}
        columns = _concatenate(kept_columns, len(kept), new_columns, len(new))
        _write(directory / CACHE_FILE, columns)
    position = {name: row for row, name in enumerate(columns[FOLDER].tolist())}
    order = [position[folder.name] for folder in folders]
    return {name: values[order] for name, values in columns.items() if name not in (FOLDER, STAMP)}


def columns_from_rows(rows: Sequence[Mapping[str, Any]]) -> Arrays:
    """Rows as columns: float64, NaN where a row has no value, or str, "" where a row has no value."""
    columns: Arrays = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        missing, dtype = ("", np.str_) if _is_text(name) else (np.nan, np.float64)
        values = [row.get(name) for row in rows]
        columns[name] = np.array([missing if value is None else value for value in values], dtype=dtype)
    return columns


def _is_text(name: str) -> bool:
    return name in TEXT_COLUMNS or name in (FOLDER, STAMP)


def _concatenate(first: Arrays, num_first: int, second: Arrays, num_second: int) -> Arrays:
    columns = {}
    for name in dict.fromkeys((*first, *second)):
        missing = "" if _is_text(name) else np.nan
        parts = ((first, num_first), (second, num_second))
        columns[name] = np.concatenate([part.get(name, np.full(count, missing)) for part, count in parts if count])
    return columns


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"


def _read(path: Path) -> Arrays | None:
    """The cached columns, or None if there is no readable cache of this version."""
    if not path.exists():
        return None
    try:
        table = parquet.ParquetFile(path).read()
    except (OSError, pa.ArrowException):
        return None
    version = (table.schema.metadata or {}).get(b"version")
    if version != str(VERSION).encode() or not {FOLDER, STAMP} <= set(table.column_names):
        return None
    return {name: arrow_to_numpy(table[name]) for name in table.column_names}


def _write(path: Path, columns: Arrays) -> None:
    """Replaces the cache. A cache that cannot be written is no error."""
    temporary = path.with_name(f"{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    try:
        parquet.write_table(pa.table(columns, metadata={"version": str(VERSION)}), temporary)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
