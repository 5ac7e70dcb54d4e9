"""The alarm of a run that is off its family's collapsed curve: rarely of its own members, surely of a run that is off.

Legend: P points.
"""

from functools import cache

import numpy as np
import pytest

from tests.support.live_curves import TRUTH, logged, whole
from windtunnel.analysis.curves.monitoring.collapse import Collapse, Member, check_collapse, law_floor
from windtunnel.analysis.curves.monitoring.forecast import LawOfRun
from windtunnel.analysis.curves.monitoring.run_family import same_shape
from windtunnel.analysis.curves.result import FittedCurves

BETWEEN, NOISE = 0.003, 0.012
# What a rate that is too high does: the loss falls more slowly and further when the rate drops.
MISTUNED = {**TRUTH, "alpha": 0.38, "C": 3.0}
HORIZONS = (2400, 3000)
FIT = FittedCurves("annealing", TRUTH, "converged", {}, BETWEEN, 3000.0, (1e-3, 1e-3))


@cache
def law(updates: int) -> LawOfRun:
    return LawOfRun(FIT, whole("decay", updates), intervals=False)


def member(
    generator: np.random.Generator, updates: int = 3000, truth: dict[str, float] | None = None, seed: int | None = None
) -> Member:
    """Each of a seed of its own, unless one is named: those of one seed share the noise of their points."""
    own = int(generator.integers(2**40))
    if seed is None:
        run = logged("decay", np.random.default_rng(own), BETWEEN, NOISE, truth=truth, updates=updates)
        return Member("made", law(updates), run.time_P, run.loss_P, own)
    shared = logged("decay", np.random.default_rng(seed), BETWEEN, NOISE, truth=truth, updates=updates)
    loss_P = shared.loss_P * np.exp(BETWEEN / 2 * generator.standard_normal())
    return Member("made", law(updates), shared.time_P, loss_P, seed)


def answers(family: int, share: float, runs: int, truth: dict[str, float] | None = None) -> list[Collapse]:
    generator, found = np.random.default_rng(7), []
    for _ in range(runs):
        members = [member(generator, HORIZONS[place % 2]) for place in range(family)]
        found.append(check_collapse(member(generator, truth=truth).until(share), members, FIT))
    return found


@pytest.mark.parametrize("family", [3, 8])
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_false_alarms_are_rare(family: int, share: float) -> None:
    found = answers(family, share, 150)
    assert np.mean([each.off for each in found]) <= 0.10
    assert all(each.few == (family < 8) for each in found)
    assert all(each.floor == "law" for each in found)


@pytest.mark.parametrize("seeds", [2, 4])
def test_runs_that_share_their_noise_do_not_make_a_narrow_band(seeds: int) -> None:
    """Three sizes of each seed are no three curves: a run of another seed must not look off by that."""
    generator, found = np.random.default_rng(10), []
    for first in range(0, 1500, 10):
        members = [member(generator, seed=first + number % seeds) for number in range(3 * seeds)]
        found.append(check_collapse(member(generator, seed=first + seeds), members, FIT))
    assert np.mean([each.off for each in found]) <= 0.10
    assert {each.seeds for each in found} == {seeds}
    one_seed = [member(generator, seed=1) for _ in range(4)]
    assert "all of one seed" in check_collapse(member(generator, seed=2), one_seed, FIT).words()
    assert check_collapse(member(generator, seed=1), one_seed, FIT).off is not None


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_a_mistuned_run_is_off(share: float) -> None:
    found = answers(8, share, 40, MISTUNED)
    assert np.mean([each.off for each in found]) > 0.9
    off = next(each for each in found if each.off)
    assert off.deviation is not None
    assert off.limit is not None
    assert off.deviation > off.limit
    assert off.since_step is not None
    assert off.words().startswith(f"OFF the family's curve by {off.deviation:.1f} bands")


def test_the_floor_is_estimated_where_that_of_the_law_is_above_the_losses() -> None:
    generator = np.random.default_rng(8)
    high = FittedCurves("annealing", {**TRUTH, "L0": 2.95, "C": 1e-3}, "edge", {}, BETWEEN, 3000.0, (1e-3, 1e-3))
    members = [member(generator, HORIZONS[place % 2]) for place in range(6)]
    found = check_collapse(member(generator), members, high)
    assert found.floor == "family"
    assert found.off is False
    assert "floor estimated from the family" in found.words()


def test_the_floor_of_a_law_has_no_part_that_falls_or_that_the_rate_costs() -> None:
    # Every drop counts for memory times itself in the end.
    assert law_floor(FIT, None, 1e-3, None) == pytest.approx(2.7 - 2.0 * 150 * 1e-3, rel=1e-4)


def test_where_nothing_can_be_said() -> None:
    generator = np.random.default_rng(9)
    members = [member(generator) for _ in range(4)]
    run = member(generator)
    assert check_collapse(run, members[:2], FIT).words() == (
        "no answer: 2 curves of its family, and 3 or more tell a band"
    )
    early = check_collapse(run.until(0.05), members, FIT)
    assert early.off is None
    assert "too early: it is at 5%" in early.words()
    assert check_collapse(run.until(0.0), members, FIT).off is None


def test_shapes_of_schedules() -> None:
    long, short, cosine = (whole(*each).rates for each in (("decay", 3000), ("decay", 2400), ("cosine", 3000)))
    assert same_shape(long, short)
    assert not same_shape(long, cosine)
