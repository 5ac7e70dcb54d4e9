"""Published curves (`tests.benchmarks.curve_cases`): skipped where they are absent."""

from functools import cache

import numpy as np
import pytest

from tests.benchmarks.curve_cases import (
    GOALS,
    PRINTED,
    PRINTED_PRECISION,
    TEST,
    TRAIN,
    curves,
    fit_over_sizes,
    metrics_at_printed_constants,
    reason_unavailable,
)
from windtunnel.analysis.curves.cross_validation import CurveScore, score_curve
from windtunnel.analysis.curves.ensemble import fit_named_law
from windtunnel.analysis.curves.fit import fit_curve_law
from windtunnel.analysis.curves.laws import curve_law

pytestmark = pytest.mark.skipif(bool(reason_unavailable()), reason=reason_unavailable())


@pytest.mark.parametrize("size", PRINTED)
def test_printed_constants_give_the_printed_metrics(size: int) -> None:
    relative, absolute, explained = metrics_at_printed_constants(size)
    printed = PRINTED[size]
    assert relative == pytest.approx(printed[0], abs=PRINTED_PRECISION)
    assert absolute == pytest.approx(printed[1], abs=3.5 * PRINTED_PRECISION)
    assert explained == pytest.approx(printed[2], abs=3e-4)


@cache
def scores_of_auto(size: int) -> list[CurveScore]:
    """The scores of `auto`, fitted to one size, on its unseen schedules."""
    fit, _ = fit_named_law("auto", curves(size, TRAIN))
    return [score_curve(fit, curve) for curve in curves(size, TEST)]


@pytest.mark.slow
@pytest.mark.parametrize("size", GOALS)
def test_auto_predicts_unseen_schedules(size: int) -> None:
    """Mean of the curves' mean errors."""
    assert float(np.mean([score.mean_abs_relative_error for score in scores_of_auto(size)])) <= GOALS[size][0]


@pytest.mark.slow
@pytest.mark.parametrize("size", GOALS)
def test_worst_points_of_auto(size: int) -> None:
    """Mean of the curves' worst errors."""
    assert float(np.mean([score.worst for score in scores_of_auto(size)])) <= GOALS[size][1]


@pytest.mark.slow
def test_auto_over_both_sizes_meets_every_target() -> None:
    fit, scores = fit_over_sizes()
    assert fit.law.name.count(":N") > 1  # a combination of laws over sizes
    for size, (mean, worst) in GOALS.items():
        assert float(np.mean([score.mean_abs_relative_error for score in scores[size]])) <= mean
        assert float(np.mean([score.worst for score in scores[size]])) <= worst


@pytest.mark.slow
@pytest.mark.parametrize("size", GOALS)
def test_annealing_law_predicts_unseen_schedules(size: int) -> None:
    """It has the smallest error in cross-validation (the benchmark ranks all laws)."""
    fit = fit_curve_law(curve_law("annealing"), curves(size, TRAIN))
    assert fit.status == "converged"
    errors = [score_curve(fit, curve).mean_abs_relative_error for curve in curves(size, TEST)]
    assert float(np.mean(errors)) <= GOALS[size][0]
