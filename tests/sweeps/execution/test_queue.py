"""Which run starts when: the longest path first, each as soon as its checkpoint is there."""

from pathlib import Path

import pytest

from tests.support.tiny_study import write_study
from windtunnel.sweeps.execution import queue as run_queue
from windtunnel.sweeps.execution.queue import RunQueue, critical_paths
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, make_plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two chains of three runs, and a target on the first; data need not be there to plan."""
    file = write_study(tmp_path / "study.yaml", rates=(3e-3, 6e-3), steps=(40, 80, 160), target_steps=320)
    return make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data")


def test_the_path_through_a_checkpoint_counts_and_not_the_end_of_its_run(plan: Plan) -> None:
    paths = critical_paths(plan)
    cost = 6 * plan.runs[0].parameters.total * plan.runs[0].config.tokens_per_step
    chain = [run for run in plan.of("family") if run.config.optimizer.rate == 3e-3]
    (target,) = plan.of("target")
    # Decays take a fifth: the longer runs go on from steps 32, 64 and 128.
    assert [run.parent_step for run in (*chain, target)] == [0, 32, 64, 128]
    assert paths[target.run_id] == cost * (320 - 128)
    assert [paths[run.run_id] for run in chain] == [cost * 320, cost * (320 - 32), cost * (320 - 64)]
    other = [run for run in plan.of("family") if run.config.optimizer.rate == 6e-3]
    assert [paths[run.run_id] for run in other] == [cost * 160, cost * (160 - 32), cost * (160 - 64)]


def test_longest_first_and_as_soon_as_the_checkpoint_is_there(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    there: set[str] = set()
    monkeypatch.setattr(run_queue, "may_start", lambda job: job.run_id in there)
    family = plan.of("family")
    first, second, third = (run for run in family if run.config.optimizer.rate == 3e-3)
    other = next(run for run in family if run.config.optimizer.rate == 6e-3)
    queue = RunQueue(plan, family)
    assert [queue.take().run for _ in range(queue.num_ready)] == [first, other]
    queue.look(first.run_id)
    assert queue.num_ready == 0
    there.add(second.run_id)
    queue.look(first.run_id)
    assert queue.take().run is second
    queue.close(first.run_id)  # its end makes nothing start that waits for another
    assert queue.num_ready == 0
    queue.close(second.run_id)  # it failed: what waited for it begins from something earlier
    assert queue.take().run is third
    assert queue.num_open == 4


def test_a_target_does_not_wait_for_runs_that_are_not_trained_here(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_queue, "may_start", lambda job: False)
    queue = RunQueue(plan, plan.of("target"))
    assert queue.take().run.role == "target"


def test_a_broken_record_is_for_its_own_run_to_tell(plan: Plan) -> None:
    first, second = plan.of("family")[0], next(run for run in plan.runs if run.parent == plan.runs[0].run_id)
    first.folder.mkdir(parents=True)
    (first.folder / "run.json").write_text("{")
    queue = RunQueue(plan, [first, second])
    assert queue.take().run is first
    queue.look(first.run_id)
    assert queue.num_ready == 0


def test_what_another_process_holds_is_looked_at_again_later(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = RunQueue(plan, plan.of("target"))
    entry = queue.take()
    queue.put_held(entry)
    assert queue.take_held() == []
    assert queue.held == [entry]
    monkeypatch.setattr(run_queue.time, "monotonic", lambda: 1e12)
    assert queue.take_held() == [entry]
    assert queue.held == []
