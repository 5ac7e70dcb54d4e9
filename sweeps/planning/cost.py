"""What a run costs: seconds, from the timing of its shape, and bytes on disk."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from windtunnel.models.accounting import count_parameters, flops_per_token
from windtunnel.models.configuration import ModelConfig
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.config.config import RunConfig
from windtunnel.train.milestones import milestones_of

Source = Literal["measured", "interpolated", "extrapolated", "published"]

CHECKPOINT_BYTES_PER_PARAMETER = 12  # the parameter and two moments, in float32
CHECKPOINT_HEADER_BYTES = 8_000  # tensor names, and losses not written yet
# Rounded up from what runs leave: run.json, a line of the curve, an evaluation of one domain and of each further one, a
# line of timings per second.
RECORD_BYTES, LINE_BYTES, EVALUATION_BYTES, TIMING_BYTES = 5_000, 140, 350, 60


@dataclass(frozen=True)
class StepShape:
    """The settings that the time of a step depends on. Runs that differ in rate, schedule, seed or length share it.
    `compile` is left out: timings are of uncompiled steps, which are never faster.
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
class Timing:
    """Seconds that each part of a run takes."""

    start: float  # until the first step, in a process that is already running
    step: float
    evaluated_token: float
    checkpoint: float
    source: Source


def step_shape(config: RunConfig) -> StepShape:
    runtime = config.runtime
    return StepShape(
        _model_key(config.model),
        config.model.vocabulary_size,
        config.data.sequence_length,
        config.sequences_per_step,
        runtime.micro_batch_sequences,
        runtime.device,
        runtime.precision,
        runtime.threads or 1,  # jobs train side by side, one thread each
    )


def step_shapes(runs: Iterable[PlannedRun]) -> dict[StepShape, RunConfig]:
    """Every shape, with the configuration of a run that has it."""
    shapes: dict[StepShape, RunConfig] = {}
    for run in runs:
        shapes.setdefault(step_shape(run.config), run.config)
    return shapes


def _model_key(model: ModelConfig) -> tuple[int | str | bool, ...]:
    numbers = (model.width, model.depth, model.head_count, model.feedforward_width)
    return (*numbers, model.activation, model.qk_norm, model.tied_embedding, model.z_loss > 0)


def step_flops(config: RunConfig) -> float:
    """FLOPs of one update: every matrix product, causal attention."""
    return float(flops_per_token(config.model, config.data.sequence_length).exact_causal) * config.tokens_per_step


def seconds_between(config: RunConfig, timing: Timing, first_step: int, last_step: int) -> float:
    """Seconds from the end of `first_step` to the end of `last_step`, with the evaluations and checkpoints between."""
    evaluations = sum(first_step < step <= last_step for step in milestones_of(config))
    checkpoint_steps = {*config.logging.checkpoint_steps, config.schedule.total_steps}
    checkpoints = sum(first_step < step <= last_step for step in checkpoint_steps)
    training = (last_step - first_step) * timing.step
    for_resumption = training / config.runtime.checkpoint_seconds if config.runtime.checkpoint_seconds > 0 else 0.0
    return (
        training
        + evaluations * config.data.evaluation_tokens * timing.evaluated_token
        + (checkpoints + for_resumption) * timing.checkpoint
    )


def training_seconds(run: PlannedRun, timing: Timing) -> float:
    """Seconds from the checkpoint that a run starts from to its end."""
    return timing.start + seconds_between(run.config, timing, run.parent_step, run.config.schedule.total_steps)


def critical_paths(
    runs: Sequence[PlannedRun], cost: Callable[[PlannedRun], float], cost_to_branch: Callable[[PlannedRun], float]
) -> dict[str, float]:
    """The cost from the start of each run to the end of the last of these runs that waits for it, by run id.

    Arguments:
        runs: parents before their branches, as in a plan.
        cost: of a whole run.
        cost_to_branch: from the start of a branch's parent to the checkpoint that the branch starts from. A branch
            waits for that checkpoint, not for the end of its parent.
    """
    paths = {run.run_id: cost(run) for run in runs}
    for run in reversed(runs):
        if run.parent in paths:
            paths[run.parent] = max(paths[run.parent], cost_to_branch(run) + paths[run.run_id])
    return paths


def checkpoint_bytes(config: RunConfig) -> int:
    return CHECKPOINT_BYTES_PER_PARAMETER * count_parameters(config.model).total + CHECKPOINT_HEADER_BYTES


def record_bytes(config: RunConfig, domains: int, seconds: float) -> int:
    """Bytes of the record, curve and timings of a run that trains for `seconds`. They are never deleted."""
    steps = config.schedule.total_steps
    evaluations = len(milestones_of(config))
    lines = -(-steps // config.logging.every_steps)
    return (
        RECORD_BYTES
        + lines * LINE_BYTES
        + evaluations * EVALUATION_BYTES * domains
        + round(min(seconds, float(steps)) * TIMING_BYTES)
    )
