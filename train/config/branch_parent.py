"""A branch's parent: the run whose checkpoint it goes on from."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from windtunnel.train import checkpoint
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import scientific_hash
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json, find_run, read_record

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
                "branch from one of them, or train the parent anew elsewhere (runtime.runs_directory=...) "
                "with logging.checkpoint_steps=[...]"
            )
        return found[self.step]


def recorded_config(record: Json) -> RunConfig:
    """The resolved configuration of a recorded run."""
    try:
        return _CONFIG.validate_python(record["config"])
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        where = ".".join(map(str, mistake["loc"]))
        raise InputError(f"{record['run_id']}: its recorded {where} is not valid ({mistake['msg']})") from None


def find_parent(branch_from: str, runs_directory: str) -> Parent:
    """Parse `RUN@STEP`; RUN is a run id below `runs_directory` or a path. Raises InputError."""
    name, at, step = branch_from.rpartition("@")
    if not at or not step.isdigit() or int(step) < 1:
        example = "branch_from=197k-speeches-constant-4m-s0-0123456789@2000"
        raise InputError(f"branch_from={branch_from}: write RUN@STEP, for example {example}")
    folder = find_run(name, Path(runs_directory))
    parent = Parent(folder, read_record(folder), int(step))
    if scientific_hash(parent.config) != parent.record["scientific_hash"]:
        raise InputError(f"{folder}/run.json: its configuration is not the one that was trained; restore it")
    return parent
