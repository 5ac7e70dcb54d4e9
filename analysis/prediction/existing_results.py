"""Results that a source already holds at a target: what a sealed prediction must not have, and what a score needs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.prediction.target import complete, matches
from windtunnel.analysis.tables.run_row import row_of
from windtunnel.analysis.tables.table import RunSet, Source
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json, find_runs, read_record

# A run folder's N may be counted in any of these ways, its C too; a target is known if it is a run's in any of them.
SIZES = ("total", "non_embedding", "active")

# What a file calls a run that is only meant to be trained.
NOT_BEGUN = ("", "planned", "pending")


@dataclass(frozen=True)
class Known:
    """A run at the target. fault: why it is no result to compare with, "" where it is one. started: UTC, where the
    source says so.
    """

    run: str
    fault: str
    started: str | None


def runs_at(source: Source, at: Mapping[str, float], columns: str | None = None) -> list[Known]:
    """Runs of a source that are at the target and have begun, finished or not, whatever may be fitted to them.
    `columns` as `load_table` takes them. Raises InputError where the source cannot be read or lacks a column of the
    target.
    """
    if isinstance(source, RunSet):
        folders = [source.directory / run for run in source.runs if (source.directory / run / "run.json").exists()]
        return _records_at(folders, at)
    path = Path(source)
    if path.is_dir():
        folders = [path] if (path / "run.json").exists() else find_runs(path)
        if not folders and (path / "runs").is_dir():
            folders = find_runs(path / "runs")
        return _records_at(folders, at)
    return _rows_at(str(source), at, columns)


def sign_of_beginning(folder: Path, record: Json) -> str | None:
    """What shows that a run has begun, in words, or None. Any one sign is enough: the others may have been deleted.
    `record` is its run.json, {} where that is not there.
    """
    if record.get("status", "planned") != "planned":
        return f"its record says {record['status']}"
    if record.get("started") or record.get("result"):
        return "its record says when it started" if record.get("started") else "its record has a result"
    if (folder / "checkpoints").is_dir():  # made with the first of them, and never removed
        return "it has checkpoints"
    for name in ("metrics.jsonl", "timings.jsonl"):
        if (folder / name).exists() and (folder / name).stat().st_size:
            return f"it has {name}"
    return None


def _rows_at(source: str, at: Mapping[str, float], columns: str | None) -> list[Known]:
    from windtunnel.analysis.tables.expressions import compute_column
    from windtunnel.analysis.tables.from_file import read_file
    from windtunnel.analysis.tables.from_wandb import read_wandb
    from windtunnel.analysis.tables.selection import parse_columns

    if not source.startswith("wandb:") and not Path(source).exists():
        raise InputError(f"{source}: no such file or folder; it is looked through for results at the target")
    rows = read_wandb(source, "final") if source.startswith("wandb:") else read_file(Path(source))
    found = dict(rows.table.columns)
    for name, expression in parse_columns(columns).items():
        found[name] = compute_column(expression, rows.table.columns, len(rows.table))
    numbers = {name: values for name, values in found.items() if values.dtype.kind == "f"}
    with np.errstate(all="ignore"):
        numbers = complete(numbers)
    for name in at:
        if name not in numbers:
            raise InputError(
                f"{source}: no column {name} to look for the target in; name it with --columns {name}=COLUMN"
            )
    same_P = matches(numbers, at, len(rows.table))
    status = found.get("status", np.full(len(rows.table), ""))
    if "loss" in numbers:  # a row without a loss has begun, too, if it says so: a diverged run is a result
        begun = ~np.isin(status, NOT_BEGUN) if status.dtype.kind != "f" else np.zeros(len(rows.table), dtype=np.bool_)
        same_P &= np.isfinite(numbers["loss"]) | begun
    return [Known(str(rows.table.label[row]), str(rows.fault[row]), None) for row in np.flatnonzero(same_P)]


def _records_at(folders: Sequence[Path], at: Mapping[str, float]) -> list[Known]:
    found = []
    for folder in folders:
        record = read_record(folder)
        if sign_of_beginning(folder, record) is None:
            continue
        if any(matches(columns, at, 1)[0] for columns in _conventions(record)):
            status = record["status"]
            name = str(record.get("run_id") or folder.name)
            found.append(Known(name, "" if status == "finished" else status, record.get("created")))
    return found


def _conventions(record: Json) -> list[dict[str, Any]]:
    """The columns of a run, once for each way to count its parameters and FLOPs."""
    counts = record.get("counts") or {}
    parameters, flops = counts.get("parameters") or {}, counts.get("flops") or {}
    if not parameters:
        return []
    model, tokens = record["config"]["model"], float(counts["tokens"])
    row = {name: value for name, value in row_of(record, "").items() if isinstance(value, float | int)}
    sizes = {parameters[name] for name in SIZES if name in parameters}
    sizes.add(parameters["non_embedding"] + model["vocabulary_size"] * model["width"])
    values = [
        {**row, "N": float(size), "D": tokens, "C": float(cost), "M": tokens / size}
        for size in sizes
        for cost in {6 * size * tokens, *flops.values()}
        if size > 0 and math.isfinite(cost)
    ]
    return [{name: np.array([value]) for name, value in each.items()} for each in values]
