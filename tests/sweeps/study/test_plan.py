"""The plan of a study: each run once, parents first, targets held out; and the extrapolation to the targets."""

from dataclasses import replace
from pathlib import Path

import pytest

from windtunnel.sweeps.planning.extrapolation import fitted_runs, target_points
from windtunnel.sweeps.study.load import parse_study
from windtunnel.sweeps.study.plan import Plan, make_plan
from windtunnel.train.config.compose import compose
from windtunnel.train.config.resolve import resolve
from windtunnel.train.config.run_id import run_id
from windtunnel.train.errors import InputError

STUDY = """\
title: a study
fixed: {data: prose, optimizer.rate: 6e-3}
family:
  - grid:
      size: [25000, 83000, 123k]
      horizon.tokens: [4M, 1M, 2M]
      seed: [0, 1]
targets:
  - rows: [{size: 83000, horizon.tokens: 8M}, {size: 400000, horizon.tokens: 4M}]
analysis: {laws: [chinchilla], where: D > 1.5e6}
"""


def plan_of(text: str, folder: Path, *, prepare: bool = False) -> Plan:
    return make_plan(parse_study(text, folder / "s.yaml"), folder / "runs", folder / "data", prepare=prepare)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(STUDY, tmp_path)


@pytest.mark.slow
def test_each_run_once_and_parents_first(plan: Plan) -> None:
    assert len(plan.runs) == len(plan.by_id) == 3 * 3 * 2 + 2
    seen: set[str] = set()
    for run in plan.runs:
        assert run.parent is None or run.parent in seen
        seen.add(run.run_id)


def test_branch_starts_from_a_checkpoint_that_its_parent_keeps(plan: Plan) -> None:
    branches = [run for run in plan.runs if run.parent]
    assert len(branches) == 6 * 2 + 1
    for run in branches:
        parent = plan.by_id[run.parent or ""]
        assert run.parent_step in parent.config.logging.checkpoint_steps
        assert run.parent_step == parent.config.schedule.decay_start
        assert parent.parameters == run.parameters
        assert run.new_tokens == run.tokens - run.parent_step * 1024


def test_targets_branch_from_the_family_and_not_the_reverse(plan: Plan) -> None:
    (longer,) = [run for run in plan.targets if run.parent]
    assert plan.by_id[longer.parent or ""].role == "family"
    assert all(plan.by_id[run.parent].role == "family" for run in plan.family if run.parent)


def test_shorter_target_does_not_break_the_chain_of_the_family(tmp_path: Path) -> None:
    text = STUDY.replace("{size: 83000, horizon.tokens: 8M}", "{size: 83000, horizon.tokens: 3M}")
    plan = plan_of(text, tmp_path)
    assert all(plan.by_id[run.parent].role == "family" for run in plan.runs if run.parent)


def test_planned_run_equals_the_run_of_the_train_command(plan: Plan, tmp_path: Path) -> None:
    overrides = ["size=123k", "data=prose", "horizon.tokens=2M", "seed=1", "optimizer.rate=6e-3", "dry_run=true"]
    paths = [f"runtime.data_directory={tmp_path / 'data'}", f"runtime.runs_directory={tmp_path / 'runs'}"]
    config, _ = resolve(compose([*overrides, *paths]), overrides, progress=lambda message: None)
    planned = plan.by_id[run_id(config)].config
    assert planned.runtime == config.runtime
    assert replace(planned, logging=config.logging) == config


def test_equal_runs_of_two_blocks_are_one(tmp_path: Path) -> None:
    twice = STUDY.replace("targets:", "  - grid: {size: 25k, horizon.tokens: [1M, 2M], seed: [0, 2]}\ntargets:")
    assert len(plan_of(twice, tmp_path).family) == 18 + 2


def test_where_keeps_matching_runs(tmp_path: Path) -> None:
    plan = plan_of(STUDY.replace("targets:", "    where: D > 20 * N or seed == 0\ntargets:"), tmp_path)
    runs = plan.family
    assert 0 < len(runs) < 18
    assert all(run.tokens > 20 * run.parameters.total or run.config.seed == 0 for run in runs)


def test_equal_settings_in_another_notation_are_equal_runs(tmp_path: Path) -> None:
    plain = STUDY.replace("optimizer.rate: 6e-3", "optimizer.rate: 0.006").replace("[4M, 1M, 2M]", "[4e6, 1000000, 2M]")
    assert plan_of(plain, tmp_path).by_id.keys() == plan_of(STUDY, tmp_path).by_id.keys()


def test_values_of_different_types_are_not_confused(tmp_path: Path) -> None:
    """1, 1.0 and true are equal in Python: a cached section of one must not serve another."""
    for wrong in ("true", "1.5"):
        with pytest.raises(InputError, match="seed"):
            plan_of(STUDY.replace("seed: [0, 1]", f"seed: [1, {wrong}]"), tmp_path)


def test_requested_checkpoints_are_kept_beside_branch_points(tmp_path: Path) -> None:
    plan = plan_of(STUDY.replace("fixed: {", "fixed: {logging.checkpoint_steps: [500], "), tmp_path)
    first = next(run for run in plan.runs if run.tokens < 1.1e6)
    assert first.requested_checkpoint_steps == (500,)
    assert first.config.logging.checkpoint_steps == (500, first.config.schedule.decay_start)


@pytest.mark.slow
def test_ids_are_provisional_until_the_data_are_prepared(tmp_path: Path) -> None:
    text = """\
title: a study
fixed: {data: context-tree, data.token_budget: 3M, data.evaluation_tokens: 65536}
family:
  - grid: {size: 25k, horizon.tokens: [1M, 2M]}
"""
    before = plan_of(text, tmp_path)
    after = plan_of(text, tmp_path, prepare=True)
    assert not before.prepared
    assert after.prepared
    assert before.by_id.keys().isdisjoint(after.by_id)
    assert plan_of(text, tmp_path).by_id.keys() == after.by_id.keys()


def test_extrapolation_is_relative_to_the_fitted_runs(plan: Plan) -> None:
    fitted = fitted_runs(plan)
    assert {run.tokens for run in fitted.runs} == {1_999_872, 3_999_744}
    near, far = target_points(plan, fitted)
    largest = max(run.parameters.total for run in plan.family)
    assert far.extrapolation["N"] == far.runs[0].parameters.total / largest > 3
    assert far.extrapolation["D"] == 1
    assert near.extrapolation["D"] == pytest.approx(2, rel=1e-3)
    assert far.extrapolation["C"] == pytest.approx(far.extrapolation["N"])
    assert far.tokens_per_parameter == pytest.approx(far.at["D"] / far.at["N"])


def test_extrapolation_uses_the_fitted_convention(tmp_path: Path) -> None:
    plan = plan_of(STUDY.replace("where: D", 'columns: "N=N_non_embedding", where: D'), tmp_path)
    far = target_points(plan, fitted_runs(plan))[-1]
    assert far.at["N"] == far.runs[0].parameters.non_embedding


@pytest.mark.parametrize(
    ("analysis", "message"),
    [("where: D +", "cannot read"), ("where: D > 1e12", "leaves no run"), ('columns: "N=parms"', "no column parms")],
)
def test_invalid_analysis_names_its_line(analysis: str, message: str, tmp_path: Path) -> None:
    plan = plan_of(STUDY.replace("where: D > 1.5e6", analysis), tmp_path)
    with pytest.raises(InputError, match=rf"s\.yaml:10: .*{message}"):
        target_points(plan, fitted_runs(plan))


def test_condition_on_a_measured_column_is_undecided(tmp_path: Path) -> None:
    plan = plan_of(STUDY.replace("where: D > 1.5e6", "where: loss < 3"), tmp_path)
    fitted = fitted_runs(plan)
    assert len(fitted.runs) == 18
    assert "no column loss" in (fitted.undecided or "")
