"""The comparison of a run with its family: rare false alarms for its own members, an alarm for a mistuned run.

Legend: P points.
"""

from functools import cache

import numpy as np
import pytest

from tests.support.synthetic_curves import TRUTH as TRUTH_OF_LAW
from tests.support.synthetic_curves import make_forecast_query, make_noisy_curve
from windtunnel.analysis.curves.monitoring.collapse import (
    CollapseCheck,
    FamilyMember,
    check_collapse,
    irreducible_loss,
)
from windtunnel.analysis.curves.monitoring.forecast import RunForecaster
from windtunnel.analysis.curves.monitoring.run_family import same_shape
from windtunnel.analysis.curves.result import FittedCurveLaw

TRUTH = TRUTH_OF_LAW["annealing"]
RUN_NOISE, POINT_NOISE = 0.003, 0.012
# The effect of a rate that is too high: the loss falls more slowly, and further when the rate drops.
MISTUNED = {**TRUTH, "alpha": 0.38, "C": 3.0}
HORIZONS = (2400, 3000)
FIT = FittedCurveLaw("annealing", TRUTH, "converged", {}, RUN_NOISE, 3000.0, (1e-3, 1e-3))


@cache
def forecaster(updates: int) -> RunForecaster:
    return RunForecaster(FIT, make_forecast_query("decay", updates), intervals=False)


def make_member(
    generator: np.random.Generator, updates: int = 3000, truth: dict[str, float] | None = None, seed: int | None = None
) -> FamilyMember:
    """A run with its own seed, or with this seed: runs with one seed share the noise of their points."""
    own_seed = int(generator.integers(2**40))
    noise = np.random.default_rng(own_seed if seed is None else seed)
    curve = make_noisy_curve("decay", noise, RUN_NOISE, POINT_NOISE, truth=truth, updates=updates)
    if seed is None:
        return FamilyMember("run", forecaster(updates), curve.time_P, curve.loss_P, own_seed)
    loss_P = curve.loss_P * np.exp(RUN_NOISE / 2 * generator.standard_normal())
    return FamilyMember("run", forecaster(updates), curve.time_P, loss_P, seed)


def make_checks(family: int, share: float, runs: int, truth: dict[str, float] | None = None) -> list[CollapseCheck]:
    generator, checks = np.random.default_rng(7), []
    for _ in range(runs):
        members = [make_member(generator, HORIZONS[index % 2]) for index in range(family)]
        checks.append(check_collapse(make_member(generator, truth=truth).until(share), members, FIT))
    return checks


@pytest.mark.slow
@pytest.mark.parametrize("family", [3, 8])
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_false_alarms_are_rare(family: int, share: float) -> None:
    checks = make_checks(family, share, 150)
    assert np.mean([check.off for check in checks]) <= 0.10
    assert all(check.few == (family < 8) for check in checks)
    assert all(check.irreducible_source == "law" for check in checks)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 4])
def test_runs_that_share_their_noise_do_not_narrow_the_band(seeds: int) -> None:
    """Three sizes of one seed share their noise: a run of another seed must not count as off because of that."""
    generator, checks = np.random.default_rng(10), []
    for first in range(0, 1500, 10):
        members = [make_member(generator, seed=first + number % seeds) for number in range(3 * seeds)]
        checks.append(check_collapse(make_member(generator, seed=first + seeds), members, FIT))
    assert np.mean([check.off for check in checks]) <= 0.10
    assert {check.seeds for check in checks} == {seeds}
    one_seed = [make_member(generator, seed=1) for _ in range(4)]
    assert "the family has one seed" in check_collapse(make_member(generator, seed=2), one_seed, FIT).summary()
    assert check_collapse(make_member(generator, seed=1), one_seed, FIT).off is not None


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_mistuned_run_is_off(share: float) -> None:
    checks = make_checks(8, share, 40, MISTUNED)
    assert np.mean([check.off for check in checks]) > 0.9
    off = next(check for check in checks if check.off)
    assert off.deviation is not None
    assert off.limit is not None
    assert off.deviation > off.limit
    assert off.since_step is not None
    assert off.summary().startswith(f"OFF the family's curve by {off.deviation:.1f} bands")


def test_irreducible_loss_is_estimated_where_that_of_the_law_is_above_the_losses() -> None:
    generator = np.random.default_rng(8)
    high = FittedCurveLaw("annealing", {**TRUTH, "L0": 2.95, "C": 1e-3}, "edge", {}, RUN_NOISE, 3000.0, (1e-3, 1e-3))
    members = [make_member(generator, HORIZONS[index % 2]) for index in range(6)]
    check = check_collapse(make_member(generator), members, high)
    assert check.irreducible_source == "family"
    assert check.off is False
    assert "irreducible loss estimated from the family" in check.summary()


def test_irreducible_loss_of_a_law_excludes_the_power_law_and_the_cost_of_the_rate() -> None:
    # In the end every drop counts memory times.
    assert irreducible_loss(FIT, None, 1e-3, None) == pytest.approx(2.7 - 2.0 * 150 * 1e-3, rel=1e-4)


def test_undecided_checks_give_a_reason() -> None:
    generator = np.random.default_rng(9)
    members = [make_member(generator) for _ in range(4)]
    run = make_member(generator)
    small = check_collapse(run, members[:2], FIT)
    assert small.summary() == "no answer: 2 curves in the family; a band needs 3 or more"
    early = check_collapse(run.until(0.05), members, FIT)
    assert early.off is None
    assert "too early: the run is at 5%" in early.summary()
    assert check_collapse(run.until(0.0), members, FIT).off is None


def test_schedules_of_the_same_shape() -> None:
    long, short, cosine = (
        make_forecast_query(name, updates).rates
        for name, updates in (("decay", 3000), ("decay", 2400), ("cosine", 3000))
    )
    assert same_shape(long, short)
    assert not same_shape(long, cosine)
