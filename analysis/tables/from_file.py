"""CSV (plain or compressed) and Parquet files to rows: every line one row, columns float64 or text."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.columns import column_of_text, numpy_column
from windtunnel.analysis.tables.csv_reader import read_csv
from windtunnel.analysis.tables.run_row import TEXT
from windtunnel.analysis.tables.selection import Rows
from windtunnel.analysis.tables.table import HELD_OUT, UNITS, Table
from windtunnel.train.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

OURS = frozenset({"trunk", "cell", "decayed", "progress"})  # a table written by `windtunnel table`
# What run tables of windtunnel, W&B and others call a run that did not come to its end.
UNFINISHED = frozenset({"planned", "running", "preempted", "failed", "diverged", "crashed", "killed", "pending"})


def read_file(path: Path) -> Rows:
    """All rows of a file. A column `run` or `trunk` says which rows share their noise, `seed` which differ by it alone,
    and `status` which did not come to their end. Raises InputError where it cannot be read.
    """
    import pyarrow as pa

    try:
        table = _read(path)
        names = table.column_names
        # A digest of digits alone is no number: the text columns of our own tables stay text.
        text = TEXT if set(names) >= OURS else frozenset()
        columns = {name: numpy_column(_typed(table[place], name in text)) for place, name in enumerate(names)}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = (
            "not UTF-8 text: save it as UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).splitlines()[0]
        )
        raise InputError(f"{path}: cannot be read as {_kind(path)}: {first}") from None
    if len(columns) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: two columns are named {twice}; rename one")
    if not table.num_rows:
        raise InputError(f"{path}: no rows below its header ({', '.join(names) or 'empty'})")
    label = np.char.add("row ", np.arange(1, table.num_rows + 1).astype(np.str_))
    return rows_of_arrays(columns, label, str(path))


def rows_of_arrays(columns: dict[str, NDArray[Any]], label: NDArray[np.str_], source: str) -> Rows:
    """Rows of columns (P,) float64 or str, whoever made them."""
    cluster = next((columns[name] for name in ("trunk", "run") if name in columns), label)
    num_rows = len(label)
    status = columns.get("status", np.full(num_rows, ""))
    fault = np.full(num_rows, "", dtype="<U40")
    if status.dtype.kind != "f":
        bad = np.isin(status, sorted(UNFINISHED))
        fault[bad] = np.char.add("not finished: ", status[bad])
    held_out = columns.get("held_out")  # of a study's table
    if held_out is not None and held_out.dtype.kind == "f":
        fault[(held_out == 1) & (fault == "")] = HELD_OUT
    ours = set(columns) >= OURS
    table = Table(
        columns=columns,
        units={name: unit for name, unit in UNITS.items() if name in columns},
        run=cluster.astype(np.str_),
        cell=columns["cell"].astype(np.str_) if ours else np.full(num_rows, ""),
        label=label,
        source=source,
    )
    return Rows(table, fault, from_records=ours)


def _typed(column: "pa.ChunkedArray", text: bool) -> "pa.ChunkedArray":
    import pyarrow as pa

    return column_of_text(column) if pa.types.is_string(column.type) and not text else column


def _kind(path: Path) -> str:
    return "Parquet" if path.suffix.lower() in (".parquet", ".pq") else "CSV"


def _read(path: Path) -> "pa.Table":
    if _kind(path) == "Parquet":
        import pyarrow.parquet as parquet

        return parquet.ParquetFile(path).read()
    return read_csv(path)
