"""From requested horizon and schedule to a `Schedule`: the numbers of steps, each decided once and exactly."""

from dataclasses import fields

from windtunnel.models.accounting import count_parameters
from windtunnel.models.configuration import ModelConfig
from windtunnel.train.config.schema import HorizonRequest, RunRequest, ScheduleRequest
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import FULL_SHAPES, Schedule, ScheduleShape

# Warm-up in tokens depends on model size alone: at least 400 steps of 1,024 tokens, which the smallest models need, and
# one token per parameter where that is more (Porian et al. 2024, arXiv 2406.19146, warm up for N tokens).
MIN_WARMUP_TOKENS = 409_600
MAX_TOKENS = 1e15


def resolve_schedule(request: RunRequest, model: ModelConfig) -> Schedule:
    """The schedule of a run that is not a branch. Raises InputError."""
    schedule = request.schedule
    if schedule.shape == "decay":
        raise InputError(
            "schedule=decay: a decay needs a trunk; write branch_from=RUN@STEP too, or choose schedule=wsd"
        )
    tokens_per_step = request.optimizer.tokens_per_step
    total_steps = _total_steps(request.horizon, model, tokens_per_step)
    warmup_steps = _warmup_steps(schedule, model, tokens_per_step, total_steps)
    check_fraction("decay_fraction", schedule.decay_fraction)
    decay_steps = round(schedule.decay_fraction * total_steps)
    if decay_steps == 0 and schedule.decay_fraction > 0:
        raise InputError(
            f"schedule.decay_fraction={schedule.decay_fraction} of {total_steps} steps is less than half a step; "
            "train longer, raise it, or write schedule=constant"
        )
    if warmup_steps + decay_steps > total_steps:
        raise InputError(
            f"warm-up of {warmup_steps} and decay of {decay_steps} steps do not fit into the {total_steps} steps of "
            "this horizon; train longer (horizon.tokens=2M) or warm up less (schedule.warmup_tokens=50k)"
        )
    return canonical_schedule(schedule, schedule.shape, total_steps, warmup_steps, decay_steps)


def canonical_schedule(
    request: ScheduleRequest, shape: ScheduleShape, total_steps: int, warmup_steps: int, decay_steps: int
) -> Schedule:
    """The schedule with one fixed value in every field that it does not read, so that equal schedules have equal
    identity.
    """
    if shape == "wsd" and decay_steps == 0:
        shape = "constant"
    decays = decay_steps > 0 or (shape in FULL_SHAPES and shape != "piecewise")
    return Schedule(
        shape=shape,
        total_steps=total_steps,
        warmup_steps=warmup_steps,
        decay_steps=decay_steps,
        decay_shape=request.decay_shape if decay_steps > 0 else "linear",
        final_fraction=float(request.final_fraction) if decays else 0.0,
        power_exponent=float(request.power_exponent) if shape == "power" else 0.0,
        knots=request.knots if shape == "piecewise" else (),
    )


def check_fraction(name: str, value: float) -> None:
    """Raise InputError unless the schedule setting `name` is in [0, 1)."""
    if not 0 <= value < 1:
        raise InputError(f"schedule.{name}={value}: a fraction of the run, at least 0 and below 1")


def _total_steps(horizon: HorizonRequest, model: ModelConfig, tokens_per_step: int) -> int:
    amounts = {f.name: value for f in fields(horizon) if (value := getattr(horizon, f.name)) is not None}
    if len(amounts) != 1:
        raise InputError(
            f"horizon: exactly one of {', '.join(f.name for f in fields(horizon))} must be set, got "
            f"{' and '.join(amounts) or 'none'}; set the others to null, for example horizon.steps=null"
        )
    ((unit, amount),) = amounts.items()
    if not amount > 0:
        raise InputError(f"horizon.{unit}={amount}: must be above 0")
    parameters = count_parameters(model).total
    tokens = {
        "tokens": amount,
        "tokens_per_parameter": amount * parameters,
        "flops": amount / (6 * parameters),
        "steps": amount * tokens_per_step,
    }[unit]
    if tokens > MAX_TOKENS:
        raise InputError(f"horizon.{unit}={amount:g} is {tokens:.3g} tokens; give at most {MAX_TOKENS:.0e}")
    steps = round(tokens / tokens_per_step)
    if steps < 1:
        raise InputError(f"horizon.{unit}={amount:g} is less than one step of {tokens_per_step} tokens; lengthen it")
    return int(steps)


def _warmup_steps(schedule: ScheduleRequest, model: ModelConfig, tokens_per_step: int, total_steps: int) -> int:
    if (schedule.warmup_tokens is None) == (schedule.warmup_fraction is None):
        raise InputError(
            "schedule: exactly one of warmup_tokens and warmup_fraction must be set; "
            "write schedule.warmup_tokens=null schedule.warmup_fraction=0.05 for a fraction"
        )
    if schedule.warmup_fraction is not None:
        check_fraction("warmup_fraction", schedule.warmup_fraction)
        return round(schedule.warmup_fraction * total_steps)
    tokens = schedule.warmup_tokens
    if tokens == "auto":
        tokens = max(MIN_WARMUP_TOKENS, count_parameters(model).non_embedding)
    assert isinstance(tokens, int)
    return -(-tokens // tokens_per_step)
