"""The runs of a W&B project, `wandb:ENTITY/PROJECT`, as rows.

A project that mirrors run records of windtunnel is read as those records. A row of any other project has the numbers
and texts of a run's config and summary by their dotted names, which `columns` can rename.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.cache import columns_from_rows
from windtunnel.analysis.tables.from_dataframe import rows_from_arrays
from windtunnel.analysis.tables.from_runs import Evaluations, checked_row, rows_from_records
from windtunnel.analysis.tables.selection import SourceRows
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json

TIMEOUT_SECONDS = 20  # of one request; the default of W&B waits long for a network that is down
RUNS_PER_REQUEST = 500
# W&B writes numbers that JSON does not have as text.
NON_FINITE = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


def read_wandb(source: str, evaluations: Evaluations) -> SourceRows:
    """All runs of a project. Raises InputError, one line, if the name is wrong or W&B does not answer."""
    match = re.fullmatch(r"wandb:([^/\s]+)/([^/\s]+)", source)
    if match is None:
        raise InputError(f"{source}: write wandb:ENTITY/PROJECT")
    if evaluations == "all":
        raise InputError(f"{source}: W&B is read for final results only; for evaluations=... name the folder of runs")
    runs = _fetch_runs(source, f"{match[1]}/{match[2]}")
    if not runs:
        raise InputError(f"{source}: the project has no runs")
    if all("counts" in run["config"] and "model" in run["config"] for run in runs):
        rows = [checked_row(_run_record(run), run["id"], f"{source}/{run['id']}") for run in runs]
        return rows_from_records(columns_from_rows(rows), source, evaluations, Path)
    return _read_other_project(runs, source)


def _fetch_runs(source: str, project: str) -> list[Json]:
    """The id, name, status, config and summary of each run."""
    try:
        import wandb  # loaded here for start-up time: a second

        wandb.setup(wandb.Settings(silent=True))
        api = wandb.Api(timeout=TIMEOUT_SECONDS)
        return [
            {
                "id": run.id,
                "name": run.name,
                "status": run.state,
                "config": dict(run.config),
                "summary": dict(run.summary_metrics),
            }
            for run in api.runs(project, per_page=RUNS_PER_REQUEST, lazy=False)  # lazy: one request for each config
        ]
    except Exception as error:
        text = " ".join(str(error).split()) or "no reason given"
        raise InputError(
            f"{source}: W&B does not answer: {type(error).__name__}: {text}; "
            "check the name, the network and `wandb login`"
        ) from None


def _run_record(run: Json) -> Json:
    """The run record that windtunnel wrote into config and summary."""
    config, summary = run["config"], run["summary"]
    sections = ("model", "optimizer", "schedule", "data", "seed")
    fields = ("run_id", "scientific_hash", "counts", "lineage", "commit", "device_name")
    return {
        **{name: config.get(name) for name in fields},
        "status": summary.get("status", run["status"]),
        "config": {name: config[name] for name in sections if name in config},
        "data": config.get("corpus"),
        "result": summary,
        "performance": summary,
    }


def _read_other_project(runs: Sequence[Json], source: str) -> SourceRows:
    rows = [
        {
            "run": run["id"],
            **_flatten({**run["config"], **run["summary"]}),
            "name": run["name"],
            "status": run["status"],
        }
        for run in runs
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    label = np.array([f"run {run['id']}" for run in runs], dtype=np.str_)
    return rows_from_arrays({name: _column([row.get(name) for row in rows]) for name in names}, label, source)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float) and not key.startswith("_"):
            flat[f"{prefix}{key}"] = value
    return flat


def _column(values: Sequence[Any]) -> NDArray[Any]:
    numbers = [NON_FINITE.get(str(value), value) for value in values]
    if all(value is None or isinstance(value, int | float) for value in numbers):
        return np.array([np.nan if value is None else float(value) for value in numbers])
    return np.array(["" if value is None else str(value) for value in values], dtype=np.str_)
