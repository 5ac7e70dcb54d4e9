"""Run records as training writes them, without training: for tests and benchmarks of tables."""

import copy
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from windtunnel.models.accounting import count_parameters, flops_per_token
from windtunnel.models.configuration import ModelConfig, Parametrization
from windtunnel.train.records import SCHEMA

PARAMETRIZATION = Parametrization("mup", 32, 2, 1.0, 0.3, 0.0)
TOKENS_PER_STEP, SEQUENCE_LENGTH = 1024, 128


def record(
    *,
    width: int = 32,
    steps: int = 1000,
    seed: int = 0,
    loss: float | None = 3.0,
    status: str = "finished",
    shape: str = "wsd",
    decay_steps: int | None = None,
    parent: str | None = None,
    rate: float = 0.006,
    data: str = "a" * 64,
) -> dict[str, Any]:
    """One run of a small model. A diverged or unfinished one has no loss."""
    model = ModelConfig(
        width, width // 16, width // 16, 3 * width, 256, "swiglu", False, False, 1e4, 1e-6, 0.0, PARAMETRIZATION
    )
    if decay_steps is None:
        decay_steps = steps // 5 if shape == "wsd" else 0
    config = {
        "model": asdict(model),
        "optimizer": {"rate": rate, "tokens_per_step": TOKENS_PER_STEP, "weight_decay": 0.1},
        "schedule": {
            "shape": shape,
            "total_steps": steps,
            "warmup_steps": 100,
            "decay_steps": decay_steps,
            "decay_shape": "1-sqrt",
            "final_fraction": 0.0,
            "power_exponent": 0.0,
        },
        "data": {
            "content_hash": data,
            "vocabulary_size": 256,
            "sequence_length": SEQUENCE_LENGTH,
            "weights": None,
            "unique_tokens": None,
            "max_epochs": 1.0,
            "evaluation_tokens": 8192,
            "spec": "speeches",
            "folder": "speeches-0123456789",
        },
        "seed": seed,
        "runtime": {"device": "cpu"},
        "logging": {"every_steps": 10},
    }
    science = {key: value for key, value in config.items() if key not in ("runtime", "logging")}
    digest = hashlib.sha256(json.dumps(science, sort_keys=True).encode()).hexdigest()
    parameters, flops = count_parameters(model), asdict(flops_per_token(model, SEQUENCE_LENGTH))
    tokens = steps * TOKENS_PER_STEP
    result: dict[str, Any] | None = {} if status == "finished" else None
    if status == "diverged":
        result = {"diverged_at_step": 17}
    elif loss is None and status == "finished":
        result = {"step": steps, "tokens": tokens}
    elif loss is not None and status == "finished":
        result = {
            "step": steps,
            "tokens": tokens,
            "validation_nats_per_token": loss,
            "validation_bits_per_byte": loss / 0.6931471805599453,
            "validation_standard_error": 0.01,
        }
    return {
        "schema": SCHEMA,
        "run_id": f"{width}-speeches-{shape}-{steps}-s{seed}-{digest[:10]}",
        "scientific_hash": digest,
        "status": status,
        "created": "2026-01-01T00:00:00Z",
        "config": config,
        "lineage": None if parent is None else {"parent": parent, "step": steps - decay_steps},
        "counts": {
            "parameters": asdict(parameters),
            "flops_per_token": flops,
            "flops": {name: value * tokens for name, value in flops.items()},
            "steps": steps,
            "tokens": tokens,
            "unique_tokens": tokens,
            "epochs": 0.1,
            "tokens_per_parameter": tokens / parameters.total,
        },
        "data": {"content_hash": data, "domains": [{"name": "speeches", "entropy_nats_per_token": None}]},
        "result": result,
        "performance": {"wall_seconds": 1.0, "tokens_per_second": 50000.0, "share_of_peak": 0.1},
        "progress": {"step": steps // 2} if status in ("preempted", "running") else None,
    }


def write(
    runs: Path, content: dict[str, Any], folder: str | None = None, losses: dict[int, float] | None = None
) -> str:
    """Write a record below `runs`, with evaluations {step: loss} where given; returns its id."""
    place = runs / (folder or content["run_id"])
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps(content, indent=1) + "\n")
    with (place / "metrics.jsonl").open("w") as file:
        for step, loss in (losses or {}).items():
            evaluation = {"kind": "evaluation", "step": step, "tokens": step * TOKENS_PER_STEP}
            file.write(json.dumps({**evaluation, "validation_nats_per_token": loss}) + "\n")
    return str(content["run_id"])


def variant(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy with top-level entries replaced."""
    return {**copy.deepcopy(content), **changes}
