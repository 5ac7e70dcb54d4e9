"""Run records to rows: one for each run, or one for each evaluation, with the trunk that each belongs to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.cache import columns_of, indexed_columns
from windtunnel.analysis.tables.run_row import PRIVATE, UNDECAYED, WHERE_KNOWN, Row, mid_run, row_of
from windtunnel.analysis.tables.selection import Rows
from windtunnel.analysis.tables.table import HELD_OUT, UNITS, RunSet, Table
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json, find_runs, read_metrics, read_record

Evaluations = Literal["final", "all"]


def read_runs(directory: Path, evaluations: Evaluations) -> Rows:
    """All rows of the runs directly below `directory` or its folder `runs`, or of the one run that it is. Raises
    InputError where there are none or a record cannot be read.
    """
    if (directory / "run.json").exists():
        folder = directory.resolve()
        columns = columns_of([_row_of_folder(folder)])
        return rows_of_columns(columns, str(directory), evaluations, lambda _: folder)
    folders = find_runs(directory)
    if not folders and (directory / "runs").is_dir():
        directory = directory / "runs"
        folders = find_runs(directory)
    if not folders:
        raise InputError(f"{directory}: no runs here (no */run.json); name a folder such as runs/, or a CSV file")
    columns = indexed_columns(directory, folders, _row_of_folder)
    places = {run: folder for run, folder in zip(columns["run"].tolist(), folders, strict=True)}
    return rows_of_columns(columns, str(directory), evaluations, lambda run: places[run])


def read_run_set(source: RunSet, evaluations: Evaluations) -> Rows:
    """The rows of those runs of a study that have begun. Raises InputError where none has."""
    folders = [source.directory / run for run in source.runs if (source.directory / run / "run.json").exists()]
    if not folders:
        raise InputError(f"{source}: none of its {len(source.runs)} runs is in {source.directory} yet")
    columns = indexed_columns(source.directory, folders, _row_of_folder)
    held_out = np.isin(columns["run"], sorted(source.held_out))
    columns["held_out"] = held_out.astype(np.float64)
    if not source.with_held_out:
        columns["fault"] = np.where(held_out & (columns["fault"] == ""), HELD_OUT, columns["fault"])
    places = {run: folder for run, folder in zip(columns["run"].tolist(), folders, strict=True)}
    return rows_of_columns(columns, source.name, evaluations, lambda run: places[run])


def _row_of_folder(folder: Path) -> Row:
    return row_of_record(read_record(folder), folder.name, str(folder))


def row_of_record(record: Json, name: str, where: str) -> Row:
    try:
        return row_of(record, name)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        fault = f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: its run record lacks something ({fault}); restore it or move it away") from None


def rows_of_columns(
    columns: dict[str, NDArray[Any]], source: str, evaluations: Evaluations, folder_of: Callable[[str], Path]
) -> Rows:
    """Rows of records, one for each run, as the rows of a table; with `evaluations` "all", mid-run ones before each."""
    _refuse_duplicates(columns, source)
    columns["trunk"] = _trunks(columns)
    if evaluations == "all":
        columns = _with_evaluations(columns, folder_of)
    fault, run = columns["fault"], columns["run"]
    before_end = columns["progress"] < 1
    step = np.char.add("@", np.array([f"{value:.0f}" for value in columns["S"]], dtype=np.str_))
    unknown = {name for name in WHERE_KNOWN if bool(np.isnan(columns[name]).all())}
    shown = {name: values for name, values in columns.items() if name not in PRIVATE | unknown}
    order = ("run", "trunk", "status", *UNITS)
    kept = {name: shown[name] for name in (*(n for n in order if n in shown), *(n for n in shown if n not in order))}
    units = UNITS | {name: UNITS["loss"] for name in kept if name.startswith("loss")}
    units |= {"rate": "peak, at base width", "wall_seconds": "seconds"}
    windows = "" if "entropy_rate" in unknown else ", the least that windows allow"
    units |= {"entropy": f"nats per token{windows}", "entropy_rate": "nats per token, of endless text"}
    table = Table(
        columns=kept,
        units={name: units[name] for name in kept if name in units},
        run=columns["trunk"],
        cell=columns["cell"],
        label=np.where(before_end, np.char.add(run, step), run),
        source=source,
    )
    return Rows(table, fault, from_records=True)


def _refuse_duplicates(columns: Mapping[str, NDArray[Any]], source: str) -> None:
    seen: dict[str, str] = {}
    for run, key in zip(columns["run"].tolist(), columns["scientific_hash"].tolist(), strict=True):
        for name in (run, key or run):
            if name in seen:
                raise InputError(f"{source}: {seen[name]} and {run} are one run (equal configuration); move one away")
        seen[run] = seen[key or run] = run


def _trunks(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
    """The trunk of each run: the root of its lineage, and so of all runs that share initialisation and data order. A
    run that was trained from scratch with the same seed is bitwise a branch and belongs there too.
    """
    runs = columns["run"].tolist()
    parent = dict(zip(runs, columns["parent"].tolist(), strict=True))
    key = dict(zip(runs, columns["lineage_key"].tolist(), strict=True))
    name: dict[str, str] = {}
    found = []
    for run in runs:
        root, passed = run, {run}
        while parent.get(root) in parent and parent[root] not in passed:
            root = parent[root]
            passed.add(root)
        found.append(key[root])
        name[key[root]] = min(root, name.get(key[root], root))
    return np.array([name[each] for each in found], dtype=np.str_)


def _with_evaluations(columns: Mapping[str, NDArray[Any]], folder_of: Callable[[str], Path]) -> dict[str, NDArray[Any]]:
    """Each run's mid-run evaluations before its row. What branches have in common with their trunk stands once."""
    rows = list(_evaluation_rows(columns, folder_of))
    unique = list({(row["trunk"], row["N"], row["S"], row["loss"], row["progress"] == 1): row for row in rows}.values())
    return columns_of(unique)


def _evaluation_rows(columns: Mapping[str, NDArray[Any]], folder_of: Callable[[str], Path]) -> Iterator[Row]:
    undecayed = UNDECAYED.split("}")[1]
    for position in range(len(columns["run"])):
        row: Row = {name: values[position].item() for name, values in columns.items()}
        fault = str(row["fault"])
        if fault.endswith(undecayed):
            row["fault"] = ""
        evaluated: Sequence[Json] = read_metrics(folder_of(str(row["run"])), "evaluation")
        yield from (mid_run(row, each) for each in evaluated if each["step"] < row["S"])
        if row["loss"] == row["loss"] or row["fault"]:
            yield row
