"""Checkpoints are deleted when no run of the study needs them, and never before."""

import json
from pathlib import Path

import pytest

from tests.support.tiny_study import write_study
from windtunnel.sweeps.execution.disk_budget import DiskBudget, Trunks, peak_bytes
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan
from windtunnel.train import checkpoint
from windtunnel.train.errors import InputError


def record(run: PlannedRun, status: str, group: str | None = "study") -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    content = {"schema": 1, "run_id": run.run_id, "scientific_hash": "", "status": status, "counts": {}, "data": {}}
    content |= {"config": {"logging": {"group": group}}, "result": {}}
    (run.folder / "run.json").write_text(json.dumps(content))


def keep(run: PlannedRun, *steps: int, size: int = 1000) -> None:
    (run.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    for step in steps:
        (run.folder / f"checkpoints/step-{step:09d}-{step:016x}.safetensors").write_bytes(b"0" * size)


def kept(run: PlannedRun) -> list[int]:
    return [found.step for found in checkpoint.find(run.folder)]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A chain of three runs and a target, which go on from steps 32, 64 and 128; steps 8 are asked for in the file."""
    file = write_study(tmp_path / "study.yaml", steps=(40, 80, 160), target_steps=320, logging__checkpoint_steps=[8])
    return make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data")


def test_a_chain_from_its_beginning_to_its_end(plan: Plan) -> None:
    first, second, third, target = plan.runs
    trunks = Trunks(plan)

    def release(run: PlannedRun) -> list[list[int]]:
        trunks.release(run.run_id)
        return [kept(run) for run in plan.runs]

    record(first, "finished")
    keep(first, 8, 32, 40)
    assert release(first) == [[8, 32], [], [], []]  # its end is needed by none
    record(second, "running")
    assert release(first) == [[8, 32], [], [], []]
    keep(second, 50)
    assert release(first) == [[8, 32], [50], [], []]  # the third would go on from it if the second ended here
    keep(second, 64, 70)
    assert release(second) == [[8], [50, 64, 70], [], []]  # older ones of a run in training are its own affair
    record(third, "preempted")
    keep(third, 66)
    assert release(second) == [[8], [50, 64, 70], [66], []]  # so would the target from the second, for now
    keep(third, 128)
    assert release(second) == [[8], [50, 70], [66, 128], []]
    record(second, "diverged")
    assert release(second) == [[8], [], [66, 128], []]
    record(third, "finished")
    keep(third, 160)
    assert release(third) == [[8], [], [128], []]
    record(target, "running")
    keep(target, 200)
    assert release(target) == [[8], [], [], [200]]
    record(target, "finished")
    keep(target, 8, 320)
    assert release(target) == [[8], [], [], [8, 320]]  # the model that was predicted stays


def test_an_earlier_checkpoint_stays_while_the_nearest_is_not_there(plan: Plan) -> None:
    first, second, third, _ = plan.runs
    record(first, "finished")
    keep(first, 32)
    record(second, "failed")
    keep(second, 40)
    Trunks(plan).release(third.run_id)
    assert (kept(first), kept(second)) == ([32], [40])  # the third would go on from the first
    keep(second, 64)
    Trunks(plan).release(third.run_id)
    assert (kept(first), kept(second)) == ([], [40, 64])


def test_runs_of_others_are_left_alone(plan: Plan) -> None:
    first = plan.runs[0]
    for run in plan.runs:
        record(run, "finished", group=None if run is first else "study")
        keep(run, 30)
    Trunks(plan).release(first.run_id)
    assert [kept(run) for run in plan.runs] == [[30], [], [], [30]]


def test_a_disk_budget(plan: Plan, tmp_path: Path) -> None:
    first, second, third, target = plan.runs
    most = peak_bytes(first)
    assert peak_bytes(target) < most  # no other goes on from it
    assert DiskBudget(plan).has_room(target, plan.runs)  # none was set
    file = write_study(tmp_path / "study.yaml", steps=(40, 80, 160), disk_gigabytes=2.5 * most / 1e9)
    disk = DiskBudget(make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data"))
    disk.refuse_too_large(plan.runs)
    assert disk.has_room(first, [second])
    assert not disk.has_room(first, [second, third])
    keep(third, 5, size=int(most))
    disk.measure([third])
    assert disk.has_room(first, [])
    assert not disk.has_room(first, [second])
    assert disk.has_room(first, [third])  # what lies there is part of what it may write
    keep(third, 6, size=int(most))
    disk.measure([third])
    assert not disk.has_room(first, [])
    assert "beside the" in disk.shortage(first)

    file = write_study(tmp_path / "study.yaml", disk_gigabytes=1e-6)
    disk = DiskBudget(make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data"))
    with pytest.raises(InputError, match=r"study.yaml:2: budget.disk_gigabytes: the checkpoints of .* GB of 1e-06"):
        disk.refuse_too_large(plan.runs)
