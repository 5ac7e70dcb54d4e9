"""What a run costs: seconds at the pace of its shape, and bytes on disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from windtunnel.models.accounting import count_parameters, flops_per_token
from windtunnel.models.configuration import ModelConfig
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.config.config import RunConfig
from windtunnel.train.milestones import milestones_of

Source = Literal["measured", "interpolated", "extrapolated", "published"]

BYTES_PER_PARAMETER = 12  # of a checkpoint: the parameter and two moments, in float32
# Rounded up from what runs leave: run.json, a line of the curve, an evaluation of one domain and of each further one, a
# line of timings for each second; and in a checkpoint the names of its tensors and the losses not yet written.
RECORD_BYTES, LINE_BYTES, EVALUATION_BYTES, TIMING_BYTES = 5_000, 140, 350, 60
CHECKPOINT_HEADER_BYTES = 8_000


@dataclass(frozen=True)
class Shape:
    """What the speed of a step depends on beside the machine: equal for runs that differ in rate, schedule, seed and
    length. `compile` is left out: paces are of uncompiled steps, which are never the faster ones.
    """

    model: tuple[int | str | bool, ...]
    vocabulary_size: int
    sequence_length: int
    sequences_per_step: int
    micro_batch_sequences: int
    device: str
    precision: str
    threads: int


@dataclass(frozen=True)
class Pace:
    """Seconds that the work of a run takes. `source` says how they are known."""

    start: float  # until the first step, in a process that has started before
    step: float
    evaluated_token: float
    checkpoint: float
    source: Source


def shape_of(config: RunConfig) -> Shape:
    runtime = config.runtime
    return Shape(
        _model_key(config.model),
        config.model.vocabulary_size,
        config.data.sequence_length,
        config.sequences_per_step,
        runtime.micro_batch_sequences,
        runtime.device,
        runtime.precision,
        runtime.threads or 1,  # as jobs are trained beside each other
    )


def shapes_of(runs: Iterable[PlannedRun]) -> dict[Shape, RunConfig]:
    """Every shape, with a run of it."""
    found: dict[Shape, RunConfig] = {}
    for run in runs:
        found.setdefault(shape_of(run.config), run.config)
    return found


def _model_key(model: ModelConfig) -> tuple[int | str | bool, ...]:
    numbers = (model.width, model.depth, model.head_count, model.feedforward_width)
    return (*numbers, model.activation, model.qk_norm, model.tied_embedding, model.z_loss > 0)


def step_flops(config: RunConfig) -> float:
    """Floating-point operations of one update, every matrix product counted, attention causal."""
    return float(flops_per_token(config.model, config.data.sequence_length).exact_causal) * config.tokens_per_step


def seconds_between(config: RunConfig, pace: Pace, first_step: int, last_step: int) -> float:
    """Training from after `first_step` to after `last_step`, with evaluations and kept checkpoints on the way."""
    evaluations = sum(first_step < step <= last_step for step in milestones_of(config))
    kept = {*config.logging.checkpoint_steps, config.schedule.total_steps}
    checkpoints = sum(first_step < step <= last_step for step in kept)
    training = (last_step - first_step) * pace.step
    for_resumption = training / config.runtime.checkpoint_seconds if config.runtime.checkpoint_seconds > 0 else 0.0
    return (
        training
        + evaluations * config.data.evaluation_tokens * pace.evaluated_token
        + (checkpoints + for_resumption) * pace.checkpoint
    )


def seconds_of(run: PlannedRun, pace: Pace) -> float:
    """The run from the checkpoint that it goes on from to its end."""
    return pace.start + seconds_between(run.config, pace, run.parent_step, run.config.schedule.total_steps)


def checkpoint_bytes(config: RunConfig) -> int:
    return BYTES_PER_PARAMETER * count_parameters(config.model).total + CHECKPOINT_HEADER_BYTES


def record_bytes(config: RunConfig, domains: int, seconds: float) -> int:
    """The run's record, curve and timings, which are never deleted; `seconds` of its training."""
    steps = config.schedule.total_steps
    evaluations = len(milestones_of(config))
    lines = -(-steps // config.logging.every_steps)
    return (
        RECORD_BYTES
        + lines * LINE_BYTES
        + evaluations * EVALUATION_BYTES * domains
        + round(min(seconds, float(steps)) * TIMING_BYTES)
    )
