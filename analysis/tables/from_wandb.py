"""`wandb:ENTITY/PROJECT`: the runs of a W&B project as rows, whoever trained them.

A project that mirrors our records is read as those records; in any other, a row has the numbers and texts of a run's
config and summary under their own dotted names, to be named with `--columns`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.cache import columns_of
from windtunnel.analysis.tables.from_file import rows_of_arrays
from windtunnel.analysis.tables.from_runs import Evaluations, row_of_record, rows_of_columns
from windtunnel.analysis.tables.selection import Rows
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json

TIMEOUT_SECONDS = 20  # of one request; W&B's own default waits long for a network that is not there
RUNS_PER_REQUEST = 500


def read_wandb(source: str, evaluations: Evaluations) -> Rows:
    """All runs of a project. Raises InputError, one line, where the name is wrong or W&B cannot be asked."""
    found = re.fullmatch(r"wandb:([^/\s]+)/([^/\s]+)", source)
    if found is None:
        raise InputError(f"{source}: write wandb:ENTITY/PROJECT")
    if evaluations == "all":
        raise InputError(f"{source}: W&B is read for final results only; name the folder of runs for --evaluations all")
    runs = _ask(source, f"{found[1]}/{found[2]}")
    if not runs:
        raise InputError(f"{source}: the project has no runs")
    if all("counts" in run["config"] and "model" in run["config"] for run in runs):
        rows = [row_of_record(_record_of(run), run["id"], f"{source}/{run['id']}") for run in runs]
        return rows_of_columns(columns_of(rows), source, evaluations, Path)
    return _foreign(runs, source)


def _ask(source: str, project: str) -> list[Json]:
    """Each run's id, name, state, config and summary."""
    try:
        import wandb  # a second of imports, which only this source pays

        wandb.setup(wandb.Settings(silent=True))
        api = wandb.Api(timeout=TIMEOUT_SECONDS)
        # Lazy runs would ask for every config by itself.
        return [
            {
                "id": run.id,
                "name": run.name,
                "status": run.state,
                "config": dict(run.config),
                "summary": dict(run.summary_metrics),
            }
            for run in api.runs(project, per_page=RUNS_PER_REQUEST, lazy=False)
        ]
    except Exception as error:
        text = " ".join(str(error).split()) or "no reason given"
        raise InputError(
            f"{source}: W&B does not answer: {type(error).__name__}: {text}; "
            "check the name, the network and `wandb login`"
        ) from None


def _record_of(run: Json) -> Json:
    """The run record that the mirror wrote into config and summary."""
    config, summary = run["config"], run["summary"]
    sections = ("model", "optimizer", "schedule", "data", "seed")
    beside = ("run_id", "scientific_hash", "counts", "lineage", "commit", "device_name")
    return {
        **{name: config.get(name) for name in beside},
        "status": summary.get("status", run["status"]),
        "config": {name: config[name] for name in sections if name in config},
        "data": config.get("corpus"),
        "result": summary,
        "performance": summary,
    }


def _foreign(runs: Sequence[Json], source: str) -> Rows:
    flat = [
        {
            "run": run["id"],
            **_flatten({**run["config"], **run["summary"]}),
            "name": run["name"],
            "status": run["status"],
        }
        for run in runs
    ]
    names = list(dict.fromkeys(name for row in flat for name in row))
    label = np.array([f"run {run['id']}" for run in runs], dtype=np.str_)
    return rows_of_arrays({name: _column([row.get(name) for row in flat]) for name in names}, label, source)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float) and not key.startswith("_"):
            found[f"{prefix}{key}"] = value
    return found


def _column(values: Sequence[Any]) -> NDArray[Any]:
    # W&B writes what JSON has no number for as text.
    numbers = [{"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}.get(str(value), value) for value in values]
    if all(value is None or isinstance(value, int | float) for value in numbers):
        return np.array([np.nan if value is None else float(value) for value in numbers])
    return np.array(["" if value is None else str(value) for value in values], dtype=np.str_)
