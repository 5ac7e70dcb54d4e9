"""Cluster profiles: small YAML files with the resources of SLURM jobs. Without one, SLURM's defaults apply."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from windtunnel.sweeps.planning.gpu_throughput import GPUS
from windtunnel.sweeps.study.schema import Number
from windtunnel.sweeps.study.yaml_document import parse_document, read_text

EXPECTED = "a cluster profile is a mapping such as `partition: gpu`; see windtunnel sweep submit --help"
# sbatch options that the plan or another key sets; given twice, one would silently override the other. Value: that key.
RESERVED_OPTIONS = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "gres": "gpus",
    "gpus": "gpus",
    "gpus-per-task": "gpus",
    "gpus-per-node": "gpus",
    "cpus-per-task": "cpus_per_task",
    "mem": "memory",
    "time": "time_minutes",
    "signal": "signal_seconds",
    "array": "most_tasks and at_once",
    **dict.fromkeys(
        ("ntasks", "nodes", "job-name", "output", "error", "open-mode", "requeue", "no-requeue", "dependency"), ""
    ),
    **dict.fromkeys(("parsable", "chdir", "wrap", "wait", "test-only", "hold"), ""),
}
_GPUS = re.compile(r"(?:([A-Za-z][\w.-]*):)?(\d+)")
_MEMORY = re.compile(r"\d+(?:[KMGT]B?)?")


class Resources(BaseModel):
    """The resources of a job. None: SLURM's default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gpus: int | str = 0  # per job: 1, or `a100:1`
    cpus_per_task: int | None = Field(default=None, ge=1)
    memory: str | None = None  # per job, such as 8G
    time_minutes: int | None = Field(default=None, ge=1)  # the longest limit to request; None: the partition's
    sbatch: dict[str, Annotated[str | int | float | bool, Field()]] = {}  # further options: {constraint: a100}

    @property
    def gpu_count(self) -> int:
        match = _GPUS.fullmatch(str(self.gpus))
        return int(match[2]) if match else 0

    @property
    def gpu_type(self) -> str | None:
        """`a100` of `a100:1`."""
        match = _GPUS.fullmatch(str(self.gpus))
        return match[1] if match else None

    @field_validator("gpus")
    @classmethod
    def _check_gpus(cls, value: int | str) -> int | str:
        if _GPUS.fullmatch(str(value)) is None:
            raise ValueError(f"{value}: write a number, or a type and a number such as a100:1")
        return value

    @field_validator("memory")
    @classmethod
    def _check_memory(cls, value: str | None) -> str | None:
        if value is not None and _MEMORY.fullmatch(value) is None:
            raise ValueError(f"{value}: write it as SLURM does, for example 8G")
        return value

    @field_validator("sbatch")
    @classmethod
    def _check_options(cls, options: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for name in options:
            if name in RESERVED_OPTIONS:
                key = RESERVED_OPTIONS[name]
                raise ValueError(f"{name}: {f'use the key {key}' if key else 'windtunnel sets it; leave it out'}")
            if re.fullmatch(r"[a-z][a-z0-9-]+", name) is None:
                raise ValueError(f"{name}: write the long name of an sbatch option without its dashes")
        return options

    def options(self) -> list[str]:
        """The sbatch options that request these resources."""
        named = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "mem": self.memory,
            "cpus-per-task": self.cpus_per_task,
            "gres": f"gpu:{self.gpus}" if self.gpu_count else None,
        }
        options = [f"--{name}={value}" for name, value in named.items() if value is not None]
        for name, value in self.sbatch.items():
            if value is not False:
                options.append(f"--{name}" if value is True else f"--{name}={value}")
        return options


class ClusterProfile(Resources):
    """The jobs of a study. One job of an array is a task, in which `workers` processes train runs in parallel."""

    workers: int = Field(default=1, ge=1)  # processes in a job; each has its own GPU while there are enough
    rates: str | None = None  # estimate durations for this GPU (`parse_gpu`); None: the type in `gpus`
    target_minutes: Number = Field(default=30.0, gt=0)  # of work in a task; shorter runs are packed together
    most_tasks: int = Field(default=1000, ge=1)  # in one array; SLURM's default MaxArraySize is 1001
    at_once: int | None = Field(default=None, ge=1)  # tasks that may run at the same time
    signal_seconds: int = Field(default=120, ge=1, le=3600)  # before the time limit, to save and requeue
    setup: list[str] = []  # shell lines before training, such as `module load cuda`
    continuation: Resources = Resources()  # differing resources of the job that fits and scores

    @field_validator("rates")
    @classmethod
    def _check_rates(cls, value: str | None) -> str | None:
        if value is not None and value not in GPUS:
            raise ValueError(f"{value}: no such GPU (there are: {', '.join(GPUS)})")
        return value

    @model_validator(mode="after")
    def _check_consistency(self) -> "ClusterProfile":
        if self.gpu_count > self.workers:
            raise ValueError(
                f"gpus: a run trains on one GPU, so {self.gpus} leaves some idle; add workers: {self.gpu_count} "
                "or request fewer"
            )
        if self.time_minutes is not None and self.time_minutes * 60 < 2 * self.signal_seconds:
            raise ValueError(
                f"time_minutes: {self.time_minutes} leaves no time to train before the signal {self.signal_seconds} s "
                "ahead of it; allow more or lower signal_seconds"
            )
        return self

    def options(self) -> list[str]:
        if self.cpus_per_task is None:
            return self.model_copy(update={"cpus_per_task": self.workers}).options()
        return super().options()

    def for_continuation(self) -> "ClusterProfile":
        """This profile with one processor and no GPU, changed by the keys of `continuation`."""
        changes = self.continuation.model_dump(exclude_unset=True)
        return self.model_copy(update={"gpus": 0, "workers": 1, "cpus_per_task": 1, **changes})


def load_profile(path: Path | None) -> ClusterProfile:
    """The profile in a file; the default profile for None. Raises InputError naming the line."""
    return ClusterProfile() if path is None else parse_profile(read_text(path), path)


def parse_profile(text: str, path: Path) -> ClusterProfile:
    document = parse_document(text, path, EXPECTED)
    return document.validate(ClusterProfile)
