"""`load_table`: the run table of any source."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from windtunnel.analysis.tables.from_dataframe import DataFrame, read_dataframe
from windtunnel.analysis.tables.from_file import read_file
from windtunnel.analysis.tables.from_runs import Evaluations, RunSet, read_run_set, read_runs
from windtunnel.analysis.tables.from_wandb import read_wandb
from windtunnel.analysis.tables.selection import Selection, SourceRows, apply_selection, format_columns
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

TABLE_FILE = "table.csv"  # the table in a study's folder of results
Source = str | Path | RunSet


def load_table(
    source: Source | DataFrame,
    *,
    columns: str | Mapping[str, str] | None = None,
    where: str | None = None,
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    evaluations: Evaluations = "final",
    allow_mixed: bool = False,
) -> Table:
    """The run table of a source: a folder of runs, one run, a CSV (also .csv.gz) or Parquet file, a folder of study
    results, `wandb:ENTITY/PROJECT`, the runs of a study, or a pandas or polars DataFrame. The rows of a DataFrame have
    the digest of the same rows in a CSV file.

    columns: columns of the source, or expressions of them, by the names that laws use: "N=params,D=tokens,loss=val" or
        {"N": "params", "D": "tokens", "loss": "val"}.
    where: a condition on the columns, such as "D >= 2e6"; other rows are left out.
    exclude, include: "RUN=REASON" texts; RUN is a run id, a pattern such as `*-s3-*`, or `row 7`. Runs that are
        unfinished, diverged or whose learning rate has not decayed are excluded unless `include` names them.
    evaluations: "all" adds the evaluations before the end of each run, with `progress` below 1.
    allow_mixed: allow rows from different datasets, schedules or conventions in one table, with a note.

    Raises InputError, one line, for a source that cannot be read and for rows that cannot be fitted together.
    """
    text = columns if columns is None or isinstance(columns, str) else format_columns(columns)
    selection = Selection(text, where, tuple(exclude), tuple(include), allow_mixed)
    return apply_selection(read_rows(source, evaluations), selection)


def read_rows(source: Source | DataFrame, evaluations: Evaluations = "final") -> SourceRows:
    """All rows of a source, by the reader for its kind. Raises InputError."""
    if isinstance(source, RunSet):
        return read_run_set(source, evaluations)
    if hasattr(source, "__arrow_c_stream__"):
        return read_dataframe(source)
    if not isinstance(source, str | Path):
        raise InputError(
            f"no table can be read from {type(source).__name__}; give a path, wandb:ENTITY/PROJECT or a DataFrame"
        )
    if str(source).startswith("wandb:"):
        return read_wandb(str(source), evaluations)
    path = Path(source)
    if (path / TABLE_FILE).exists():
        path = path / TABLE_FILE
    if path.is_dir():
        return read_runs(path, evaluations)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; name a folder of runs, CSV, Parquet or wandb:ENTITY/PROJECT")
    return read_file(path)
