"""The parent of a branch: the run whose checkpoint the branch starts from."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from windtunnel.train import checkpoint
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import scientific_hash
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json, find_run, read_record

_CONFIG = TypeAdapter(RunConfig)
EXAMPLE = "branch_from=197k-speeches-constant-4m-s0-0123456789@2000"


@dataclass(frozen=True)
class Parent:
    """A recorded run and the step at which a branch leaves it."""

    folder: Path
    record: Json
    step: int

    @property
    def config(self) -> RunConfig:
        return recorded_config(self.record)

    def checkpoint(self) -> checkpoint.Checkpoint:
        """The checkpoint at `step`. Raises InputError, with the steps that have one, if there is none."""
        checkpoints = {saved.step: saved for saved in checkpoint.find(self.folder)}
        if self.step not in checkpoints:
            steps = ", ".join(map(str, sorted(checkpoints))) or "none"
            raise InputError(
                f"branch_from={self.folder.name}@{self.step}: no checkpoint at that step (there are: {steps}); "
                "branch from one of them, or train the parent again in another folder "
                "(runtime.runs_directory=...) with logging.checkpoint_steps=[...]"
            )
        return checkpoints[self.step]


def recorded_config(record: Json) -> RunConfig:
    """The resolved configuration in a run record. Raises InputError if it is not valid."""
    try:
        return _CONFIG.validate_python(record["config"])
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        path = ".".join(map(str, problem["loc"]))
        raise InputError(f"{record['run_id']}: its recorded {path} is not valid ({problem['msg']})") from None


def find_parent(branch_from: str, runs_directory: str) -> Parent:
    """The parent that `RUN@STEP` names; RUN is a run id below `runs_directory` or a path.

    Raises InputError if the text is malformed, there is no such run, or its record was edited.
    """
    name, at, step = branch_from.rpartition("@")
    if not at or not step.isdigit() or int(step) < 1:
        raise InputError(f"branch_from={branch_from}: write RUN@STEP, for example {EXAMPLE}")
    folder = find_run(name, Path(runs_directory))
    parent = Parent(folder, read_record(folder), int(step))
    if scientific_hash(parent.config) != parent.record["scientific_hash"]:
        raise InputError(f"{folder}/run.json: its configuration is not the one that was trained; restore it")
    return parent
