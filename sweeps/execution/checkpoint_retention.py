"""The checkpoints of runs that go on from each other: which of them are still needed, and deletion of the others.

A run that has neither ended nor a checkpoint of its own needs the nearest one that there is among the runs it may go on
from. Beside those stay what the study file asks for (`logging.checkpoint_steps`), the newest of a run that has not
ended, and the last of a target, which a person may want to export. Runs that bear another group's name, such as those
trained by hand, are left alone.

Any process may look at any moment, several at once and beside those that train: what no run needs, none will need
later, because a run that has a checkpoint keeps one until it has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train import checkpoint
from windtunnel.train.errors import InputError
from windtunnel.train.records import FINAL, Json, read_record


@dataclass(frozen=True)
class TrunkRun:
    """What of a planned run deletion has to know. A trunk is the runs that go on from each other, parents first."""

    run_id: str
    folder: Path
    parent: str | None
    parent_step: int
    is_target: bool
    group: str | None
    asked_steps: tuple[int, ...]
    keep_newest: int


_TRUNK_RUN = TypeAdapter(TrunkRun)


def trunk_run(run: PlannedRun) -> TrunkRun:
    return TrunkRun(
        run.run_id,
        run.folder,
        run.parent,
        run.parent_step,
        run.role == "target",
        run.config.logging.group,
        run.asked_checkpoint_steps,
        max(1, run.config.runtime.keep_checkpoints),
    )


def write_trunk_run(run: TrunkRun) -> bytes:
    return _TRUNK_RUN.dump_json(run)


def read_trunk_run(content: Json) -> TrunkRun:
    return _TRUNK_RUN.validate_python(content)


def release(trunk: Sequence[TrunkRun]) -> None:
    """Delete what no run of the trunk needs any more."""
    there = {run.run_id: checkpoint.find(run.folder) for run in trunk}
    if not any(there.values()):
        return
    records = {run.run_id: _record(run) for run in trunk}
    by_id = {run.run_id: run for run in trunk}
    ended = {name for name, record in records.items() if record is not None and record["status"] in FINAL}
    needed: dict[str, set[int]] = {}
    branched: dict[str, set[int]] = {}
    for run in trunk:
        if run.parent is not None:
            branched.setdefault(run.parent, set()).add(run.parent_step)
        if run.run_id not in ended and not there[run.run_id]:
            below = run
            while below.parent is not None:
                if any(found.step == below.parent_step for found in there[below.parent]):
                    needed.setdefault(below.parent, set()).add(below.parent_step)
                    break
                below = by_id[below.parent]
    for run in trunk:
        record = records[run.run_id]
        if record is None or record["config"].get("logging", {}).get("group") != run.group:
            continue
        kept = needed.get(run.run_id, set()) | set(run.asked_steps)
        found = there[run.run_id]
        if run.run_id not in ended:
            # Others than milestones are the running run's own affair.
            newest, milestones = found[-run.keep_newest :], branched.get(run.run_id, set())
            found = [each for each in found if each not in newest and each.step in milestones]
        elif run.is_target:
            found = found[:-1]
        for each in found:
            if each.step not in kept:
                each.path.unlink(missing_ok=True)


def _record(run: TrunkRun) -> Json | None:
    try:
        return read_record(run.folder)
    except InputError:  # none yet, or broken: training it says so
        return None
