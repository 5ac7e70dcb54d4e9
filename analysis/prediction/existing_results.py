"""Existing results of a source at a target: a sealed prediction must have none, and a score needs some."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.target import complete, matching_rows
from windtunnel.analysis.tables.expressions import compute_column
from windtunnel.analysis.tables.from_dataframe import DataFrame
from windtunnel.analysis.tables.from_runs import RunSet
from windtunnel.analysis.tables.load import Source, read_rows
from windtunnel.analysis.tables.run_row import row_from_record
from windtunnel.analysis.tables.selection import parse_columns
from windtunnel.analysis.tables.table import DATAFRAME, IN_MEMORY, Table
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json, find_runs, read_record

# The N of a run folder may be counted in any of these ways, its C too: a run is at the target in any of its counts.
SIZES = ("total", "non_embedding", "active")
# The status in a file of a run that has not started.
NOT_STARTED = ("", "planned", "pending")

# A source of runs to search: whatever `load_table` reads, and a table that it has read.
ResultSource = Source | DataFrame | Table


@dataclass(frozen=True)
class ExistingRun:
    """A run at the target. problem: why a prediction cannot be compared with it, "" where it can. started: UTC, where
    the source has it.
    """

    run: str
    problem: str
    started: str | None


def find_runs_at(source: ResultSource, at: Mapping[str, float], columns: str | None = None) -> list[ExistingRun]:
    """Runs of a source that are at the target and have started, finished or not, whether or not they can be fitted.
    `columns` as `load_table` takes them. Raises InputError where the source cannot be read or lacks a column of the
    target.
    """
    if isinstance(source, RunSet):
        folders = [source.directory / run for run in source.runs if (source.directory / run / "run.json").exists()]
        return _records_at(folders, at)
    if isinstance(source, str | Path) and (path := Path(source)).is_dir():
        folders = [path] if (path / "run.json").exists() else find_runs(path)
        if not folders and (path / "runs").is_dir():
            folders = find_runs(path / "runs")
        return _records_at(folders, at)
    return _rows_at(source, at, columns)


def evidence_of_start(folder: Path, record: Json) -> str | None:
    """The evidence that a run has started, or None. One sign is enough: the others may have been deleted.
    `record` is its run.json, {} where there is none.
    """
    if record.get("status", "planned") != "planned":
        return f"its record says {record['status']}"
    if record.get("started"):
        return "its record says when it started"
    if record.get("result"):
        return "its record has a result"
    if (folder / "checkpoints").is_dir():  # made with the first checkpoint, and never removed
        return "it has checkpoints"
    for name in ("metrics.jsonl", "timings.jsonl"):
        if (folder / name).exists() and (folder / name).stat().st_size:
            return f"it has {name}"
    return None


def source_name(source: ResultSource) -> str:
    """The source as messages name it."""
    if isinstance(source, Table):
        return source.source
    return str(source) if isinstance(source, str | Path | RunSet) else DATAFRAME


def fitted_sources(fit: Fit, others: Sequence[ResultSource]) -> list[str]:
    """Where the fitted table came from, to be searched for results at a target: rows that were not fitted may be there.
    Raises InputError where that source is gone and there are no `others` to search.
    """
    if not fit.source or fit.source in IN_MEMORY:
        return []
    if not fit.source.startswith("wandb:") and not Path(fit.source).exists():
        if not others:
            raise InputError(f"{fit.source}: the source of the fit is not here; name it with results=...")
        return []
    return [fit.source]


def _rows_at(source: ResultSource, at: Mapping[str, float], columns: str | None) -> list[ExistingRun]:
    if isinstance(source, str | Path) and not str(source).startswith("wandb:") and not Path(source).exists():
        raise InputError(f"{source}: no such file or folder to search for results at the target")
    if isinstance(source, Table):
        table, problem_P = source, [""] * len(source)
    else:
        rows = read_rows(source)
        table, problem_P = rows.table, [str(problem) for problem in rows.problem]
    named = dict(table.columns)
    for name, expression in parse_columns(columns).items():
        named[name] = compute_column(expression, table.columns, len(table))
    numbers = {name: values_P for name, values_P in named.items() if values_P.dtype.kind == "f"}
    with np.errstate(all="ignore"):
        numbers = complete(numbers)
    for name in at:
        if name not in numbers:
            name_of_source = source_name(source)
            raise InputError(f"{name_of_source}: no column {name} to search for the target; name it with columns=...")
    same_P = matching_rows(numbers, at, len(table))
    status_P = named.get("status", np.full(len(table), ""))
    if "loss" in numbers:  # a row without a loss may have started all the same: a diverged run is a result
        is_text = status_P.dtype.kind != "f"
        started_P = ~np.isin(status_P, NOT_STARTED) if is_text else np.zeros(len(table), dtype=np.bool_)
        same_P &= np.isfinite(numbers["loss"]) | started_P
    return [ExistingRun(str(table.label[row]), problem_P[row], None) for row in np.flatnonzero(same_P)]


def _records_at(folders: Sequence[Path], at: Mapping[str, float]) -> list[ExistingRun]:
    runs = []
    for folder in folders:
        record = read_record(folder)
        if evidence_of_start(folder, record) is None:
            continue
        if any(matching_rows(columns, at, 1)[0] for columns in _counts(record)):
            status = record["status"]
            name = str(record.get("run_id") or folder.name)
            runs.append(ExistingRun(name, "" if status == "finished" else status, record.get("created")))
    return runs


def _counts(record: Json) -> list[dict[str, Any]]:
    """The columns of a run, once for each way to count its parameters and FLOPs."""
    counts = record.get("counts") or {}
    parameters, flops = counts.get("parameters") or {}, counts.get("flops") or {}
    if not parameters:
        return []
    model, tokens = record["config"]["model"], float(counts["tokens"])
    row = {name: value for name, value in row_from_record(record, "").items() if isinstance(value, float | int)}
    sizes = {parameters[name] for name in SIZES if name in parameters}
    sizes.add(parameters["non_embedding"] + model["vocabulary_size"] * model["width"])
    counted = [
        {**row, "N": float(size), "D": tokens, "C": float(cost), "M": tokens / size}
        for size in sizes
        for cost in {6 * size * tokens, *flops.values()}
        if size > 0 and math.isfinite(cost)
    ]
    return [{name: np.array([value]) for name, value in columns.items()} for columns in counted]
