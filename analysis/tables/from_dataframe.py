"""DataFrames and Arrow tables as rows: every line one row, columns float64 or text.

Legend: P rows.
"""

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from windtunnel.analysis.tables.columns import arrow_to_numpy, parse_arrow_text
from windtunnel.analysis.tables.run_row import TEXT_COLUMNS
from windtunnel.analysis.tables.selection import HELD_OUT_REASON, SourceRows
from windtunnel.analysis.tables.table import DATAFRAME, UNITS, Table, row_labels
from windtunnel.train.errors import InputError

# A source with these columns is a table that windtunnel wrote.
OWN_COLUMNS = frozenset({"trunk", "cell", "decayed", "progress"})
# What run tables of windtunnel, W&B and others call a run that did not finish.
UNFINISHED = frozenset({"planned", "running", "preempted", "failed", "diverged", "crashed", "killed", "pending"})


class DataFrame(Protocol):
    """A DataFrame of pandas or polars, or any other object with the Arrow stream interface."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


def read_dataframe(frame: DataFrame) -> SourceRows:
    """All rows of a DataFrame, read as a CSV file of the same rows is. A pandas index is a column if it has a name.
    Raises InputError if the DataFrame cannot be converted to Arrow.
    """
    try:
        table = pa.table(frame)
        unnamed = [name for name in table.column_names if name.startswith("__index_level_")]
        return rows_from_arrow(table.drop_columns(unnamed), DATAFRAME)
    except InputError:
        raise
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = " ".join(" ".join(map(str, error.args)).split())
        raise InputError(f"{DATAFRAME}: cannot be converted to Arrow: {message}") from None


def rows_from_arrow(table: pa.Table, source: str) -> SourceRows:
    """All rows of an Arrow table. Raises InputError if it has no rows or two columns of one name."""
    names = table.column_names
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{source}: two columns are named {repeated}; rename one")
    if not table.num_rows:
        raise InputError(f"{source}: no rows below its header ({', '.join(names) or 'empty'})")
    # Text columns of windtunnel's own tables stay text: a digest may consist of digits alone.
    text = TEXT_COLUMNS if set(names) >= OWN_COLUMNS else frozenset()
    columns = {name: arrow_to_numpy(table[name] if name in text else parse_arrow_text(table[name])) for name in names}
    return rows_from_arrays(columns, row_labels(table.num_rows), source)


def rows_from_arrays(columns: dict[str, NDArray[Any]], label: NDArray[np.str_], source: str) -> SourceRows:
    """Rows of columns (P,), float64 or str, with their labels (P,). Rows with one `trunk` or `run` share their noise,
    `seed` marks seed replicates, `status` the runs that did not finish.
    """
    num_rows = len(label)
    status = columns.get("status", np.full(num_rows, ""))
    problem = np.full(num_rows, "", dtype="<U40")
    if status.dtype.kind != "f":
        unfinished = np.isin(status, sorted(UNFINISHED))
        problem[unfinished] = np.char.add("not finished: ", status[unfinished])
    held_out = columns.get("held_out")  # of a study's table
    if held_out is not None and held_out.dtype.kind == "f":
        problem[(held_out == 1) & (problem == "")] = HELD_OUT_REASON
    is_own = set(columns) >= OWN_COLUMNS
    table = Table(
        columns=columns,
        units={name: unit for name, unit in UNITS.items() if name in columns},
        run=next((columns[name] for name in ("trunk", "run") if name in columns), label).astype(np.str_),
        cell=columns["cell"].astype(np.str_) if is_own else np.full(num_rows, ""),
        label=label,
        source=source,
    )
    return SourceRows(table, problem, from_records=is_own)
