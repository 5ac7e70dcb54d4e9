"""From what was asked (`RunRequest`) to what will be trained (`RunConfig`): shape, steps, warm-up, data, each decided
once and exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from windtunnel.models.accounting import count_parameters
from windtunnel.models.configuration import ModelConfig
from windtunnel.models.family import Shape, choose_shape, feedforward_width_of
from windtunnel.train.config.branch_parent import Parent, find_parent
from windtunnel.train.config.config import CURVE_INTERVALS, DataConfig, LoggingConfig, OptimizerConfig, RunConfig
from windtunnel.train.config.schema import DataRequest, HorizonRequest, RunRequest, ScheduleRequest
from windtunnel.train.data.manifest import load
from windtunnel.train.data.mixture import PERIOD, apportion
from windtunnel.train.data.prepare import planned_vocabulary, prepare
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import FULL_SHAPES, Schedule, ScheduleShape, shares_rates

# Warm-up in tokens by size alone: at least 400 steps of 1,024 tokens, which the smallest models need to settle, and a
# token per parameter from where that is more (Porian et al. 2024, arXiv 2406.19146, warm up for N tokens).
SHORTEST_WARMUP_TOKENS = 409_600
UNPREPARED = "unprepared"
MOST_TOKENS = 1e15
# What a branch may choose for itself; everything else is its parent's.
INHERITED_KEYS = (
    "schedule.warmup_tokens",
    "schedule.warmup_fraction",
    "schedule.power_exponent",
    *(f"logging.{name}" for name in CURVE_INTERVALS),
)
BRANCH_KEYS = ("branch_from", "schedule", "runtime", "logging", "dry_run")


def resolve(
    request: RunRequest, overrides: Sequence[str], progress: Callable[[str], None]
) -> tuple[RunConfig, Parent | None]:
    """The run to train and, for a branch, its parent. Prepares the data unless this is a dry run. Raises InputError."""
    if request.branch_from is not None:
        return _resolve_branch(request, overrides)
    if not request.dry_run:
        prepare(data_spec(request.data), Path(request.runtime.data_directory), progress=progress)
    return configuration(request, find_data(request.data, Path(request.runtime.data_directory))), None


@dataclass(frozen=True)
class FoundData:
    """The data set that was asked for, as far as it is there."""

    folder_name: str
    domains: int
    vocabulary_size: int
    content_hash: str


def find_data(data: DataRequest, data_directory: Path) -> FoundData:
    """What `configuration` needs to know of the data. Raises InputError where they cannot be prepared or read."""
    spec = data_spec(data)
    folder = data_directory / spec.folder_name
    manifest = load(folder) if folder.exists() else None
    return FoundData(
        folder.name,
        len(spec.sources),
        manifest.vocabulary_size if manifest else planned_vocabulary(spec),
        manifest.content_hash if manifest else UNPREPARED,
    )


def configuration(request: RunRequest, data: FoundData) -> RunConfig:
    """The run to train, of one that is no branch. Raises InputError."""
    model = _model(request, data.vocabulary_size)
    schedule = _schedule(request, model)
    _refuse_lost_checkpoints(request.logging.checkpoint_steps, schedule)
    return RunConfig(
        model=model,
        optimizer=_optimizer(request),
        schedule=schedule,
        data=_data(request.data, data),
        seed=request.seed,
        runtime=request.runtime,
        logging=_logging(request),
    )


def _refuse_lost_checkpoints(steps: Sequence[int], schedule: Schedule) -> None:
    """A milestone outside the run would silently not be there when a branch wants it."""
    lost = [step for step in steps if not 1 <= step <= schedule.total_steps]
    if lost:
        raise InputError(f"logging.checkpoint_steps={lost}: outside the {schedule.total_steps} steps of this run")


def data_spec(data: DataRequest) -> DataSpec:
    """The data set that is asked for: what is prepared, without how a run reads it."""
    return DataSpec(**{f.name: getattr(data, f.name) for f in fields(DataSpec)})


def _weights(weights: tuple[float, ...] | None, domains: int) -> tuple[float, ...] | None:
    """The shares that a mixture really has, so that equal mixtures have equal identity."""
    if weights is None:
        return None
    if len(weights) != domains:
        raise InputError(f"data.weights: {len(weights)} given for {domains} domains; give one for each, in their order")
    shares = apportion(weights, PERIOD)
    return tuple(float(count) / PERIOD for count in shares) if domains > 1 else None


def _data(data: DataRequest, found: FoundData) -> DataConfig:
    if data.sequence_length < 1:
        raise InputError(f"data.sequence_length={data.sequence_length}: needs at least 1 token")
    return DataConfig(
        content_hash=found.content_hash,
        vocabulary_size=found.vocabulary_size,
        sequence_length=data.sequence_length,
        weights=_weights(data.weights, found.domains),
        unique_tokens=data.unique_tokens,
        max_epochs=data.max_epochs,
        evaluation_tokens=data.evaluation_tokens,
        spec=data.spec,
        folder=found.folder_name,
    )


def _model(request: RunRequest, vocabulary_size: int) -> ModelConfig:
    size, architecture = request.size, request.architecture
    explicit = (size.width, size.depth, size.head_count)
    if (size.parameters is None) == (explicit == (None, None, None)) or (size.parameters is None and None in explicit):
        raise InputError(
            "size: give parameters (size=200k) or all of width, depth and head_count (size=custom), not both"
        )
    if size.parameters is not None:
        shape = choose_shape(
            size.parameters,
            aspect_ratio=architecture.aspect_ratio,
            head_size=architecture.head_size,
            activation=architecture.activation,
        )
    else:
        width, depth, head_count = (value or 0 for value in explicit)
        feedforward_width = feedforward_width_of(max(1, width), architecture.activation)
        shape = Shape(width, depth, head_count, feedforward_width)
    return ModelConfig(
        width=shape.width,
        depth=shape.depth,
        head_count=shape.head_count,
        feedforward_width=shape.feedforward_width,
        vocabulary_size=vocabulary_size,
        activation=architecture.activation,
        qk_norm=architecture.qk_norm,
        tied_embedding=architecture.tied_embedding,
        rotary_base=architecture.rotary_base,
        norm_epsilon=architecture.norm_epsilon,
        z_loss=architecture.z_loss,
        parametrization=request.parametrization,
    )


def _optimizer(request: RunRequest) -> OptimizerConfig:
    optimizer = OptimizerConfig(**{f.name: getattr(request.optimizer, f.name) for f in fields(OptimizerConfig)})
    for name in ("rate", "epsilon"):
        if not getattr(optimizer, name) > 0:
            raise InputError(f"optimizer.{name}={getattr(optimizer, name)}: must be above 0")
    if not 1e-30 < optimizer.rate < 1e30:
        raise InputError(f"optimizer.rate={optimizer.rate:g}: beyond what float32 holds")
    for name in ("beta1", "beta2"):
        if not 0 <= getattr(optimizer, name) < 1:
            raise InputError(f"optimizer.{name}={getattr(optimizer, name)}: must be at least 0 and below 1")
    for name in ("weight_decay", "gradient_clip"):
        if getattr(optimizer, name) < 0:
            raise InputError(f"optimizer.{name}={getattr(optimizer, name)}: must not be negative (0 switches it off)")
    if optimizer.tokens_per_step > MOST_TOKENS:
        raise InputError(f"optimizer.tokens_per_step={optimizer.tokens_per_step:.3g}: {MOST_TOKENS:.0e} at most")
    if optimizer.tokens_per_step % request.data.sequence_length:
        raise InputError(
            f"optimizer.tokens_per_step={optimizer.tokens_per_step} is not a multiple of "
            f"data.sequence_length={request.data.sequence_length}; change one of them"
        )
    return optimizer


def _logging(request: RunRequest) -> LoggingConfig:
    return LoggingConfig(**{f.name: getattr(request.logging, f.name) for f in fields(LoggingConfig)})


def _total_steps(horizon: HorizonRequest, model: ModelConfig, tokens_per_step: int) -> int:
    chosen = {f.name: value for f in fields(horizon) if (value := getattr(horizon, f.name)) is not None}
    if len(chosen) != 1:
        raise InputError(
            f"horizon: exactly one of {', '.join(f.name for f in fields(horizon))} must be set, got "
            f"{' and '.join(chosen) or 'none'}; set the others to null, for example horizon.steps=null"
        )
    ((unit, amount),) = chosen.items()
    if not amount > 0:
        raise InputError(f"horizon.{unit}={amount}: must be above 0")
    parameters = count_parameters(model).total
    tokens = {
        "tokens": amount,
        "tokens_per_parameter": amount * parameters,
        "flops": amount / (6 * parameters),
        "steps": amount * tokens_per_step,
    }[unit]
    if tokens > MOST_TOKENS:
        raise InputError(f"horizon.{unit}={amount:g} is {tokens:.3g} tokens: at most {MOST_TOKENS:.0e} here")
    steps = round(tokens / tokens_per_step)
    if steps < 1:
        raise InputError(f"horizon.{unit}={amount:g} is less than one step of {tokens_per_step} tokens; lengthen it")
    return int(steps)


def warmup_tokens_of(model: ModelConfig) -> int:
    return max(SHORTEST_WARMUP_TOKENS, count_parameters(model).non_embedding)


def _schedule(request: RunRequest, model: ModelConfig) -> Schedule:
    tokens_per_step = request.optimizer.tokens_per_step
    total_steps = _total_steps(request.horizon, model, tokens_per_step)
    schedule = request.schedule
    if schedule.shape == "decay":
        raise InputError("schedule=decay: the decay of which trunk? Write branch_from=RUN@STEP too, or schedule=wsd")
    if (schedule.warmup_tokens is None) == (schedule.warmup_fraction is None):
        raise InputError(
            "schedule: exactly one of warmup_tokens and warmup_fraction must be set; "
            "write schedule.warmup_tokens=null schedule.warmup_fraction=0.05 for a fraction"
        )
    if schedule.warmup_fraction is not None:
        _refuse_fraction("warmup_fraction", schedule.warmup_fraction)
        warmup_steps = round(schedule.warmup_fraction * total_steps)
    else:
        tokens = warmup_tokens_of(model) if schedule.warmup_tokens == "auto" else schedule.warmup_tokens
        assert isinstance(tokens, int)
        warmup_steps = -(-tokens // tokens_per_step)
    _refuse_fraction("decay_fraction", schedule.decay_fraction)
    decay_steps = round(schedule.decay_fraction * total_steps)
    if decay_steps == 0 and schedule.decay_fraction > 0:
        raise InputError(
            f"schedule.decay_fraction={schedule.decay_fraction} of {total_steps} steps is no step at all; "
            "train longer, raise it, or write schedule=constant"
        )
    if warmup_steps + decay_steps > total_steps:
        raise InputError(
            f"warm-up of {warmup_steps} and decay of {decay_steps} steps do not fit into the {total_steps} steps of "
            "this horizon; train longer (horizon.tokens=2M) or warm up less (schedule.warmup_tokens=50k)"
        )
    return canonical(schedule, schedule.shape, total_steps, warmup_steps, decay_steps)


def canonical(
    request: ScheduleRequest, shape: ScheduleShape, total_steps: int, warmup_steps: int, decay_steps: int
) -> Schedule:
    """The schedule with every field that it does not read at one fixed value, so that equal schedules have equal
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


def _refuse_fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise InputError(f"schedule.{name}={value}: a fraction of the run, at least 0 and below 1")


def _resolve_branch(request: RunRequest, overrides: Sequence[str]) -> tuple[RunConfig, Parent]:
    assert request.branch_from is not None
    for override in overrides:
        key = override.lstrip("+~").split("=", 1)[0].split("@", 1)[0]
        if key in INHERITED_KEYS:
            raise InputError(f"{key}: a branch goes on with its parent's, so that it is the run from scratch")
        if key.split(".", 1)[0] not in (*BRANCH_KEYS, "hydra"):
            raise InputError(f"{key}: a branch takes this from its parent; it may set {', '.join(BRANCH_KEYS)} only")
    parent = find_parent(request.branch_from, request.runtime.runs_directory)
    trunk, step = parent.config, parent.step
    if request.schedule.shape != "decay":
        raise InputError(f"schedule.shape={request.schedule.shape}: a branch is a decay; write schedule=decay")
    _refuse_fraction("decay_fraction", request.schedule.decay_fraction)
    total_steps = round(step / (1 - request.schedule.decay_fraction))
    if total_steps == step:
        raise InputError(
            f"schedule.decay_fraction={request.schedule.decay_fraction}: leaves no decay after step {step}; raise it"
        )
    shape: ScheduleShape = "power" if trunk.schedule.shape == "power" else "wsd"
    asked = replace(request.schedule, power_exponent=trunk.schedule.power_exponent)
    schedule = canonical(asked, shape, total_steps, trunk.schedule.warmup_steps, total_steps - step)
    if step > trunk.schedule.total_steps or not shares_rates(schedule, trunk.schedule, step):
        raise InputError(
            f"branch_from={request.branch_from}: by then the parent ({trunk.schedule.shape}, decay from step "
            f"{trunk.schedule.decay_start}) has left the rates of this schedule; branch from its plateau"
        )
    logging = replace(_logging(request), **{name: getattr(trunk.logging, name) for name in CURVE_INTERVALS})
    _refuse_lost_checkpoints(request.logging.checkpoint_steps, schedule)
    config = replace(trunk, schedule=schedule, runtime=request.runtime, logging=logging)
    return config, parent
