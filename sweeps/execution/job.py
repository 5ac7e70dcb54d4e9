"""One run of a plan as a job that any process can be given, as JSON, and train: a worker here, a job on a cluster."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train import checkpoint
from windtunnel.train.config.branch_parent import Parent
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError
from windtunnel.train.records import FINAL, read_record
from windtunnel.train.run import Outcome, train_runs


@dataclass(frozen=True)
class Ancestor:
    """A checkpoint that the run may go on from."""

    folder: Path
    step: int


@dataclass(frozen=True)
class Job:
    run_id: str
    config: RunConfig
    ancestors: tuple[Ancestor, ...]  # nearest first

    @property
    def folder(self) -> Path:
        return Path(self.config.runtime.runs_directory) / self.run_id


_JOB = TypeAdapter(Job)


def job_of(plan: Plan, run: PlannedRun) -> Job:
    ancestors = tuple(Ancestor(parent.folder, step) for parent, step in plan.ancestors(run))
    return Job(run.run_id, run.config, ancestors)


def write_job(job: Job) -> bytes:
    return _JOB.dump_json(job)


def read_job(text: bytes | str) -> Job:
    return _JOB.validate_json(text)


def train_job(job: Job, *, show_progress: bool = False) -> Outcome:
    """Train the run from its nearest whole checkpoint, its own or an ancestor's, else from scratch; the result is the
    same. Raises what `windtunnel.train.run.train_runs` does.
    """
    config = job.config
    if config.runtime.threads == 0:
        # Jobs run beside each other, one thread each: two of them beat one of two threads.
        config = replace(config, runtime=replace(config.runtime, threads=1))
    if config.runtime.compile == "auto" and (compiled := _is_trunk_compiled(job)) is not None:
        # By its own length it might decide otherwise than the trunk did, and a lost checkpoint would change its bits.
        config = replace(config, runtime=replace(config.runtime, compile="on" if compiled else "off"))
    return train_runs([config], parent=_parent(job), show_progress=show_progress)[0]


def is_final(folder: Path) -> bool:
    """Whether a run has come to a result."""
    return (folder / "run.json").exists() and read_record(folder)["status"] in FINAL


def may_start(job: Job) -> bool:
    """Whether the run need not wait: the checkpoint that it goes on from is there, or will not come any more."""
    if not job.ancestors or checkpoint.find(job.folder):
        return True
    nearest = job.ancestors[0]
    return has_checkpoint(nearest) or is_final(nearest.folder)


def has_checkpoint(ancestor: Ancestor) -> bool:
    return any(found.step == ancestor.step for found in checkpoint.find(ancestor.folder))


def _is_trunk_compiled(job: Job) -> bool | None:
    """As the nearest ancestor that was trained recorded it; None where there is none."""
    for ancestor in job.ancestors:
        try:
            return bool(read_record(ancestor.folder)["numerics"]["compile"])
        except (InputError, KeyError):
            continue
    return None


def _parent(job: Job) -> Parent | None:
    for ancestor in job.ancestors:
        parent = Parent(ancestor.folder, {}, ancestor.step)
        try:
            parent.checkpoint().load()
            return replace(parent, record=read_record(ancestor.folder))
        except InputError:  # none, or not whole: an earlier one gives the same numbers
            continue
    return None
