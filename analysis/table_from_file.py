"""CSV (plain or compressed) and Parquet files to rows: every line one row, columns float64 or text."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.arrow_columns import numpy_column
from analysis.table import HELD_OUT, UNITS, Table
from analysis.table_row import TEXT
from analysis.table_selection import Rows
from train.errors import InputError

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
        columns = {name: numpy_column(table[place]) for place, name in enumerate(names)}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0].replace("CSV parse error: ", "")
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
        cell=columns["cell"].astype(np.str_) if ours else _cells(columns, num_rows),
        label=label,
        source=source,
    )
    return Rows(table, fault, from_records=ours)


def _cells(columns: dict[str, NDArray[Any]], num_rows: int) -> NDArray[np.str_]:
    """With a column `seed`: rows that agree in every column of scale and rate."""
    if "seed" not in columns:
        return np.full(num_rows, "")
    names = [name for name in (*UNITS, "epochs", "rate", "schedule") if name in columns and not name.startswith("loss")]
    keys = [columns[name].tolist() for name in names if name != "bits_per_byte"]
    return np.array(["|".join(map(repr, key)) for key in zip(*keys, strict=True)] if keys else [""] * num_rows)


def _kind(path: Path) -> str:
    return "Parquet" if path.suffix.lower() in (".parquet", ".pq") else "CSV"


def _read(path: Path) -> "pa.Table":
    if _kind(path) == "Parquet":
        import pyarrow.parquet as parquet

        return parquet.ParquetFile(path).read()
    import pyarrow as pa
    import pyarrow.csv as csv

    table = csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=False))
    if set(table.column_names) >= OURS:  # a digest of digits alone is no number
        types = dict.fromkeys(TEXT, pa.string())
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=False))
    return table
