"""Run records as rows: one for each run, or one for each evaluation, with the trunk of each.

Legend: P rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.cache import Arrays, cached_columns, columns_from_rows
from windtunnel.analysis.tables.run_row import (
    INTERNAL_COLUMNS,
    OPTIONAL_COLUMNS,
    UNDECAYED,
    Row,
    mid_run_row,
    row_from_record,
)
from windtunnel.analysis.tables.selection import HELD_OUT_REASON, SourceRows
from windtunnel.analysis.tables.table import UNITS, Table
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json, find_runs, read_metrics, read_record

Evaluations = Literal["final", "all"]


@dataclass(frozen=True)
class RunSet:
    """Runs of a study below a directory. Those in `held_out` are its targets: they are in a table, marked in its column
    `held_out`, only if `with_held_out`.
    """

    name: str
    directory: Path
    runs: tuple[str, ...]
    held_out: frozenset[str] = frozenset()
    with_held_out: bool = False

    def __str__(self) -> str:
        return self.name


def read_runs(directory: Path, evaluations: Evaluations) -> SourceRows:
    """All rows of the runs in `directory` or its folder `runs`, or of the run that `directory` is. Raises InputError if
    there are no runs or a record cannot be read.
    """
    if (directory / "run.json").exists():
        folder = directory.resolve()
        return rows_from_records(columns_from_rows([_read_row(folder)]), str(directory), evaluations, lambda _: folder)
    folders = find_runs(directory)
    if not folders and (directory / "runs").is_dir():
        directory = directory / "runs"
        folders = find_runs(directory)
    if not folders:
        raise InputError(f"{directory}: no runs here (no */run.json); name a folder such as runs/, or a CSV file")
    columns = cached_columns(directory, folders, _read_row)
    folder_of = dict(zip(columns["run"].tolist(), folders, strict=True))
    return rows_from_records(columns, str(directory), evaluations, folder_of.__getitem__)


def read_run_set(source: RunSet, evaluations: Evaluations) -> SourceRows:
    """The rows of the runs of a study that have started. Raises InputError if none has."""
    folders = [source.directory / run for run in source.runs if (source.directory / run / "run.json").exists()]
    if not folders:
        raise InputError(f"{source}: none of its {len(source.runs)} runs is in {source.directory} yet")
    columns = cached_columns(source.directory, folders, _read_row)
    held_out_P = np.isin(columns["run"], sorted(source.held_out))
    columns["held_out"] = held_out_P.astype(np.float64)
    if not source.with_held_out:
        columns["problem"] = np.where(held_out_P & (columns["problem"] == ""), HELD_OUT_REASON, columns["problem"])
    folder_of = dict(zip(columns["run"].tolist(), folders, strict=True))
    return rows_from_records(columns, source.name, evaluations, folder_of.__getitem__)


def _read_row(folder: Path) -> Row:
    return checked_row(read_record(folder), folder.name, str(folder))


def checked_row(record: Json, name: str, where: str) -> Row:
    """The row of a run record. Raises InputError if a field is missing."""
    try:
        return row_from_record(record, name)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: its run record is incomplete ({problem}); restore it or move it away") from None


def rows_from_records(
    columns: Arrays, source: str, evaluations: Evaluations, folder_of: Callable[[str], Path]
) -> SourceRows:
    """The rows of a table from those of run records, one for each run. If `evaluations` is "all", the mid-run
    evaluations of each run come before its row. Raises InputError if two rows are one run.
    """
    _check_duplicates(columns, source)
    columns["trunk"] = _trunks(columns)
    if evaluations == "all":
        columns = _with_evaluations(columns, folder_of)
    run, is_mid_run = columns["run"], columns["progress"] < 1
    step = np.char.add("@", np.array([f"{value:.0f}" for value in columns["S"]], dtype=np.str_))
    unknown = {name for name in OPTIONAL_COLUMNS if bool(np.isnan(columns[name]).all())}
    public = {name: values for name, values in columns.items() if name not in INTERNAL_COLUMNS | unknown}
    first = [name for name in ("run", "trunk", "status", *UNITS) if name in public]
    ordered = {name: public[name] for name in dict.fromkeys((*first, *public))}
    units = UNITS | {name: UNITS["loss"] for name in ordered if name.startswith("loss")}
    units |= {"rate": "peak, at base width", "wall_seconds": "seconds"}
    windows = "" if "entropy_rate" in unknown else ", the least that windows allow"
    units |= {"entropy": f"nats per token{windows}", "entropy_rate": "nats per token, of endless text"}
    table = Table(
        columns=ordered,
        units={name: units[name] for name in ordered if name in units},
        run=columns["trunk"],
        cell=columns["cell"],
        label=np.where(is_mid_run, np.char.add(run, step), run),
        source=source,
    )
    return SourceRows(table, columns["problem"], from_records=True)


def _check_duplicates(columns: Mapping[str, NDArray[Any]], source: str) -> None:
    """Raises InputError if two rows have one run id or one configuration."""
    seen: dict[str, str] = {}
    for run, key in zip(columns["run"].tolist(), columns["scientific_hash"].tolist(), strict=True):
        for name in (run, key or run):
            if name in seen:
                raise InputError(f"{source}: {seen[name]} and {run} are one run (equal configuration); move one away")
        seen[run] = seen[key or run] = run


def _trunks(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
    """The trunk of each run: the root of its lineage. All runs that share initialization and data order have one trunk:
    a run that was trained from scratch with the seed of a trunk is bitwise a branch of it.
    """
    runs = columns["run"].tolist()
    parent = dict(zip(runs, columns["parent"].tolist(), strict=True))
    key = dict(zip(runs, columns["lineage_key"].tolist(), strict=True))
    trunk_of_key: dict[str, str] = {}
    roots = []
    for run in runs:
        root, visited = run, {run}
        while parent.get(root) in parent and parent[root] not in visited:
            root = parent[root]
            visited.add(root)
        roots.append(root)
        trunk_of_key[key[root]] = min(root, trunk_of_key.get(key[root], root))
    return np.array([trunk_of_key[key[root]] for root in roots], dtype=np.str_)


def _with_evaluations(columns: Arrays, folder_of: Callable[[str], Path]) -> Arrays:
    """The mid-run evaluations of each run before its row. An evaluation that branches share with their trunk is one."""
    rows = list(_evaluation_rows(columns, folder_of))
    unique = {(row["trunk"], row["N"], row["S"], row["loss"], row["progress"] == 1): row for row in rows}
    return columns_from_rows(list(unique.values()))


def _evaluation_rows(columns: Arrays, folder_of: Callable[[str], Path]) -> Iterator[Row]:
    for position in range(len(columns["run"])):
        row: Row = {name: values[position].item() for name, values in columns.items()}
        if str(row["problem"]).endswith(UNDECAYED):
            row["problem"] = ""
        evaluations: Sequence[Json] = read_metrics(folder_of(str(row["run"])), "evaluation")
        yield from (mid_run_row(row, evaluation) for evaluation in evaluations if evaluation["step"] < row["S"])
        if row["loss"] == row["loss"] or row["problem"]:  # a loss that is NaN does not equal itself
            yield row
