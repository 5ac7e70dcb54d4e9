"""The fully resolved configuration of one run: a tree of plain frozen dataclasses.

The training loop reads a `RunConfig` and the run record stores it. Its *scientific* part decides every number that a
run produces, and so the run's identity (`train.config.run_id`). `runtime` and `logging` are recorded but are not part
of the identity.

Field metadata:
    {"identity": False}   provenance inside a scientific section: recorded, not part of the identity.
    {"neutral": value}    a field that was added later. At this value it means what every earlier version did, and the
                          hash leaves it out, so that old runs keep their identity.
"""

from dataclasses import dataclass, field
from typing import Literal

from windtunnel.models.configuration import ModelConfig
from windtunnel.train.schedules import Schedule

PROVENANCE = {"identity": False}
# The fields of LoggingConfig that decide which rows a curve has. A resumed run and a branch keep the recorded values.
CURVE_INTERVALS = ("every_steps", "evaluation_interval_tokens")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101).

    The parametrization multiplies rate, decay and epsilon by role.
    """

    rate: float  # peak learning rate at the parametrization's base width
    tokens_per_step: int
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    gradient_clip: float  # maximum global gradient norm; 0: no clipping


@dataclass(frozen=True)
class DataConfig:
    """The prepared corpus, by content hash, and how the run reads it."""

    content_hash: str  # of shards, tokenizer and document tables; independent of where they are stored
    vocabulary_size: int
    sequence_length: int  # tokens
    weights: tuple[float, ...] | None  # share of each domain; None: in proportion to its unique tokens
    unique_tokens: int | None  # number of distinct training tokens to use; None: all
    evaluation_tokens: int
    max_epochs: float = field(metadata=PROVENANCE)  # a limit, not the number of repetitions
    spec: str = field(metadata=PROVENANCE)
    folder: str = field(metadata=PROVENANCE)  # name of the prepared folder below `runtime.data_directory`


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how the run is trained; not part of the identity.

    `auto` is resolved when the run first starts, and recorded (`train.device`).
    """

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
    compile: Literal["auto", "on", "off"]
    threads: int  # CPU threads; 0: decided by model size
    micro_batch_sequences: int  # sequences per forward pass on one rank; 0: the rank's whole share
    runs_directory: str
    data_directory: str
    checkpoint_seconds: float  # between checkpoints for resumption
    keep_checkpoints: int  # number of newest checkpoints kept for resumption


@dataclass(frozen=True)
class LoggingConfig:
    """What is written besides the losses; not part of the identity."""

    every_steps: int  # steps averaged into one row of the training curve
    checkpoint_steps: tuple[int, ...]  # checkpoints kept permanently, to branch from
    wandb: Literal["off", "offline", "online"]
    project: str
    group: str | None
    tags: tuple[str, ...]
    # Interval of additional evaluations between the milestones; None: none, as in records without this field.
    evaluation_interval_tokens: int | None = None
    # File of fitted curve laws (`windtunnel curves fit`); the progress line shows the final loss that they predict.
    law: str | None = None


@dataclass(frozen=True)
class RunConfig:
    """One run."""

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
