"""The order in which runs start: the longest critical path first, each as soon as its checkpoint exists."""

from pathlib import Path

import pytest

from tests.support.tiny_study import write_study
from windtunnel.sweeps.execution import queue as run_queue
from windtunnel.sweeps.execution.queue import RunQueue, flops_to_end
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, make_plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two chains of three runs, and a target on the first. Planning needs no data."""
    file = write_study(tmp_path / "study.yaml", rates=(3e-3, 6e-3), steps=(40, 80, 160), target_steps=320)
    return make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data")


def test_critical_path_goes_through_checkpoints(plan: Plan) -> None:
    paths = flops_to_end(plan)
    cost = 6 * plan.runs[0].parameters.total * plan.runs[0].config.tokens_per_step
    chain = [run for run in plan.family if run.config.optimizer.rate == 3e-3]
    (target,) = plan.targets
    # Decays take a fifth: the longer runs start from steps 32, 64 and 128.
    assert [run.parent_step for run in (*chain, target)] == [0, 32, 64, 128]
    assert paths[target.run_id] == cost * (320 - 128)
    assert [paths[run.run_id] for run in chain] == [cost * 320, cost * (320 - 32), cost * (320 - 64)]
    other = [run for run in plan.family if run.config.optimizer.rate == 6e-3]
    assert [paths[run.run_id] for run in other] == [cost * 160, cost * (160 - 32), cost * (160 - 64)]


def test_queue_order(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    existing: set[str] = set()
    monkeypatch.setattr(run_queue, "can_start", lambda job: job.run_id in existing)
    family = plan.family
    first, second, third = (run for run in family if run.config.optimizer.rate == 3e-3)
    other = next(run for run in family if run.config.optimizer.rate == 6e-3)
    queue = RunQueue(plan, family)
    assert [queue.take().run for _ in range(queue.num_ready)] == [first, other]
    queue.update_waiting(first.run_id)
    assert queue.num_ready == 0
    existing.add(second.run_id)
    queue.update_waiting(first.run_id)
    assert queue.take().run is second
    queue.close(first.run_id)  # what waits for another run is not released
    assert queue.num_ready == 0
    queue.close(second.run_id)  # it failed: what waited for it starts from something earlier
    assert queue.take().run is third
    assert queue.num_open == 4


def test_targets_do_not_wait_for_runs_that_others_train(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_queue, "can_start", lambda job: False)
    queue = RunQueue(plan, plan.targets)
    assert queue.take().run.role == "target"


def test_damaged_record_does_not_stop_the_queue(plan: Plan) -> None:
    first, second = plan.family[0], next(run for run in plan.runs if run.parent == plan.runs[0].run_id)
    first.folder.mkdir(parents=True)
    (first.folder / "run.json").write_text("{")
    queue = RunQueue(plan, [first, second])
    assert queue.take().run is first
    queue.update_waiting(first.run_id)
    assert queue.num_ready == 0


def test_held_runs_are_retried_later(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = RunQueue(plan, plan.targets)
    queued = queue.take()
    queue.put_held(queued)
    assert queue.take_held() == []
    assert queue.held == [queued]
    monkeypatch.setattr(run_queue.time, "monotonic", lambda: 1e12)
    assert queue.take_held() == [queued]
    assert queue.held == []
