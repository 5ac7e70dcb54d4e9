"""One run of a plan as a job: JSON that any process can read and train, a worker here or a task on a cluster."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train import checkpoint
from windtunnel.train.config.branch_parent import Parent
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError
from windtunnel.train.records import is_final, read_record
from windtunnel.train.run import RunOutcome, train_runs


@dataclass(frozen=True)
class Ancestor:
    """A checkpoint that the run can start from."""

    folder: Path
    step: int

    @property
    def exists(self) -> bool:
        return any(saved.step == self.step for saved in checkpoint.find(self.folder))


@dataclass(frozen=True)
class Job:
    run_id: str
    config: RunConfig
    ancestors: tuple[Ancestor, ...]  # nearest first

    @property
    def folder(self) -> Path:
        return Path(self.config.runtime.runs_directory) / self.run_id


_JOB = TypeAdapter(Job)


def make_job(plan: Plan, run: PlannedRun) -> Job:
    ancestors = tuple(Ancestor(parent.folder, step) for parent, step in plan.ancestors(run))
    return Job(run.run_id, run.config, ancestors)


def dump_job(job: Job) -> bytes:
    return _JOB.dump_json(job)


def parse_job(text: bytes | str) -> Job:
    return _JOB.validate_json(text)


def train_job(job: Job, *, show_progress: bool = False) -> RunOutcome:
    """Train the run from its nearest complete checkpoint, its own or an ancestor's, else from scratch. The result is
    the same. Raises what `windtunnel.train.run.train_runs` raises.
    """
    config = job.config
    if config.runtime.threads == 0:
        # Jobs train side by side: two one-thread jobs are faster than one job of two threads.
        config = replace(config, runtime=replace(config.runtime, threads=1))
    if config.runtime.compile == "auto" and (compiled := _is_trunk_compiled(job)) is not None:
        # Whether to compile depends on the length of a run. A run without its branch point could differ from its trunk
        # in this, and its bits would change.
        config = replace(config, runtime=replace(config.runtime, compile="on" if compiled else "off"))
    return train_runs([config], parent=_find_parent(job), show_progress=show_progress)[0]


def can_start(job: Job) -> bool:
    """Whether the checkpoint that the run starts from exists, or will not be written any more."""
    if not job.ancestors or checkpoint.find(job.folder):
        return True
    nearest = job.ancestors[0]
    return nearest.exists or is_final(nearest.folder)


def _is_trunk_compiled(job: Job) -> bool | None:
    """As recorded by the nearest ancestor that was trained; None where there is none."""
    for ancestor in job.ancestors:
        try:
            return bool(read_record(ancestor.folder)["numerics"]["compile"])
        except (InputError, KeyError):
            continue
    return None


def _find_parent(job: Job) -> Parent | None:
    for ancestor in job.ancestors:
        parent = Parent(ancestor.folder, {}, ancestor.step)
        try:
            parent.checkpoint().load()
            return replace(parent, record=read_record(ancestor.folder))
        except InputError:  # missing or damaged: an earlier one gives the same numbers
            continue
    return None
