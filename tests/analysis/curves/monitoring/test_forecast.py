"""The final loss of a run in training: its interval holds what it says while the run goes on, and narrows.

Legend: P points.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.support.live_curves import PEAK, TRUTH, logged, point_times, whole
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.fit import fit_curves
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.monitoring.forecast import LawOfRun, at_fitted_peak, point_noise
from windtunnel.analysis.curves.result import FittedCurves, fitted_curves

BETWEEN, NOISE = 0.004, 0.012
RUNS = 200


@cache
def fit() -> FittedCurves:
    """The annealing law, fitted to eight noisy curves."""
    generator = np.random.default_rng(1)
    names = ("constant", "cosine", "two-stage", "decay") * 2
    curves = [logged(name, generator, BETWEEN, NOISE) for name in names]
    found = fit_curves(curve_law("annealing"), curves)
    return fitted_curves(found, curves, 100, 0)


def forecasts(fitted: FittedCurves, share: float, wander: bool, between: float, noise: float) -> tuple[float, float]:
    """Over many runs looked at there: the share whose last loss is inside the interval, and its mean width."""
    generator = np.random.default_rng(2)
    law, inside, width = LawOfRun(fitted, whole("decay")), [], []
    for number in range(RUNS):
        run = logged("decay", generator, between, noise, wander=wander)
        seen_P = run.time_P <= share * run.rates.num_updates
        found = law.forecast(run.time_P[seen_P], run.loss_P[seen_P], seed=number)
        assert found is not None
        assert found.interval_90 is not None
        low, high = found.interval_90
        assert low < found.loss < high
        inside.append(low <= run.loss_P[-1] <= high)
        width.append(np.log(high / low))
    return float(np.mean(inside)), float(np.mean(width))


@pytest.mark.parametrize("wander", [False, True], ids=["steady", "wandering"])
def test_the_interval_holds_nine_of_ten_and_narrows(wander: bool) -> None:
    """For runs that keep their distance from the law, and for runs whose distance wanders while they go on."""
    found = [forecasts(fit(), share, wander, BETWEEN, NOISE) for share in (0.3, 0.6, 0.9)]
    covered, widths = zip(*found, strict=True)
    assert all(0.84 <= each <= 0.96 for each in covered), covered
    assert widths[0] > widths[1] > widths[2]
    # The noise of the last point stays: 2 x 1.645 s.d. of it.
    assert widths[2] > 3.2 * NOISE


def test_little_noise_of_points_and_a_wandering_distance() -> None:
    """Of a law that is known exactly: what is left is how far the distance may still go, little at the end."""
    known = {name: np.full(100, value) for name, value in TRUTH.items()}
    exact = replace(fit(), parameters=TRUTH, replicates=known, noise=BETWEEN)
    found = [forecasts(exact, share, True, BETWEEN, BETWEEN / 4) for share in (0.3, 0.6, 0.9)]
    covered, widths = zip(*found, strict=True)
    assert all(0.84 <= each <= 0.96 for each in covered), covered
    assert widths[2] < 0.7 * widths[0]


def test_its_own_curve_moves_the_law() -> None:
    run = logged("decay", np.random.default_rng(3), 0.0, 1e-4)
    law = LawOfRun(fit(), whole("decay"))
    shifted = law.forecast(run.time_P[:200], 1.01 * run.loss_P[:200])
    plain = law.forecast(run.time_P[:200], run.loss_P[:200])
    assert shifted is not None
    assert plain is not None
    moved = np.log(shifted.loss / plain.loss) / np.log(1.01)
    assert 0.7 < moved < 1.0  # some of it may have gone by the end
    assert law.forecast(run.time_P[:3], run.loss_P[:3]) is None


def test_points_that_follow_each_other_count_as_fewer() -> None:
    generator = np.random.default_rng(4)
    white_P = 0.02 * generator.standard_normal(400)
    noise, tau = point_noise(white_P)
    assert noise == pytest.approx(0.02, rel=0.1)
    assert 1 <= tau < 1.5
    slow_P = np.convolve(white_P, np.ones(10) / 10, "valid")
    assert point_noise(slow_P)[1] > 5


def test_a_law_that_every_curve_follows_is_not_moved() -> None:
    run = logged("decay", np.random.default_rng(5), 0.0, NOISE)
    found = LawOfRun(replace(fit(), noise=0.0), whole("decay")).forecast(run.time_P, run.loss_P)
    assert found is not None
    assert found.offset == 0.0
    assert found.point_noise == pytest.approx(NOISE, rel=0.15)


def test_another_peak_keeps_the_shape() -> None:
    blank = whole("decay")
    doubled = Curve("x", type(blank.rates)(blank.rates.step_J, 2 * blank.rates.rate_J, 60), blank.time_P, blank.loss_P)
    moved = at_fitted_peak(fit(), doubled)
    assert moved.rates.peak == pytest.approx(PEAK)
    np.testing.assert_allclose(moved.rates.rate_J, blank.rates.rate_J, rtol=1e-12)


def test_points_lie_in_the_whole_schedule() -> None:
    assert point_times()[-1] == whole("decay").time_P[-1]
