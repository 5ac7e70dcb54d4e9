"""The forecast of the final loss of a run in training: its interval has the right coverage and narrows during the run.

Legend: P points.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.support.synthetic_curves import PEAK, TRUTH, line_times, make_forecast_query, make_noisy_curve
from windtunnel.analysis.curves.fit import fit_curve_law
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.monitoring.forecast import RunForecaster, point_noise, with_fitted_peak
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.schedule_sums import LearningRates

RUN_NOISE, POINT_NOISE = 0.004, 0.012
NUM_RUNS = 200


@cache
def fit() -> FittedCurveLaw:
    """The annealing law, fitted to eight noisy curves."""
    generator = np.random.default_rng(1)
    names = ("constant", "cosine", "two-stage", "decay") * 2
    curves = [make_noisy_curve(name, generator, RUN_NOISE, POINT_NOISE) for name in names]
    return FittedCurveLaw.from_fit(fit_curve_law(curve_law("annealing"), curves), curves, 100, 0)


def coverage_and_width(
    fitted: FittedCurveLaw, share: float, wander: bool, run_noise: float, noise: float
) -> tuple[float, float]:
    """Over many runs at this fraction: how often the interval contains the last loss, and its mean width."""
    generator = np.random.default_rng(2)
    forecaster, inside, width = RunForecaster(fitted, make_forecast_query("decay")), [], []
    for number in range(NUM_RUNS):
        run = make_noisy_curve("decay", generator, run_noise, noise, wander=wander)
        seen_P = run.time_P <= share * run.rates.num_updates
        forecast = forecaster.forecast(run.time_P[seen_P], run.loss_P[seen_P], seed=number)
        assert forecast is not None
        assert forecast.interval_90 is not None
        low, high = forecast.interval_90
        assert low < forecast.loss < high
        inside.append(low <= run.loss_P[-1] <= high)
        width.append(np.log(high / low))
    return float(np.mean(inside)), float(np.mean(width))


@pytest.mark.slow
@pytest.mark.parametrize("wander", [False, True], ids=["steady", "wandering"])
def test_interval_covers_nine_of_ten_and_narrows(wander: bool) -> None:
    """For runs with a constant deviation from the law, and for runs whose deviation wanders."""
    results = [coverage_and_width(fit(), share, wander, RUN_NOISE, POINT_NOISE) for share in (0.3, 0.6, 0.9)]
    coverage, widths = zip(*results, strict=True)
    assert all(0.84 <= value <= 0.96 for value in coverage), coverage
    assert widths[0] > widths[1] > widths[2]
    # The noise of the last point remains: 2 x 1.645 standard deviations of it.
    assert widths[2] > 3.2 * POINT_NOISE


@pytest.mark.slow
def test_interval_with_little_point_noise_and_a_wandering_deviation() -> None:
    """With an exactly known law, what remains is the change of the deviation until the end."""
    known = {name: np.full(100, value) for name, value in TRUTH["annealing"].items()}
    exact = replace(fit(), parameters=TRUTH["annealing"], replicates=known, noise=RUN_NOISE)
    results = [coverage_and_width(exact, share, True, RUN_NOISE, RUN_NOISE / 4) for share in (0.3, 0.6, 0.9)]
    coverage, widths = zip(*results, strict=True)
    assert all(0.84 <= value <= 0.96 for value in coverage), coverage
    assert widths[2] < 0.7 * widths[0]


@pytest.mark.slow
def test_forecast_follows_the_curve_of_the_run() -> None:
    run = make_noisy_curve("decay", np.random.default_rng(3), 0.0, 1e-4)
    forecaster = RunForecaster(fit(), make_forecast_query("decay"))
    shifted = forecaster.forecast(run.time_P[:200], 1.01 * run.loss_P[:200])
    plain = forecaster.forecast(run.time_P[:200], run.loss_P[:200])
    assert shifted is not None
    assert plain is not None
    shift = np.log(shifted.loss / plain.loss) / np.log(1.01)
    assert 0.7 < shift < 1.0  # part of the deviation may be gone by the end
    assert forecaster.forecast(run.time_P[:3], run.loss_P[:3]) is None


def test_correlated_points_count_as_fewer() -> None:
    generator = np.random.default_rng(4)
    white_P = 0.02 * generator.standard_normal(400)
    noise, tau = point_noise(white_P)
    assert noise == pytest.approx(0.02, rel=0.1)
    assert 1 <= tau < 1.5
    slow_P = np.convolve(white_P, np.ones(10) / 10, "valid")
    assert point_noise(slow_P)[1] > 5


@pytest.mark.slow
def test_forecast_of_a_law_without_run_noise_has_no_offset() -> None:
    run = make_noisy_curve("decay", np.random.default_rng(5), 0.0, POINT_NOISE)
    forecaster = RunForecaster(replace(fit(), noise=0.0), make_forecast_query("decay"))
    forecast = forecaster.forecast(run.time_P, run.loss_P)
    assert forecast is not None
    assert forecast.offset == 0.0
    assert forecast.point_noise == pytest.approx(POINT_NOISE, rel=0.15)


@pytest.mark.slow
def test_another_peak_keeps_the_shape_of_the_schedule() -> None:
    query = make_forecast_query("decay")
    doubled = replace(query, rates=LearningRates(query.rates.step_J, 2 * query.rates.rate_J, 60))
    fitted = with_fitted_peak(fit(), doubled)
    assert fitted.rates.peak == pytest.approx(PEAK)
    np.testing.assert_allclose(fitted.rates.rate_J, query.rates.rate_J, rtol=1e-12)


def test_forecast_query_ends_at_the_last_line() -> None:
    assert line_times()[-1] == make_forecast_query("decay").time_P[-1]
