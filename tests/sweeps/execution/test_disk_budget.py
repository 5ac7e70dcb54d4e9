"""Checkpoints are deleted when no run of the study needs them, and not before."""

import json
from pathlib import Path

import pytest

from tests.support.tiny_study import write_study
from windtunnel.sweeps.execution.disk_budget import DiskBudget, Trunks, max_checkpoint_bytes
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan
from windtunnel.train import checkpoint
from windtunnel.train.errors import InputError


def record(run: PlannedRun, status: str, group: str | None = "study") -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    content = {"schema": 1, "run_id": run.run_id, "scientific_hash": "", "status": status, "counts": {}, "data": {}}
    content |= {"config": {"logging": {"group": group}}, "result": {}}
    (run.folder / "run.json").write_text(json.dumps(content))


def write_checkpoints(run: PlannedRun, *steps: int, size: int = 1000) -> None:
    (run.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    for step in steps:
        (run.folder / f"checkpoints/step-{step:09d}-{step:016x}.safetensors").write_bytes(b"0" * size)


def checkpoint_steps(run: PlannedRun) -> list[int]:
    return [saved.step for saved in checkpoint.find(run.folder)]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A chain of three runs and a target, which start from steps 32, 64 and 128. The study file requests step 8."""
    file = write_study(tmp_path / "study.yaml", steps=(40, 80, 160), target_steps=320, logging__checkpoint_steps=[8])
    return make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data")


def test_pruning_along_a_trunk(plan: Plan) -> None:
    first, second, third, target = plan.runs
    trunks = Trunks(plan)

    def prune(run: PlannedRun) -> list[list[int]]:
        trunks.prune(run.run_id)
        return [checkpoint_steps(run) for run in plan.runs]

    record(first, "finished")
    write_checkpoints(first, 8, 32, 40)
    assert prune(first) == [[8, 32], [], [], []]  # no run needs its last one
    record(second, "running")
    assert prune(first) == [[8, 32], [], [], []]
    write_checkpoints(second, 50)
    assert prune(first) == [[8, 32], [50], [], []]  # the third would start from it if the second ended here
    write_checkpoints(second, 64, 70)
    assert prune(second) == [[8], [50, 64, 70], [], []]  # the training process deletes its own older ones
    record(third, "preempted")
    write_checkpoints(third, 66)
    assert prune(second) == [[8], [50, 64, 70], [66], []]  # the target would start from the second
    write_checkpoints(third, 128)
    assert prune(second) == [[8], [50, 70], [66, 128], []]
    record(second, "diverged")
    assert prune(second) == [[8], [], [66, 128], []]
    record(third, "finished")
    write_checkpoints(third, 160)
    assert prune(third) == [[8], [], [128], []]
    record(target, "running")
    write_checkpoints(target, 200)
    assert prune(target) == [[8], [], [], [200]]
    record(target, "finished")
    write_checkpoints(target, 8, 320)
    assert prune(target) == [[8], [], [], [8, 320]]  # the last one of a target stays


def test_earlier_checkpoint_stays_until_the_nearest_exists(plan: Plan) -> None:
    first, second, third, _ = plan.runs
    record(first, "finished")
    write_checkpoints(first, 32)
    record(second, "failed")
    write_checkpoints(second, 40)
    Trunks(plan).prune(third.run_id)
    assert (checkpoint_steps(first), checkpoint_steps(second)) == ([32], [40])  # the third would start from the first
    write_checkpoints(second, 64)
    Trunks(plan).prune(third.run_id)
    assert (checkpoint_steps(first), checkpoint_steps(second)) == ([], [40, 64])


def test_runs_of_another_group_are_not_pruned(plan: Plan) -> None:
    first = plan.runs[0]
    for run in plan.runs:
        record(run, "finished", group=None if run is first else "study")
        write_checkpoints(run, 30)
    Trunks(plan).prune(first.run_id)
    assert [checkpoint_steps(run) for run in plan.runs] == [[30], [], [], [30]]


def test_disk_budget(plan: Plan, tmp_path: Path) -> None:
    first, second, third, target = plan.runs
    largest = max_checkpoint_bytes(first)
    assert max_checkpoint_bytes(target) < largest  # no other run starts from it
    assert DiskBudget(plan).has_room(target, plan.runs)  # no limit is set
    file = write_study(tmp_path / "study.yaml", steps=(40, 80, 160), disk_gigabytes=2.5 * largest / 1e9)
    disk = DiskBudget(make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data"))
    disk.check_largest(plan.runs)
    assert disk.has_room(first, [second])
    assert not disk.has_room(first, [second, third])
    write_checkpoints(third, 5, size=int(largest))
    disk.measure([third])
    assert disk.has_room(first, [])
    assert not disk.has_room(first, [second])
    assert disk.has_room(first, [third])  # its existing checkpoints count once
    write_checkpoints(third, 6, size=int(largest))
    disk.measure([third])
    assert not disk.has_room(first, [])
    assert "beside the" in disk.shortage(first)

    file = write_study(tmp_path / "study.yaml", disk_gigabytes=1e-6)
    disk = DiskBudget(make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data"))
    with pytest.raises(InputError, match=r"study.yaml:2: budget.disk_gigabytes: the checkpoints of .* GB of 1e-06"):
        disk.check_largest(plan.runs)
