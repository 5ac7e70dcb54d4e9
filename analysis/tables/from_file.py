"""CSV files, plain or compressed, and Parquet files as rows: every line one row."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from windtunnel.analysis.tables.csv_reader import read_csv
from windtunnel.analysis.tables.from_dataframe import rows_from_arrow
from windtunnel.analysis.tables.selection import SourceRows
from windtunnel.train.errors import InputError

PARQUET_SUFFIXES = (".parquet", ".pq")


def read_file(path: Path) -> SourceRows:
    """All rows of a file. Raises InputError if it cannot be read or has no rows."""
    is_parquet = path.suffix.lower() in PARQUET_SUFFIXES
    try:
        table = parquet.ParquetFile(path).read() if is_parquet else read_csv(path)
        return rows_from_arrow(table, str(path))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        is_text = not isinstance(error, UnicodeDecodeError)
        problem = str(error).splitlines()[0] if is_text else "not UTF-8 text: save it as UTF-8"
        raise InputError(f"{path}: cannot be read as {'Parquet' if is_parquet else 'CSV'}: {problem}") from None
