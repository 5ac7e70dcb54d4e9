"""Scores of sealed curves: interpolation, means, the interval over schedules, and the noise between seeds."""

import math
from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.support.held_out_curves import schedule
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.curves.score import noise_between_seeds, outcomes, score_run
from windtunnel.analysis.curves.seal import PredictedCurve, SealedCurves
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import Schedule

RATES = Rates.of_updates(np.ones(400))
WSD = schedule("wsd", 400, decay=0.2)


def predicted(loss: tuple[float, ...], runs: tuple[str, ...] = ("a",), held: Schedule = WSD) -> PredictedCurve:
    step = tuple(100.0 * (place + 1) for place in range(len(loss)))
    return PredictedCurve("t", runs, asdict(held), 1.0, 1e5, step, loss, (loss[-1] - 0.1, loss[-1] + 0.1), 1.0)


def measured(loss: tuple[float, ...], step: tuple[float, ...] = (100.0, 200.0, 300.0)) -> Curve:
    return Curve("c", RATES, np.array(step), np.array(loss), 1e5, 1024.0)


def sealed(asked: str, *targets: PredictedCurve) -> SealedCurves:
    return SealedCurves(asked, {"law": asked}, "validation", targets, None, "2026-01-01T00:00:00Z", "ab" * 32)


def test_errors_are_shares_of_what_was_measured() -> None:
    found = score_run(predicted((4.0, 3.0, 2.2)), measured((4.0, 2.5, 2.0)), "a")
    assert found.points == 3
    assert found.mean_abs_relative_error == pytest.approx((0 + 0.2 + 0.1) / 3)
    assert found.worst == pytest.approx(0.2)
    assert found.final == pytest.approx(0.1)
    assert found.inside_90 is False
    untold = replace(predicted((2.0, 2.0)), interval_90=None)
    assert score_run(untold, measured((2.0, 2.0, 9.0)), "a").inside_90 is None


def test_between_predicted_steps_the_logarithm_is_linear_and_outside_nothing_is_scored() -> None:
    found = score_run(predicted((4.0, 1.0)), measured((9.0, 2.0, 1.0, 9.0), (50.0, 150.0, 200.0, 350.0)), "a")
    assert found.points == 2
    assert found.worst == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(InputError, match="ends at step 150, before 200, the last predicted"):
        score_run(predicted((4.0, 1.0)), measured((9.0, 2.0), (50.0, 150.0)), "a")


def test_a_missing_run_is_refused() -> None:
    with pytest.raises(InputError, match=r"b: a target of .* that has no curve"):
        outcomes([sealed("annealing", predicted((2.0, 2.0), ("a", "b")))], {"a": measured((2.0, 2.0, 2.0))}, None)


def test_final_errors_are_averaged_over_seeds_and_not_over_targets_of_one_name() -> None:
    """Seeds err by +1 % and -1 %, which cancels; two schedules err so, which does not."""
    curves = {"up": measured((2.0, 2.0, 2.02)), "down": measured((2.0, 2.0, 2.0 / 1.01))}
    together = sealed("annealing", predicted((2.0, 2.0, 2.0), ("up", "down")))
    (found,) = outcomes([together], curves, 0.01)
    assert found.final == pytest.approx(abs((1 / 1.01 - 1 + 0.01) / 2), rel=1e-6)
    assert found.final_in_noise == pytest.approx(found.final / 0.01)
    assert found.coverage_90 == 1.0
    other = schedule("wsd", 400, decay=0.2, final_fraction=0.1)
    apart = sealed("annealing", predicted((2.0, 2.0, 2.0), ("up",)), predicted((2.0, 2.0, 2.0), ("down",), other))
    (found,) = outcomes([apart], curves, None)
    assert found.final == pytest.approx(math.sqrt(((1 / 1.01 - 1) ** 2 + 0.01**2) / 2))
    assert found.final_in_noise is None


def test_means_over_seeds_are_scored_beside_runs() -> None:
    """Seeds that lie 1 % either way of the law have a mean on it."""
    curves = {"up": measured((2.02, 2.02, 2.02)), "down": measured((2 / 1.01,) * 3), "alone": measured((2.0,) * 3)}
    both = sealed("annealing", predicted((2.0,) * 3, ("up", "down")), predicted((2.1,) * 3, ("alone",), HELD[0]))
    (found,) = outcomes([both], curves, None)
    assert found.seed_means is not None
    assert found.seed_means.curves == 1
    assert found.seed_means.worst == pytest.approx(0.0, abs=1e-12)
    assert found.worst == pytest.approx(0.05)
    (found,) = outcomes([sealed("annealing", predicted((2.0,) * 3, ("alone",)))], curves, None)
    assert found.seed_means is None


def test_twins_may_be_logged_at_different_steps() -> None:
    """The mean is taken where the sparser one is, the other between its points."""
    curves = {"dense": measured((4.0, 2.0, 1.0)), "sparse": measured((4.0, 1.0), (100.0, 300.0))}
    (found,) = outcomes([sealed("annealing", predicted((4.0, 2.0, 1.0), ("dense", "sparse")))], curves, None)
    assert found.seed_means is not None
    assert found.seed_means.worst == pytest.approx(0.0, abs=1e-12)


HELD = [schedule("wsd", 400, decay=decay) for decay in (0.1, 0.2, 0.3, 0.4, 0.5)]


def compared(own: Mapping[int, float], baseline: float, seeds: int = 2) -> tuple[float, tuple[float, float] | None]:
    """The difference of a law that errs by `own` under each schedule from a baseline that errs by one number."""
    curves = {f"{place}-{seed}": measured((2.0, 2.0, 2.0)) for place in own for seed in range(seeds)}

    def of(asked: str, errors: Mapping[int, float]) -> SealedCurves:
        runs = {place: tuple(f"{place}-{seed}" for seed in range(seeds)) for place in own}
        return sealed(asked, *(predicted((2 * (1 + errors[each]),) * 3, runs[each], HELD[each]) for each in own))

    law, plain = outcomes([of("auto", own), of("instantaneous:N", dict.fromkeys(own, baseline))], curves, None)
    assert plain.against == ()
    (against,) = law.against
    assert against.baseline == "instantaneous:N"
    return against.difference, against.interval_90


def test_the_interval_is_a_bootstrap_over_schedules() -> None:
    own = dict(enumerate((0.01, 0.02, 0.03, 0.04, 0.05)))
    difference, interval = compared(own, 0.05)
    assert difference == pytest.approx(-0.02)
    assert interval is not None
    # Of means of five drawn with replacement from -0.04 ... 0: their standard deviation is 0.0141 / sqrt(5).
    spread = math.sqrt(2e-4 / 5)
    assert interval[0] == pytest.approx(-0.02 - 1.645 * spread, abs=1.5e-3)
    assert interval[1] == pytest.approx(-0.02 + 1.645 * spread, abs=1.5e-3)
    assert compared(own, 0.05) == (difference, interval)
    # Seeds of a schedule share what a law gets wrong of it: more of them are no more schedules.
    assert compared(own, 0.05, seeds=6)[1] == pytest.approx(interval)


def test_equal_differences_have_no_width_and_one_schedule_no_interval() -> None:
    _, interval = compared({0: 0.01, 1: 0.01, 2: 0.01}, 0.03)
    assert interval == pytest.approx((-0.02, -0.02))
    difference, interval = compared({0: 0.01}, 0.03, seeds=4)
    assert difference == pytest.approx(-0.02)
    assert interval is None


def test_targets_of_several_sizes_are_one_schedule() -> None:
    """Though the warm-up depends on the size."""
    first, second = (replace(WSD, warmup_steps=steps) for steps in (10, 20))
    curves = {"a": measured((2.0, 2.0, 2.0)), "b": measured((2.0, 2.0, 2.0))}
    targets = [predicted((2.02,) * 3, ("a",), first), predicted((2.02,) * 3, ("b",), second)]
    law, _ = outcomes([sealed("auto", *targets), sealed("last-window", *targets)], curves, None)
    assert law.against[0].interval_90 is None


def test_noise_is_pooled_over_cells_by_their_freedom() -> None:
    pair = [2.0, 2.0 * math.exp(0.02)]
    assert noise_between_seeds({"a": pair, "alone": [3.0]}) == pytest.approx(0.02 / math.sqrt(2))
    three = [1.0, math.exp(0.03), math.exp(-0.03)]
    pooled = math.sqrt((2 * 0.01**2 + 2 * 0.03**2) / (1 + 2))
    assert noise_between_seeds({"a": pair, "b": three}) == pytest.approx(pooled)
    assert noise_between_seeds({"alone": [3.0], "other": [2.0]}) is None
