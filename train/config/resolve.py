"""From the request (`RunRequest`) to the run (`RunConfig`): shape, steps and data, each decided once and exactly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from windtunnel.models.configuration import ModelConfig
from windtunnel.models.family import Shape, choose_shape, feedforward_width_of
from windtunnel.train.config.branch_parent import Parent, find_parent
from windtunnel.train.config.config import CURVE_INTERVALS, DataConfig, LoggingConfig, OptimizerConfig, RunConfig
from windtunnel.train.config.resolve_schedule import MAX_TOKENS, canonical_schedule, check_fraction, resolve_schedule
from windtunnel.train.config.schema import DataRequest, RunRequest, ScheduleRequest
from windtunnel.train.data.manifest import load_manifest
from windtunnel.train.data.mixture import PERIOD, apportion
from windtunnel.train.data.prepare import planned_vocabulary, prepare
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import Schedule, ScheduleShape, shares_rates

UNPREPARED = "unprepared"  # the content hash of data that are not prepared yet
# What a branch may set; it takes everything else from its parent.
BRANCH_KEYS = ("branch_from", "schedule", "runtime", "logging", "dry_run")
INHERITED_KEYS = (
    "schedule.warmup_tokens",
    "schedule.warmup_fraction",
    "schedule.power_exponent",
    *(f"logging.{name}" for name in CURVE_INTERVALS),
)


def resolve(
    request: RunRequest, overrides: Sequence[str], progress: Callable[[str], None]
) -> tuple[RunConfig, Parent | None]:
    """The run to train and, if it is a branch, its parent. Prepares the data except in a dry run.

    overrides: the request as written, to find settings that a branch may not have. progress: called with each line
    about data in preparation.

    Raises InputError.
    """
    if request.branch_from is not None:
        return _resolve_branch(request, request.branch_from, overrides)
    data_directory = Path(request.runtime.data_directory)
    if not request.dry_run:
        prepare(data_spec(request.data), data_directory, progress=progress)
    return make_config(request, describe_data(request.data, data_directory)), None


@dataclass(frozen=True)
class DataDescription:
    """What a configuration records of a dataset; `content_hash` is UNPREPARED if it is not prepared yet."""

    folder_name: str
    domains: int
    vocabulary_size: int
    content_hash: str


def describe_data(data: DataRequest, data_directory: Path) -> DataDescription:
    """The description of the requested dataset. Raises InputError if it cannot be prepared or read."""
    spec = data_spec(data)
    folder = data_directory / spec.folder_name
    manifest = load_manifest(folder) if folder.exists() else None
    return DataDescription(
        folder.name,
        len(spec.sources),
        manifest.vocabulary_size if manifest else planned_vocabulary(spec),
        manifest.content_hash if manifest else UNPREPARED,
    )


def data_spec(data: DataRequest) -> DataSpec:
    """The part of the request that decides what is prepared."""
    return DataSpec(**{f.name: getattr(data, f.name) for f in fields(DataSpec)})


def make_config(request: RunRequest, data: DataDescription) -> RunConfig:
    """The configuration of a run that is not a branch. Raises InputError."""
    try:
        model = _resolve_model(request, data.vocabulary_size)
    except ValueError as error:  # `models` does not import `train`: its errors are plain ValueErrors
        raise error if isinstance(error, InputError) else InputError(str(error)) from None
    schedule = resolve_schedule(request, model)
    _check_checkpoint_steps(request.logging.checkpoint_steps, schedule)
    return RunConfig(
        model=model,
        optimizer=_resolve_optimizer(request),
        schedule=schedule,
        data=_resolve_data(request.data, data),
        seed=request.seed,
        runtime=request.runtime,
        logging=_resolve_logging(request),
    )


def _check_checkpoint_steps(steps: Sequence[int], schedule: Schedule) -> None:
    outside = [step for step in steps if not 1 <= step <= schedule.total_steps]
    if outside:
        raise InputError(f"logging.checkpoint_steps={outside}: outside the {schedule.total_steps} steps of this run")


def _resolve_data(data: DataRequest, description: DataDescription) -> DataConfig:
    return DataConfig(
        content_hash=description.content_hash,
        vocabulary_size=description.vocabulary_size,
        sequence_length=data.sequence_length,
        weights=_resolve_weights(data.weights, description.domains),
        unique_tokens=data.unique_tokens,
        max_epochs=data.max_epochs,
        evaluation_tokens=data.evaluation_tokens,
        spec=data.spec,
        folder=description.folder_name,
    )


def _resolve_weights(weights: tuple[float, ...] | None, domains: int) -> tuple[float, ...] | None:
    """The shares that the mixture really has, so that equal mixtures have equal identity."""
    if weights is None:
        return None
    if len(weights) != domains:
        raise InputError(f"data.weights: {len(weights)} given for {domains} domains; give one for each, in their order")
    shares = apportion(weights, PERIOD)
    return tuple(float(count) / PERIOD for count in shares) if domains > 1 else None


def _resolve_model(request: RunRequest, vocabulary_size: int) -> ModelConfig:
    architecture = request.architecture
    shape = _resolve_shape(request)
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


def _resolve_shape(request: RunRequest) -> Shape:
    size, architecture = request.size, request.architecture
    explicit = (size.width, size.depth, size.head_count)
    if (size.parameters is None) == (explicit == (None, None, None)) or (size.parameters is None and None in explicit):
        raise InputError(
            "size: give parameters (size=200k) or all of width, depth and head_count (size=custom), not both"
        )
    if size.parameters is not None:
        return choose_shape(
            size.parameters,
            aspect_ratio=architecture.aspect_ratio,
            head_size=architecture.head_size,
            activation=architecture.activation,
        )
    width, depth, head_count = (value or 0 for value in explicit)
    return Shape(width, depth, head_count, feedforward_width_of(max(1, width), architecture.activation))


def _resolve_optimizer(request: RunRequest) -> OptimizerConfig:
    optimizer = OptimizerConfig(**{f.name: getattr(request.optimizer, f.name) for f in fields(OptimizerConfig)})
    for name in ("rate", "epsilon"):
        if not getattr(optimizer, name) > 0:
            raise InputError(f"optimizer.{name}={getattr(optimizer, name)}: must be above 0")
    if not 1e-30 < optimizer.rate < 1e30:
        raise InputError(f"optimizer.rate={optimizer.rate:g}: outside the range of float32")
    for name in ("beta1", "beta2"):
        if not 0 <= getattr(optimizer, name) < 1:
            raise InputError(f"optimizer.{name}={getattr(optimizer, name)}: must be at least 0 and below 1")
    for name in ("weight_decay", "gradient_clip"):
        if getattr(optimizer, name) < 0:
            raise InputError(f"optimizer.{name}={getattr(optimizer, name)}: must not be negative (0 switches it off)")
    if optimizer.tokens_per_step > MAX_TOKENS:
        raise InputError(f"optimizer.tokens_per_step={optimizer.tokens_per_step:.3g}: give at most {MAX_TOKENS:.0e}")
    if optimizer.tokens_per_step % request.data.sequence_length:
        raise InputError(
            f"optimizer.tokens_per_step={optimizer.tokens_per_step} is not a multiple of "
            f"data.sequence_length={request.data.sequence_length}; change one of them"
        )
    return optimizer


def _resolve_logging(request: RunRequest) -> LoggingConfig:
    return LoggingConfig(**{f.name: getattr(request.logging, f.name) for f in fields(LoggingConfig)})


def _resolve_branch(request: RunRequest, branch_from: str, overrides: Sequence[str]) -> tuple[RunConfig, Parent]:
    _check_branch_overrides(overrides)
    parent = find_parent(branch_from, request.runtime.runs_directory)
    trunk = parent.config
    schedule = _branch_schedule(request.schedule, trunk.schedule, parent.step)
    if parent.step > trunk.schedule.total_steps or not shares_rates(schedule, trunk.schedule, parent.step):
        raise InputError(
            f"branch_from={branch_from}: the parent ({trunk.schedule.shape}, decay from step "
            f"{trunk.schedule.decay_start}) has other learning rates than this schedule before step {parent.step}; "
            "branch from its plateau"
        )
    _check_checkpoint_steps(request.logging.checkpoint_steps, schedule)
    logging = replace(_resolve_logging(request), **{name: getattr(trunk.logging, name) for name in CURVE_INTERVALS})
    return replace(trunk, schedule=schedule, runtime=request.runtime, logging=logging), parent


def _check_branch_overrides(overrides: Sequence[str]) -> None:
    for override in overrides:
        key = override.lstrip("+~").split("=", 1)[0].split("@", 1)[0]
        if key in INHERITED_KEYS:
            raise InputError(f"{key}: a branch takes this from its parent, so that it equals the run from scratch")
        if key.split(".", 1)[0] not in (*BRANCH_KEYS, "hydra"):
            raise InputError(f"{key}: a branch takes this from its parent; it may set {', '.join(BRANCH_KEYS)} only")


def _branch_schedule(request: ScheduleRequest, trunk: Schedule, step: int) -> Schedule:
    """The decay from `step`, with everything before it from the trunk."""
    if request.shape != "decay":
        raise InputError(f"schedule.shape={request.shape}: a branch is a decay; write schedule=decay")
    check_fraction("decay_fraction", request.decay_fraction)
    total_steps = round(step / (1 - request.decay_fraction))
    if total_steps == step:
        raise InputError(
            f"schedule.decay_fraction={request.decay_fraction}: leaves no decay after step {step}; raise it"
        )
    shape: ScheduleShape = "power" if trunk.shape == "power" else "wsd"
    request = replace(request, power_exponent=trunk.power_exponent)
    return canonical_schedule(request, shape, total_steps, trunk.warmup_steps, total_steps - step)
