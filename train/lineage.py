"""A branch's parent: the run whose checkpoint it goes on from."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from train import checkpoint
from train.configuration import RunConfig
from train.errors import InputError
from train.records import Json, find_run, read_record

_CONFIG = TypeAdapter(RunConfig)


@dataclass(frozen=True)
class Parent:
    folder: Path
    record: Json
    step: int

    @property
    def config(self) -> RunConfig:
        return recorded_config(self.record)

    def checkpoint(self) -> checkpoint.Checkpoint:
        """The checkpoint to start from. Raises InputError naming those there are."""
        found = {c.step: c for c in checkpoint.find(self.folder)}
        if self.step not in found:
            steps = ", ".join(map(str, sorted(found))) or "none"
            raise InputError(
                f"branch_from={self.folder.name}@{self.step}: no checkpoint at that step (there are: {steps}); "
                "train the parent with logging.checkpoint_steps=[...]"
            )
        return found[self.step]


def recorded_config(record: Json) -> RunConfig:
    """The resolved configuration of a recorded run."""
    return _CONFIG.validate_python(record["config"])


def find_parent(branch_from: str, runs_directory: str) -> Parent:
    """Parse `RUN@STEP`; RUN is a run id below `runs_directory` or a path. Raises InputError."""
    name, at, step = branch_from.rpartition("@")
    if not at or not step.isdigit() or int(step) < 1:
        example = "branch_from=197k-speeches-constant-4m-s0-0123456789@2000"
        raise InputError(f"branch_from={branch_from}: write RUN@STEP, for example {example}")
    folder = find_run(name, Path(runs_directory))
    return Parent(folder, read_record(folder), int(step))
