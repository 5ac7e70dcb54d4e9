"""The typed schema of `configs/`: what a user can request, before it is resolved into a `RunConfig`.

Counts may be written as `2e8` or `200M`. Groups whose fields need no resolution are the classes of
`train.config.config`. No field has a default here: each default is written once, in `configs/`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BeforeValidator, Strict, TypeAdapter, ValidationError

from windtunnel.models.configuration import Activation, Parametrization
from windtunnel.models.family import parse_count
from windtunnel.train.config.config import LoggingConfig, OptimizerConfig, RuntimeConfig
from windtunnel.train.errors import InputError, did_you_mean
from windtunnel.train.schedules import DecayShape, Knots, ScheduleShape


def _count(value: Any) -> Any:
    return parse_count(value) if isinstance(value, str | float | int) else value


def _knots(value: Any) -> Any:
    """`0.5:0.8 1:0` -> [["0.5", "0.8"], ["1", "0"]], which pydantic converts."""
    if not isinstance(value, str):
        return value
    pairs = [knot.split(":") for knot in value.split()]
    if not all(len(pair) == 2 for pair in pairs):
        raise ValueError(f"{value!r}: write knots as share:multiplier, separated by spaces, for example 0.5:0.8 1:0")
    return pairs


Count = Annotated[int, BeforeValidator(_count)]
Flag = Annotated[bool, Strict()]  # `yes` and `1` are more often mistakes than booleans


@dataclass(frozen=True)
class SizeRequest:
    parameters: Count | None  # non-embedding; or width, depth and head_count
    width: int | None
    depth: int | None
    head_count: int | None


@dataclass(frozen=True)
class ArchitectureRequest:
    aspect_ratio: int
    head_size: int
    activation: Activation
    qk_norm: Flag
    tied_embedding: Flag
    rotary_base: float
    norm_epsilon: float
    z_loss: float


@dataclass(frozen=True)
class OptimizerRequest(OptimizerConfig):
    tokens_per_step: Count


@dataclass(frozen=True)
class ScheduleRequest:
    shape: ScheduleShape | Literal["decay"]  # decay: of the trunk that `branch_from` names
    warmup_tokens: Count | Literal["auto"] | None
    warmup_fraction: float | None
    decay_fraction: float
    decay_shape: DecayShape
    final_fraction: float
    power_exponent: float
    knots: Annotated[Knots, BeforeValidator(_knots)]


@dataclass(frozen=True)
class LoggingRequest(LoggingConfig):
    evaluation_interval_tokens: Count | None = None


@dataclass(frozen=True)
class HorizonRequest:
    tokens: Count | None
    tokens_per_parameter: float | None
    flops: float | None
    steps: Count | None


@dataclass(frozen=True)
class DataRequest:
    spec: str
    vocabulary: int
    token_budget: Count | Literal[0]
    validation_fraction: float
    text_field: str
    group_field: str | None
    split_seed: int
    sequence_length: int
    weights: tuple[float, ...] | None
    unique_tokens: Count | None
    max_epochs: float
    evaluation_tokens: Count


@dataclass(frozen=True)
class RunRequest:
    size: SizeRequest
    architecture: ArchitectureRequest
    parametrization: Parametrization
    optimizer: OptimizerRequest
    schedule: ScheduleRequest
    horizon: HorizonRequest
    data: DataRequest
    runtime: RuntimeConfig
    logging: LoggingRequest
    seed: int
    branch_from: str | None
    dry_run: Flag


MISSING = "???"  # the value in the YAML groups where there is no default
_ADAPTER = TypeAdapter(RunRequest)
# Allowed ranges of numbers that are not checked anywhere else.
RANGES = {
    "seed": (0, 2**63 - 1),
    "size.width": (1, 2**20),
    "size.depth": (1, 2**16),
    "size.head_count": (1, 2**16),
    "schedule.power_exponent": (0, 10),
    "data.sequence_length": (1, 2**24),
    "runtime.threads": (0, math.inf),
    "runtime.micro_batch_sequences": (0, math.inf),
    "runtime.checkpoint_seconds": (0, math.inf),
    "runtime.keep_checkpoints": (1, math.inf),
    "logging.every_steps": (1, math.inf),
    "logging.evaluation_interval_tokens": (1, math.inf),
}


def parse_request(settings: Mapping[str, Any]) -> RunRequest:
    """The request in composed settings. Raises InputError naming the key and what is allowed."""
    _check_settings(settings, RunRequest, "")
    try:
        return _ADAPTER.validate_python(settings)
    except ValidationError as error:
        raise InputError(_format_validation_error(error)) from None


_hints = cache(get_type_hints)  # slow, and equal for thousands of runs


def _check_settings(settings: Mapping[str, Any], schema: type, path: str) -> None:
    """Check the settings for mistakes that pydantic would accept or describe badly."""
    hints = _hints(schema)
    names = [f.name for f in fields(schema)]
    for name, value in settings.items():
        key = f"{path}{name}"
        if name not in names:
            raise InputError(unknown_key_message(key, names))
        _check_value(key, value, is_number=hints[name] in (int, float))
        if is_dataclass(hints[name]) and isinstance(value, Mapping):
            _check_settings(value, hints[name], f"{key}.")


def _check_value(key: str, value: Any, *, is_number: bool) -> None:
    if value == MISSING:
        raise InputError(f"{key}: must be given; write {key}=...")
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, float) and not math.isfinite(item):
            raise InputError(f"{key}={value}: must be a finite number")
    if isinstance(value, str) and not value.strip():
        raise InputError(f"{key}: is empty; leave it out or give a value")
    if isinstance(value, bool) and is_number:  # pydantic would take it as 1 or 0
        raise InputError(f"{key}={str(value).lower()}: must be a number")
    low, high = RANGES.get(key, (-math.inf, math.inf))
    if isinstance(value, int | float) and not low <= value <= high:
        raise InputError(f"{key}={value}: must be at least {low}" + (f" and at most {high}" if high < math.inf else ""))


def sibling_keys(full_key: str) -> list[str]:
    """The settings beside `full_key`: those of `optimizer` for `optimizer.lr`."""
    schema: type = RunRequest
    for part in full_key.split(".")[:-1]:
        schema = get_type_hints(schema).get(part, RunRequest)
    return [f.name for f in fields(schema)] if is_dataclass(schema) else []


def unknown_key_message(key: str, allowed: list[str]) -> str:
    hint = did_you_mean(key.rsplit(".", 1)[-1], allowed)
    return f"{key}: no such setting{hint} (allowed here: {', '.join(allowed)})"


def _format_validation_error(error: ValidationError) -> str:
    # A union reports one error for each member. The first is enough.
    first = error.errors(include_url=False)[0]
    path = ".".join(
        str(part) for part in first["loc"] if isinstance(part, int) or (part.isidentifier() and part != "int")
    )
    message = str(first.get("ctx", {}).get("error", first["msg"]))
    value = "" if first["type"] in ("missing", "value_error") else f", got {first['input']!r}"
    return f"{path}: {message}{value}".replace("\n", " ")
