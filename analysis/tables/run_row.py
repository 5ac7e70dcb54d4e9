"""A run record as one flat row of the run table, in every convention, and why the row must not be fitted."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from windtunnel.train.records import Json
from windtunnel.train.schedules import FULL_SHAPES

# Cached rows of another version are made again (`cache`). Raise it when the meaning of a row changes.
VERSION = 3
Value = float | str | None
Row = dict[str, Value]
UNDECAYED = "schedule ends before the learning rate has decayed"
# Text columns; all other columns are numbers.
TEXT_COLUMNS = frozenset(
    {"run", "trunk", "cell", "status", "problem", "schedule", "decay_shape", "parametrization", "activation", "data"}
    | {"data_spec", "device", "commit", "parent", "lineage_key", "scientific_hash"}
)
# Fields of a row that are not columns of the table.
INTERNAL_COLUMNS = frozenset({"problem", "parent", "lineage_key", "scientific_hash"})
# Columns left out of a table in which they have no value, so that digests of older tables stay.
OPTIONAL_COLUMNS = frozenset({"entropy_rate"})
# Fields of the data section that change neither initialization nor the order of batches.
FIELDS_OUTSIDE_DATA_ORDER = frozenset({"spec", "folder", "max_epochs", "evaluation_tokens"})


def row_from_record(record: Json, name: str) -> Row:
    """The row of a run record; `name` is its id if the record has none.

    problem: why the run must not be fitted, "" for a finished run whose learning rate has decayed.
    cell: equal for runs that differ by their seed alone.
    lineage_key: equal for runs that share initialization and data order: a trunk and its branches, and runs that differ
        by their horizon alone.

    Raises KeyError if the record lacks a field.
    """
    config, counts = record["config"], record["counts"]
    model, data, schedule, optimizer = config["model"], config["data"], config["schedule"], config["optimizer"]
    result, performance = record.get("result") or {}, record.get("performance") or {}
    domains = (record.get("data") or {}).get("domains") or []
    return {
        "run": str(record.get("run_id") or name),
        "parent": (record.get("lineage") or {}).get("parent"),
        **_keys(config),
        "scientific_hash": record.get("scientific_hash"),
        "status": record["status"],
        "problem": record_problem(record),
        **_counts(counts, model),
        "S": counts["steps"],
        "B": optimizer["tokens_per_step"],
        "progress": 1.0,
        "decayed": float(_decay_steps(schedule) > 0),
        "seed": config["seed"],
        "rate": optimizer["rate"],
        "weight_decay": optimizer["weight_decay"],
        "schedule": schedule["shape"],
        "decay_shape": schedule["decay_shape"],
        "decay_fraction": _decay_steps(schedule) / schedule["total_steps"],
        "final_fraction": schedule["final_fraction"],
        "warmup_tokens": schedule["warmup_steps"] * optimizer["tokens_per_step"],
        "width": model["width"],
        "depth": model["depth"],
        "activation": model["activation"],
        "tied_embedding": float(model["tied_embedding"]),
        "parametrization": model["parametrization"]["name"],
        "vocabulary_size": model["vocabulary_size"],
        "sequence_length": data["sequence_length"],
        "evaluation_tokens": data["evaluation_tokens"],
        "data": data["content_hash"][:16],
        "data_spec": data["spec"],
        **_entropy(domains, data["sequence_length"]),
        "device": record.get("device_name"),
        "commit": record.get("commit"),
        "diverged_at_step": result.get("diverged_at_step"),
        **loss_columns(result),
        **{key: performance.get(key) for key in ("wall_seconds", "tokens_per_second", "share_of_peak")},
    }


def _keys(config: Mapping[str, Any]) -> Row:
    """`cell` and `lineage_key` of a configuration."""
    settings = {key: value for key, value in config.items() if key not in ("runtime", "logging")}
    settings["data"] = {key: value for key, value in config["data"].items() if key not in ("spec", "folder")}
    # Older records have no knots; runs without knots keep the cells of those.
    settings["schedule"] = {key: value for key, value in config["schedule"].items() if key != "knots" or value}
    lineage = {key: value for key, value in settings.items() if key != "schedule"}
    lineage["data"] = {key: value for key, value in settings["data"].items() if key not in FIELDS_OUTSIDE_DATA_ORDER}
    return {
        "cell": _digest({key: value for key, value in settings.items() if key != "seed"}),
        "lineage_key": _digest(lineage),
    }


def _counts(counts: Mapping[str, Any], model: Mapping[str, Any]) -> Row:
    """Parameters, tokens and FLOPs in every convention."""
    parameters, flops = counts["parameters"], counts["flops"]
    return {
        "N": parameters["total"],
        "N_non_embedding": parameters["non_embedding"],
        "N_non_embedding_and_head": parameters["non_embedding"] + model["vocabulary_size"] * model["width"],
        "N_active": parameters["active"],
        "D": counts["tokens"],
        "U": counts["unique_tokens"],
        "epochs": counts["epochs"],
        "C": flops["six_n_total"],
        "C_non_embedding": flops["six_n_non_embedding"],
        "C_non_embedding_and_head": flops["six_n"],
        "C_exact": flops["exact"],
        "C_exact_causal": flops["exact_causal"],
        "M": counts["tokens"] / parameters["total"],
    }


def loss_columns(values: Mapping[str, Any]) -> Row:
    """The losses of an evaluation by column: in nats per token, overall and for each domain."""
    row: Row = {
        "loss": _finite(values.get("validation_nats_per_token")),
        "loss_standard_error": _finite(values.get("validation_standard_error")),
        "bits_per_byte": _finite(values.get("validation_bits_per_byte")),
    }
    for key, value in values.items():
        domain = key.removeprefix("validation_").removesuffix("_nats_per_token")
        if key.startswith("validation_") and key.endswith("_nats_per_token") and key != "validation_nats_per_token":
            row[f"loss_{domain}"] = _finite(value)
    return row


def mid_run_row(row: Row, evaluation: Json) -> Row:
    """The row of an evaluation before the end of a run: its tokens, compute and losses are those at that step."""
    step, tokens = float(evaluation["step"]), float(evaluation["tokens"])
    final = {key: float(value) for key, value in row.items() if isinstance(value, int | float)}
    share = tokens / final["D"]
    mid_run: Row = {
        **row,
        **{key: value * share for key, value in final.items() if key == "C" or key.startswith("C_")},
        "D": tokens,
        "U": min(tokens, final["U"]),
        "epochs": final["epochs"] * share,
        "M": tokens / final["N"],
        "S": step,
        "progress": share,
        "decayed": 0.0,
        "wall_seconds": None,
        "diverged_at_step": None,
    }
    return {key: value for key, value in mid_run.items() if not key.startswith("loss")} | loss_columns(evaluation)


def record_problem(record: Json) -> str:
    """Why the final loss of a run must not be fitted, "" if it may be."""
    status, schedule = record["status"], record["config"]["schedule"]
    result = record.get("result") or {}
    if status == "diverged":
        return f"diverged at step {result.get('diverged_at_step', 'unknown')}"
    if status != "finished":
        step = (record.get("progress") or {}).get("step")
        return f"{status}, not finished" + (f": at step {step} of {schedule['total_steps']}" if step else "")
    if _finite(result.get("validation_nats_per_token")) is None:
        return "finished without a validation loss"
    if not _decay_steps(schedule):
        return f"its {schedule['shape']} {UNDECAYED}"
    return ""


def _decay_steps(schedule: Mapping[str, Any]) -> int:
    if schedule["shape"] in FULL_SHAPES:
        steps: int = schedule["total_steps"] - schedule["warmup_steps"]
        return steps
    return int(schedule["decay_steps"])


def _entropy(domains: list[Json], sequence_length: int) -> Row:
    """For data of one domain of known entropy: `entropy_rate` of the source, and `entropy`, the lowest loss that a
    predictor of the run's windows can reach. `entropy` is the rate itself, and `entropy_rate` is missing, if the excess
    loss of a window's first two predictions is not known, as in old records.
    """
    domain = domains[0] if len(domains) == 1 else {}
    rate, excess = _finite(domain.get("entropy_nats_per_token")), _finite(domain.get("opening_excess_nats"))
    if rate is None or excess is None or sequence_length < 2:
        return {"entropy": rate, "entropy_rate": None}
    return {"entropy": rate + excess / sequence_length, "entropy_rate": rate}


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
