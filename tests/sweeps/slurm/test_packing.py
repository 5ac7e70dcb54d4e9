"""Packing: chains stay whole and in order, every run appears once, tasks take about the target time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_study import PlanStudy, WriteStudy
from windtunnel.sweeps.slurm.packing import TrunkChain, pack, trunk_chains
from windtunnel.sweeps.study.plan import Plan


def lengths(tasks: list) -> list[list[float]]:
    return [[lane.seconds for lane in task.lanes] for task in tasks]


@pytest.fixture
def plan(write_study: WriteStudy, plan_study: PlanStudy) -> Plan:
    return plan_study(write_study())


def test_chain_is_a_trunk_in_the_order_of_its_horizons(plan: Plan) -> None:
    chains = trunk_chains(plan, plan.runs, lambda run: float(run.new_tokens))
    assert len(chains) == 5
    for chain in chains:
        assert len({run.config.seed for run in chain.runs}) == 1
        assert [run.config.schedule.total_steps for run in chain.runs] == [40, 48, 56, 64, 72, 80]
        assert [run.parent for run in chain.runs] == [None, *(run.run_id for run in chain.runs[:-1])]
        assert chain.seconds == sum(run.new_tokens for run in chain.runs)


def test_remaining_runs_of_a_trunk_are_one_chain(plan: Plan) -> None:
    left = [run for run in plan.runs if run.config.schedule.total_steps in (48, 72) and run.config.seed < 2]
    chains = trunk_chains(plan, left[::-1], lambda run: 1.0)
    assert [[run.config.schedule.total_steps for run in chain.runs] for chain in chains] == [[48, 72], [48, 72]]


def test_longest_chain_goes_to_the_emptiest_lane_first() -> None:
    chains = [TrunkChain((), seconds) for seconds in (3.0, 7.0, 2.0, 5.0, 4.0)]
    assert lengths(pack(chains, target_seconds=11)) == [[11.0], [10.0]]
    assert lengths(pack(chains, target_seconds=1000)) == [[21.0]]
    assert lengths(pack(chains, target_seconds=1)) == [[7.0], [5.0], [4.0], [3.0], [2.0]]
    assert lengths(pack(chains, target_seconds=1, max_tasks=1)) == [[21.0]]


def test_lanes_of_similar_length_share_a_task() -> None:
    chains = [TrunkChain((), seconds) for seconds in (10.0, 9.0, 2.0, 1.0)]
    assert lengths(pack(chains, target_seconds=5, workers=2)) == [[10.0, 9.0], [2.0, 1.0]]
    assert lengths(pack(chains, target_seconds=5, workers=3, max_tasks=1)) == [[10.0, 9.0, 3.0]]


@given(
    st.lists(st.floats(0.01, 1e5), min_size=1, max_size=60),
    st.floats(1, 1e5),
    st.integers(1, 8),
    st.integers(1, 20),
)
def test_no_run_is_lost_and_no_limit_exceeded(
    seconds: list[float], target: float, workers: int, max_tasks: int
) -> None:
    tasks = pack(
        [TrunkChain((), each) for each in seconds], target_seconds=target, workers=workers, max_tasks=max_tasks
    )
    assert 1 <= len(tasks) <= max_tasks
    assert all(1 <= len(task.lanes) <= workers for task in tasks)
    total = sum(lane.seconds for task in tasks for lane in task.lanes)
    assert total == pytest.approx(sum(seconds))
    # The greedy rule's own bound: no lane exceeds the mean by more than the longest chain.
    lanes = [lane.seconds for task in tasks for lane in task.lanes]
    assert max(lanes) <= sum(lanes) / len(lanes) + max(seconds) + 1e-6
