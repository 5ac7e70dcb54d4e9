"""One run, fully resolved: a tree of plain frozen dataclasses.

`RunConfig` is what the loop reads and what a record stores. Its *scientific* part decides every number that a run
produces and so its identity (`train.config.run_id`); `runtime` and `logging` say where and how it runs and are recorded
only. A field with `metadata={"identity": False}` is provenance inside a scientific section: recorded, not part of
identity.

A field added later carries `metadata={"neutral": value}`: at that value it means what every earlier version did, and is
left out of the hash, so that old runs keep their identity.
"""

from dataclasses import dataclass, field
from typing import Literal

from windtunnel.models.configuration import ModelConfig
from windtunnel.train.schedules import Schedule

PROVENANCE = {"identity": False}
# Of LoggingConfig: what decides which rows a curve has. A curve that has begun keeps them, and so do its branches.
CURVE_INTERVALS = ("every_steps", "evaluation_interval_tokens")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101); multipliers by role come from the
    parametrization.
    """

    rate: float  # peak learning rate at the parametrization's base width
    tokens_per_step: int
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    gradient_clip: float  # largest global gradient norm; 0 is no clipping


@dataclass(frozen=True)
class DataConfig:
    """The prepared corpus (by content) and how a run reads it."""

    content_hash: str  # of shards, tokenizer and document tables: what the data is, wherever it lies
    vocabulary_size: int
    sequence_length: int  # tokens
    weights: tuple[float, ...] | None  # share of each domain; None: in proportion to its unique tokens
    unique_tokens: int | None  # budget of distinct training tokens; None: all there are
    evaluation_tokens: int
    max_epochs: float = field(metadata=PROVENANCE)  # a permission: how often data may be repeated, not whether it is
    spec: str = field(metadata=PROVENANCE)
    folder: str = field(metadata=PROVENANCE)  # name of the prepared folder below `runtime.data_directory`


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how: never part of identity. `auto` is decided at a run's first start and recorded (`train.device`)."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
    compile: Literal["auto", "on", "off"]
    threads: int  # CPU threads; 0: decided by size
    micro_batch_sequences: int  # sequences per forward pass on one rank; 0: the rank's whole share
    runs_directory: str
    data_directory: str
    checkpoint_seconds: float  # between checkpoints kept for resumption
    keep_checkpoints: int  # newest ones kept for resumption


@dataclass(frozen=True)
class LoggingConfig:
    """What is written beside the science: never part of identity."""

    every_steps: int  # steps averaged into one line of the training curve
    checkpoint_steps: tuple[int, ...]  # milestones kept for good, to branch from
    wandb: Literal["off", "offline", "online"]
    project: str
    group: str | None
    tags: tuple[str, ...]
    # Evaluations between the milestones, for whole validation curves; None: none, as in records that lack the field.
    evaluation_interval_tokens: int | None = None
    # A fit of curves (`windtunnel curves fit --output`): the line of progress shows the final loss that it expects.
    law: str | None = None


@dataclass(frozen=True)
class RunConfig:
    model: ModelConfig
    optimizer: OptimizerConfig
    schedule: Schedule
    data: DataConfig
    seed: int
    runtime: RuntimeConfig = field(metadata=PROVENANCE)
    logging: LoggingConfig = field(metadata=PROVENANCE)

    @property
    def tokens_per_step(self) -> int:
        return self.optimizer.tokens_per_step

    @property
    def sequences_per_step(self) -> int:
        return self.optimizer.tokens_per_step // self.data.sequence_length

    @property
    def total_tokens(self) -> int:
        return self.schedule.total_steps * self.tokens_per_step
