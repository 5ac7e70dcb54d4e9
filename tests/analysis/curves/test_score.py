"""Scores of sealed curves: interpolation, means, the interval over schedules, and the noise between seeds."""

import math
from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.support.synthetic_curve_study import make_schedule
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.curves.score import pooled_seed_noise, score_laws, score_run
from windtunnel.analysis.curves.seal import PredictedCurve, SealedCurves
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import Schedule

RATES = LearningRates.from_updates(np.ones(400))
WSD = make_schedule("wsd", 400, decay=0.2)


def predicted(loss: tuple[float, ...], runs: tuple[str, ...] = ("a",), schedule: Schedule = WSD) -> PredictedCurve:
    step = tuple(100.0 * (index + 1) for index in range(len(loss)))
    return PredictedCurve("t", runs, asdict(schedule), 1.0, 1e5, step, loss, (loss[-1] - 0.1, loss[-1] + 0.1), 1.0)


def measured(loss: tuple[float, ...], step: tuple[float, ...] = (100.0, 200.0, 300.0)) -> LossCurve:
    return LossCurve("c", RATES, np.array(step), np.array(loss), 1e5, 1024.0)


def sealed(law: str, *targets: PredictedCurve) -> SealedCurves:
    return SealedCurves(law, {"law": law}, "validation", targets, None, "2026-01-01T00:00:00Z", "ab" * 32)


def test_errors_are_relative_to_the_measured_loss() -> None:
    result = score_run(predicted((4.0, 3.0, 2.2)), measured((4.0, 2.5, 2.0)), "a")
    assert result.points == 3
    assert result.mean_abs_relative_error == pytest.approx((0 + 0.2 + 0.1) / 3)
    assert result.worst == pytest.approx(0.2)
    assert result.final == pytest.approx(0.1)
    assert result.inside_90 is False
    without_interval = replace(predicted((2.0, 2.0)), interval_90=None)
    assert score_run(without_interval, measured((2.0, 2.0, 9.0)), "a").inside_90 is None


def test_predictions_are_interpolated_in_the_log_and_not_extrapolated() -> None:
    result = score_run(predicted((4.0, 1.0)), measured((9.0, 2.0, 1.0, 9.0), (50.0, 150.0, 200.0, 350.0)), "a")
    assert result.points == 2
    assert result.worst == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(InputError, match="ends at step 150, before the last predicted step, 200"):
        score_run(predicted((4.0, 1.0)), measured((9.0, 2.0), (50.0, 150.0)), "a")


def test_missing_run_is_an_error() -> None:
    with pytest.raises(InputError, match=r"b: a target of .* without a curve"):
        score_laws([sealed("annealing", predicted((2.0, 2.0), ("a", "b")))], {"a": measured((2.0, 2.0, 2.0))}, None)


def test_final_errors_are_averaged_over_seeds_and_not_over_targets_of_one_name() -> None:
    """Errors of +1 % and -1 % cancel between two seeds, and do not between two schedules."""
    curves = {"up": measured((2.0, 2.0, 2.02)), "down": measured((2.0, 2.0, 2.0 / 1.01))}
    together = sealed("annealing", predicted((2.0, 2.0, 2.0), ("up", "down")))
    (result,) = score_laws([together], curves, 0.01)
    assert result.final == pytest.approx(abs((1 / 1.01 - 1 + 0.01) / 2), rel=1e-6)
    assert result.final_in_noise == pytest.approx(result.final / 0.01)
    assert result.coverage_90 == 1.0
    other = make_schedule("wsd", 400, decay=0.2, final_fraction=0.1)
    separate = sealed("annealing", predicted((2.0, 2.0, 2.0), ("up",)), predicted((2.0, 2.0, 2.0), ("down",), other))
    (result,) = score_laws([separate], curves, None)
    assert result.final == pytest.approx(math.sqrt(((1 / 1.01 - 1) ** 2 + 0.01**2) / 2))
    assert result.final_in_noise is None


def test_means_over_seeds_are_scored_beside_runs() -> None:
    """Seeds 1 % above and below the law have a mean on it."""
    curves = {"up": measured((2.02, 2.02, 2.02)), "down": measured((2 / 1.01,) * 3), "alone": measured((2.0,) * 3)}
    both = sealed("annealing", predicted((2.0,) * 3, ("up", "down")), predicted((2.1,) * 3, ("alone",), SCHEDULES[0]))
    (result,) = score_laws([both], curves, None)
    assert result.seed_means is not None
    assert result.seed_means.curves == 1
    assert result.seed_means.worst == pytest.approx(0.0, abs=1e-12)
    assert result.worst == pytest.approx(0.05)
    (result,) = score_laws([sealed("annealing", predicted((2.0,) * 3, ("alone",)))], curves, None)
    assert result.seed_means is None


def test_seed_replicates_may_be_logged_at_different_steps() -> None:
    """The mean is taken at the points of the sparser one; the other is interpolated."""
    curves = {"dense": measured((4.0, 2.0, 1.0)), "sparse": measured((4.0, 1.0), (100.0, 300.0))}
    (result,) = score_laws([sealed("annealing", predicted((4.0, 2.0, 1.0), ("dense", "sparse")))], curves, None)
    assert result.seed_means is not None
    assert result.seed_means.worst == pytest.approx(0.0, abs=1e-12)


SCHEDULES = [make_schedule("wsd", 400, decay=decay) for decay in (0.1, 0.2, 0.3, 0.4, 0.5)]


def compared(own: Mapping[int, float], baseline: float, seeds: int = 2) -> tuple[float, tuple[float, float] | None]:
    """The difference between a law with these errors by schedule and a baseline with one error."""
    curves = {f"{index}-{seed}": measured((2.0, 2.0, 2.0)) for index in own for seed in range(seeds)}

    def with_errors(law: str, errors: Mapping[int, float]) -> SealedCurves:
        runs = {index: tuple(f"{index}-{seed}" for seed in range(seeds)) for index in own}
        return sealed(law, *(predicted((2 * (1 + errors[i]),) * 3, runs[i], SCHEDULES[i]) for i in own))

    baseline_errors = dict.fromkeys(own, baseline)
    law, plain = score_laws([with_errors("auto", own), with_errors("instantaneous:N", baseline_errors)], curves, None)
    assert plain.comparisons == ()
    (comparison,) = law.comparisons
    assert comparison.baseline == "instantaneous:N"
    return comparison.difference, comparison.interval_90


def test_interval_is_a_bootstrap_over_schedules() -> None:
    own = dict(enumerate((0.01, 0.02, 0.03, 0.04, 0.05)))
    difference, interval = compared(own, 0.05)
    assert difference == pytest.approx(-0.02)
    assert interval is not None
    # The standard deviation of means of five drawn with replacement from -0.04 ... 0 is 0.0141 / sqrt(5).
    spread = math.sqrt(2e-4 / 5)
    assert interval[0] == pytest.approx(-0.02 - 1.645 * spread, abs=1.5e-3)
    assert interval[1] == pytest.approx(-0.02 + 1.645 * spread, abs=1.5e-3)
    assert compared(own, 0.05) == (difference, interval)
    # Seeds of one schedule share the error of the law: more seeds are not more schedules.
    assert compared(own, 0.05, seeds=6)[1] == pytest.approx(interval)


def test_interval_of_equal_differences_and_of_one_schedule() -> None:
    _, interval = compared({0: 0.01, 1: 0.01, 2: 0.01}, 0.03)
    assert interval == pytest.approx((-0.02, -0.02))
    difference, interval = compared({0: 0.01}, 0.03, seeds=4)
    assert difference == pytest.approx(-0.02)
    assert interval is None


def test_targets_of_several_sizes_count_as_one_schedule() -> None:
    """Although the warm-up depends on the size."""
    first, second = (replace(WSD, warmup_steps=steps) for steps in (10, 20))
    curves = {"a": measured((2.0, 2.0, 2.0)), "b": measured((2.0, 2.0, 2.0))}
    targets = [predicted((2.02,) * 3, ("a",), first), predicted((2.02,) * 3, ("b",), second)]
    law, _ = score_laws([sealed("auto", *targets), sealed("last-window", *targets)], curves, None)
    assert law.comparisons[0].interval_90 is None


def test_seed_noise_is_pooled_by_degrees_of_freedom() -> None:
    pair = [2.0, 2.0 * math.exp(0.02)]
    assert pooled_seed_noise({"a": pair, "alone": [3.0]}) == pytest.approx(0.02 / math.sqrt(2))
    three = [1.0, math.exp(0.03), math.exp(-0.03)]
    pooled = math.sqrt((2 * 0.01**2 + 2 * 0.03**2) / (1 + 2))
    assert pooled_seed_noise({"a": pair, "b": three}) == pytest.approx(pooled)
    assert pooled_seed_noise({"alone": [3.0], "other": [2.0]}) is None
