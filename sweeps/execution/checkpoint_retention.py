"""Deletes the checkpoints of a trunk that no run needs any more.

A run that has not ended and has written no checkpoint needs the nearest existing one among those that it can start
from. Also kept are the steps that the study file requests (`logging.checkpoint_steps`), the newest checkpoints of a run
that has not ended, and the last one of a target, for export. Runs of another group, such as those of `windtunnel
train`, are not pruned.

Any process can prune at any time, beside others that prune or train: what no run needs now, none will need later,
because a run that has a checkpoint keeps one until it has ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train import checkpoint
from windtunnel.train.errors import InputError
from windtunnel.train.records import FINAL_STATUSES, Json, read_record

Checkpoints = Mapping[str, Sequence[checkpoint.Checkpoint]]  # by run id, oldest first


@dataclass(frozen=True)
class TrunkRun:
    """What pruning reads of a planned run. A trunk is a list of runs that start from each other, parents first."""

    run_id: str
    folder: Path
    parent: str | None
    parent_step: int
    is_target: bool
    group: str | None
    requested_steps: tuple[int, ...]
    keep_newest: int


_TRUNK_RUN = TypeAdapter(TrunkRun)


def make_trunk_run(run: PlannedRun) -> TrunkRun:
    return TrunkRun(
        run.run_id,
        run.folder,
        run.parent,
        run.parent_step,
        run.role == "target",
        run.config.logging.group,
        run.requested_checkpoint_steps,
        max(1, run.config.runtime.keep_checkpoints),
    )


def dump_trunk_run(run: TrunkRun) -> bytes:
    return _TRUNK_RUN.dump_json(run)


def parse_trunk_run(content: Json) -> TrunkRun:
    return _TRUNK_RUN.validate_python(content)


def prune_checkpoints(trunk: Sequence[TrunkRun]) -> None:
    """Delete the checkpoints that no run of the trunk needs."""
    checkpoints: Checkpoints = {run.run_id: checkpoint.find(run.folder) for run in trunk}
    if not any(checkpoints.values()):
        return
    records = {run.run_id: _read_record(run) for run in trunk}
    ended = {name for name, record in records.items() if record is not None and record["status"] in FINAL_STATUSES}
    needed = _needed_steps(trunk, checkpoints, ended)
    branch_points = {(run.parent, run.parent_step) for run in trunk}
    for run in trunk:
        record = records[run.run_id]
        if record is None or record["config"].get("logging", {}).get("group") != run.group:
            continue
        candidates = checkpoints[run.run_id]
        if run.run_id not in ended:
            # The training process deletes its other checkpoints itself.
            newest = candidates[-run.keep_newest :]
            older = [saved for saved in candidates if saved not in newest]
            candidates = [saved for saved in older if (run.run_id, saved.step) in branch_points]
        elif run.is_target:
            candidates = candidates[:-1]
        for saved in candidates:
            if saved.step not in needed[run.run_id] and saved.step not in run.requested_steps:
                saved.path.unlink(missing_ok=True)


def _needed_steps(trunk: Sequence[TrunkRun], checkpoints: Checkpoints, ended: set[str]) -> dict[str, set[int]]:
    """The steps of each run from which another run will start."""
    by_id = {run.run_id: run for run in trunk}
    needed: dict[str, set[int]] = {run.run_id: set() for run in trunk}
    for run in trunk:
        if run.run_id in ended or checkpoints[run.run_id]:
            continue
        branch = run
        while branch.parent is not None:
            if any(saved.step == branch.parent_step for saved in checkpoints[branch.parent]):
                needed[branch.parent].add(branch.parent_step)
                break
            branch = by_id[branch.parent]
    return needed


def _read_record(run: TrunkRun) -> Json | None:
    try:
        return read_record(run.folder)
    except InputError:  # none yet, or damaged, which is reported when the run starts
        return None
