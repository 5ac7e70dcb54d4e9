"""What a cluster profile says: a small YAML file of how jobs are to be asked for. Without one, SLURM's own defaults."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from windtunnel.sweeps.study.schema import Number
from windtunnel.sweeps.study.yaml_document import parse_document, read_text

EXPECTED = "a cluster profile is a mapping such as `partition: gpu`; see windtunnel sweep submit --help"
# Decided by the plan and the other keys: an option given twice would quietly win over one of them.
DECIDED = {
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
    """Where a job runs and on what. None: as SLURM decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gpus: int | str = 0  # of a job: 1, or `a100:1`
    cpus_per_task: int | None = Field(default=None, ge=1)
    memory: str | None = None  # of a job, such as 8G
    time_minutes: int | None = Field(default=None, ge=1)  # the longest limit a job may ask for; None: the partition's
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
    def _counts_gpus(cls, value: int | str) -> int | str:
        if _GPUS.fullmatch(str(value)) is None:
            raise ValueError(f"{value}: write a number, or a type and a number such as a100:1")
        return value

    @field_validator("memory")
    @classmethod
    def _is_memory(cls, value: str | None) -> str | None:
        if value is not None and _MEMORY.fullmatch(value) is None:
            raise ValueError(f"{value}: write it as SLURM does, for example 8G")
        return value

    @field_validator("sbatch")
    @classmethod
    def _names_options(cls, options: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for name in options:
            if name in DECIDED:
                mend = f"say it as {DECIDED[name]}" if DECIDED[name] else "windtunnel sets it; leave it out"
                raise ValueError(f"{name}: {mend}")
            if re.fullmatch(r"[a-z][a-z0-9-]+", name) is None:
                raise ValueError(f"{name}: write the long name of an option of sbatch without its dashes")
        return options

    def options(self) -> list[str]:
        """The part of a `sbatch` command line that says where and on what."""
        named = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "mem": self.memory,
            "cpus-per-task": self.cpus_per_task,
            "gres": f"gpu:{self.gpus}" if self.gpu_count else None,
        }
        found = [f"--{name}={value}" for name, value in named.items() if value is not None]
        for name, value in self.sbatch.items():
            if value is not False:
                found.append(f"--{name}" if value is True else f"--{name}={value}")
        return found


class Cluster(Resources):
    """How a job of a study is asked for. One job of an array is a task; in it `workers` train runs side by side."""

    workers: int = Field(default=1, ge=1)  # processes in a job, each with a GPU of its own as far as they go
    rates: str | None = None  # the GPU of `sweep plan --gpu` by whose rates time is foreseen; None: the type in `gpus`
    target_minutes: Number = Field(default=30.0, gt=0)  # of work in a task; short runs are packed together up to it
    most_tasks: int = Field(default=1000, ge=1)  # in one array: SLURM's MaxArraySize is 1001 unless set
    at_once: int | None = Field(default=None, ge=1)  # tasks that may run at one time
    signal_seconds: int = Field(default=120, ge=1, le=3600)  # before the limit, to save and be requeued
    setup: list[str] = []  # shell lines before training, such as `module load cuda`
    continuation: Resources = Resources()  # of the job that fits and scores, where it differs

    @field_validator("rates")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        from windtunnel.sweeps.planning.gpu_throughput import GPUS

        if value is not None and value not in GPUS:
            raise ValueError(f"{value}: there are rates of {', '.join(GPUS)}")
        return value

    @model_validator(mode="after")
    def _uses_its_gpus(self) -> "Cluster":
        if self.gpu_count > self.workers:
            raise ValueError(
                f"gpus: a run trains on one GPU, so {self.gpus} leaves some idle; add workers: {self.gpu_count} "
                "or ask for fewer"
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

    def for_continuation(self) -> "Cluster":
        """The same place, on one processor and no GPU, but for what `continuation` says."""
        said = self.continuation.model_dump(exclude_unset=True)
        return self.model_copy(update={"gpus": 0, "workers": 1, "cpus_per_task": 1, **said})


def load_cluster(path: Path | None) -> Cluster:
    """The profile in a file; None is the default one. Raises InputError naming the line."""
    return Cluster() if path is None else parse_cluster(read_text(path), path)


def parse_cluster(text: str, path: Path) -> Cluster:
    document = parse_document(text, path, EXPECTED)
    return document.typed(Cluster)
