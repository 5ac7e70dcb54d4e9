"""One run record as one flat row of the run table, in every convention, and whether it may be fitted."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from windtunnel.train.records import Json
from windtunnel.train.schedules import FULL_SHAPES

# Rows written by another version of this file are made anew (`table_index`). Raise it when a row changes its meaning.
VERSION = 2
Value = float | str | None
Row = dict[str, Value]
UNDECAYED = "its {shape} schedule ends before the learning rate has decayed"
# Text columns; every other column of a row is a number.
TEXT = frozenset(
    {"run", "trunk", "cell", "status", "fault", "schedule", "decay_shape", "parametrization", "activation", "data"}
    | {"data_spec", "device", "commit", "parent", "lineage_key", "scientific_hash"}
)
# Of a row, but no columns of the table.
PRIVATE = frozenset({"fault", "parent", "lineage_key", "scientific_hash"})
# Columns of those tables alone that have a value there: the digests of tables from before there were such stay.
WHERE_KNOWN = frozenset({"entropy_rate"})
# Fields of a run's data section that leave its initialisation and the order of its batches alone.
NOT_IN_THE_ORDER = frozenset({"spec", "folder", "max_epochs", "evaluation_tokens"})


def row_of(record: Json, name: str) -> Row:
    """The row of a run record; `name` is its id where the record has none.

    `fault` is empty for a finished run whose learning rate has decayed, else says why the run is not one. `cell` is
    equal for runs equal but for their seed, `lineage_key` for runs that share initialisation and data order, as a trunk
    and its branches do, and as runs do that differ by their horizon alone. Raises KeyError where it is no such record.
    """
    config, counts = record["config"], record["counts"]
    parameters, flops = counts["parameters"], counts["flops"]
    model, data, schedule = config["model"], config["data"], config["schedule"]
    result = record.get("result") or {}
    domains = (record.get("data") or {}).get("domains") or []
    science = {key: value for key, value in config.items() if key not in ("runtime", "logging")}
    science["data"] = {key: value for key, value in data.items() if key not in ("spec", "folder")}
    # Records from before there were knots are of the cells of those that have none.
    science["schedule"] = {key: value for key, value in schedule.items() if key != "knots" or value}
    begin = {key: value for key, value in science.items() if key != "schedule"}
    begin["data"] = {key: value for key, value in science["data"].items() if key not in NOT_IN_THE_ORDER}
    row: Row = {
        "run": str(record.get("run_id") or name),
        "parent": (record.get("lineage") or {}).get("parent"),
        "cell": _digest({key: value for key, value in science.items() if key != "seed"}),
        "lineage_key": _digest(begin),
        "scientific_hash": record.get("scientific_hash"),
        "status": record["status"],
        "fault": fault_of(record),
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
        "S": counts["steps"],
        "B": config["optimizer"]["tokens_per_step"],
        "progress": 1.0,
        "decayed": float(_decay_steps(schedule) > 0),
        "seed": config["seed"],
        "rate": config["optimizer"]["rate"],
        "weight_decay": config["optimizer"]["weight_decay"],
        "schedule": schedule["shape"],
        "decay_shape": schedule["decay_shape"],
        "decay_fraction": _decay_steps(schedule) / schedule["total_steps"],
        "final_fraction": schedule["final_fraction"],
        "warmup_tokens": schedule["warmup_steps"] * config["optimizer"]["tokens_per_step"],
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
        **losses_of(result),
    }
    for key in ("wall_seconds", "tokens_per_second", "share_of_peak"):
        row[key] = (record.get("performance") or {}).get(key)
    return row


def losses_of(values: Mapping[str, Any]) -> Row:
    """The losses of an evaluation under the names of columns: in nats per token, overall and of each domain."""
    row: Row = {
        "loss": _number(values.get("validation_nats_per_token")),
        "loss_standard_error": _number(values.get("validation_standard_error")),
        "bits_per_byte": _number(values.get("validation_bits_per_byte")),
    }
    for key, value in values.items():
        domain = key.removeprefix("validation_").removesuffix("_nats_per_token")
        if key.startswith("validation_") and key.endswith("_nats_per_token") and key != "validation_nats_per_token":
            row[f"loss_{domain}"] = _number(value)
    return row


def mid_run(row: Row, evaluation: Json) -> Row:
    """The row of an evaluation before the run's end: scale, compute and loss are those at that step."""
    step, tokens = float(evaluation["step"]), float(evaluation["tokens"])
    final = {key: float(value) for key, value in row.items() if isinstance(value, int | float)}
    share = tokens / final["D"]
    found: Row = {
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
    return {**{key: value for key, value in found.items() if not key.startswith("loss")}, **losses_of(evaluation)}


def fault_of(record: Json) -> str:
    """Why a law must not be fitted to this run's loss without saying so; "" where it may be."""
    status, schedule = record["status"], record["config"]["schedule"]
    result = record.get("result") or {}
    if status == "diverged":
        return f"diverged at step {result.get('diverged_at_step', 'unknown')}"
    if status != "finished":
        step = (record.get("progress") or {}).get("step")
        return f"{status}, not finished" + (f": at step {step} of {schedule['total_steps']}" if step else "")
    if _number(result.get("validation_nats_per_token")) is None:
        return "finished without a validation loss"
    if not _decay_steps(schedule):
        return UNDECAYED.format(shape=schedule["shape"])
    return ""


def _decay_steps(schedule: Mapping[str, Any]) -> int:
    if schedule["shape"] in FULL_SHAPES:
        steps: int = schedule["total_steps"] - schedule["warmup_steps"]
        return steps
    return int(schedule["decay_steps"])


def _entropy(domains: list[Json], sequence_length: int) -> Row:
    """`entropy`: the lowest loss that a reader of the run's windows can reach, beside the `entropy_rate` of the source,
    where there is one domain of known entropy. Where it is not known what the first predictions of a window cost, as in
    old records, `entropy` is the rate itself and `entropy_rate` is missing.
    """
    only = domains[0] if len(domains) == 1 else {}
    rate, excess = _number(only.get("entropy_nats_per_token")), _number(only.get("opening_excess_nats"))
    if rate is None or excess is None or sequence_length < 2:  # the excess is that of a window's first two predictions
        return {"entropy": rate, "entropy_rate": None}
    return {"entropy": rate + excess / sequence_length, "entropy_rate": rate}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
