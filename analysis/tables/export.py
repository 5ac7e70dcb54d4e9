"""A table as a CSV or Parquet file, which is a source of the same table, and as a JSON document."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError


def write_csv(table: Table, path: Path) -> None:
    """Writes the table as a CSV file. A missing number is an empty cell. Raises InputError if it cannot be written."""
    _write(table, path, csv.write_csv)


def write_parquet(table: Table, path: Path) -> None:
    """Writes the table as a Parquet file. Raises InputError if it cannot be written."""
    _write(table, path, parquet.write_table)


def table_to_dict(table: Table) -> dict[str, Any]:
    """The table as a JSON document: source, digest, columns, rows, exclusions and notes. A missing number is null."""
    columns = table.columns_with_trunk
    values = {name: [_plain(value) for value in column.tolist()] for name, column in columns.items()}
    return {
        "source": table.source,
        "digest": table.digest,
        "num_rows": len(table),
        "columns": [
            {
                "name": name,
                "type": "number" if column.dtype.kind == "f" else "text",
                "unit": table.units.get(name),
            }
            for name, column in table.columns.items()
        ],
        "rows": [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)],
        "excluded": [{"run": row.run, "reason": row.reason} for row in table.excluded],
        "notes": list(table.notes),
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(table: Table, path: Path, write: Callable[[pa.Table, Path], None]) -> None:
    """Writes beside the file and renames, so that no reader sees a part of it."""
    columns = {
        name: pa.array(values, mask=np.isnan(values))
        if values.dtype.kind == "f"
        else pa.array(values.tolist(), pa.string())
        for name, values in table.columns_with_trunk.items()
    }
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(pa.table(columns), temporary)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
