"""What a person may ask for: the typed schema of `configs/`. Counts may be written `2e8` or `200M`; `resolve`
makes a RunConfig of it.

Groups whose fields need no resolving are the classes of `train.config.config` themselves. No field has a default here:
every default stands once, in `configs/`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BeforeValidator, Strict, TypeAdapter, ValidationError

from windtunnel.models.configuration import Activation, Parametrization
from windtunnel.models.family import parse_count
from windtunnel.train.config.config import LoggingConfig, OptimizerConfig, RuntimeConfig
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import DecayShape, Knots, ScheduleShape


def _count(value: Any) -> Any:
    return parse_count(value) if isinstance(value, str | float | int) else value


def _knots(value: Any) -> Any:
    """`0.5:0.8 1:0` -> ((0.5, 0.8), (1, 0))."""
    if not isinstance(value, str):
        return value
    pairs = [knot.split(":") for knot in value.split()]
    if not all(len(pair) == 2 for pair in pairs):
        raise ValueError(f"{value!r}: write knots as share:multiplier with spaces between, for example 0.5:0.8 1:0")
    return pairs


Count = Annotated[int, BeforeValidator(_count)]
Flag = Annotated[bool, Strict()]  # `yes`, `1` and the like are mistakes more often than booleans


@dataclass(frozen=True)
class SizeRequest:
    parameters: Count | None  # non-embedding; or all three of the shape
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


MISSING = "???"  # what YAML groups write where there is no default
_ADAPTER = TypeAdapter(RunRequest)
# Of numbers that nothing further on would refuse in time.
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


def parse_request(mapping: Mapping[str, Any]) -> RunRequest:
    """The request in a composed configuration. Raises InputError, one line, naming the key and what is allowed."""
    _refuse_nonsense(mapping, RunRequest, "")
    try:
        return _ADAPTER.validate_python(mapping)
    except ValidationError as error:
        raise InputError(_first_mistake(error)) from None


_hints = cache(get_type_hints)  # slow, and the same for each of thousands of runs


def _refuse_nonsense(mapping: Mapping[str, Any], schema: type, path: str) -> None:
    hints = _hints(schema)
    known = [f.name for f in fields(schema)]
    for key, value in mapping.items():
        if key not in known:
            raise InputError(unknown_key(f"{path}{key}", known))
        if value == MISSING:
            raise InputError(f"{path}{key}: must be given; write {path}{key}=...")
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, float) and not math.isfinite(each):
                raise InputError(f"{path}{key}={value}: must be a finite number")
        if value == "" or (isinstance(value, str) and not value.strip()):
            raise InputError(f"{path}{key}: is empty; leave it out or give a value")
        if isinstance(value, bool) and hints[key] in (int, float):  # which would be 1 or 0
            raise InputError(f"{path}{key}={str(value).lower()}: must be a number")
        least, most = RANGES.get(f"{path}{key}", (-math.inf, math.inf))
        if isinstance(value, int | float) and not least <= value <= most:
            raise InputError(
                f"{path}{key}={value}: must be at least {least}" + (f" and at most {most}" if most < math.inf else "")
            )
        if is_dataclass(hints[key]) and isinstance(value, Mapping):
            _refuse_nonsense(value, hints[key], f"{path}{key}.")


def known_keys(full_key: str) -> list[str]:
    """The settings beside `full_key`, for example those of `optimizer` for `optimizer.lr`."""
    schema: type = RunRequest
    for part in full_key.split(".")[:-1]:
        schema = get_type_hints(schema).get(part, RunRequest)
    return [f.name for f in fields(schema)] if is_dataclass(schema) else []


def unknown_key(key: str, known: list[str]) -> str:
    name = key.rsplit(".", 1)[-1]
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{key}: no such setting{hint} (allowed here: {', '.join(known)})"


def _first_mistake(error: ValidationError) -> str:
    mistakes = error.errors(include_url=False)
    # A union reports one mistake per member; the one of a whole path stands for all of them.
    first = mistakes[0]
    path = ".".join(
        str(part) for part in first["loc"] if isinstance(part, int) or (part.isidentifier() and part != "int")
    )
    message = str(first.get("ctx", {}).get("error", first["msg"]))
    more = "" if first["type"] in ("missing", "value_error") else f", got {first['input']!r}"
    return f"{path}: {message}{more}".replace("\n", " ")
