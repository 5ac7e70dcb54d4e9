"""Sums over a schedule, against plain loops over its updates."""

import numpy as np
import pytest

from tests.support.synthetic_curves import PEAK, WARMUP, schedules
from windtunnel.analysis.curves.schedule_sums import LearningRates, piecewise_linear_knots

TIMES = np.array([1.0, 30.0, 61.0, 62.0, 500.0, 1000.0, 1001.0, 1002.0, 2100.0, 2999.0, 3000.0])


def drops(rate_S: np.ndarray) -> np.ndarray:
    """The drop at every update; 0 during the warm-up."""
    drop_S = np.zeros(len(rate_S))
    drop_S[WARMUP + 1 :] = rate_S[WARMUP:-1] - rate_S[WARMUP + 1 :]
    return drop_S


@pytest.mark.parametrize("name", schedules())
def test_sums_equal_a_loop_over_the_updates(name: str) -> None:
    rate_S = schedules()[name]
    rates = LearningRates.from_updates(rate_S)
    assert rates.warmup == WARMUP
    assert len(rates.step_J) < 500
    drop_S = drops(rate_S)
    for memory in (1.5, 20.0, 5000.0):
        decayed = rates.decayed_drop_sum(rates.drop_position(TIMES), memory)
        for index, time in enumerate(TIMES.astype(int)):
            assert rates.rate_sum(TIMES)[index] == pytest.approx(rate_S[:time].sum(), rel=1e-5)
            assert rates.drop_sum(TIMES)[index] == pytest.approx(drop_S[:time].sum(), abs=1e-5 * PEAK)
            weight_S = (1 - 1 / memory) ** np.arange(time, 0, -1.0)
            assert decayed[index] == pytest.approx((drop_S[:time] * weight_S).sum(), abs=2e-5 * PEAK)


@pytest.mark.parametrize("name", schedules())
def test_sums_of_powers_equal_a_loop_over_the_updates(name: str) -> None:
    rate_S = schedules()[name]
    rates = LearningRates.from_updates(rate_S)
    late = TIMES[TIMES >= 500]
    for exponent in (0.5, 1.0, 1.7):
        sum_P, slope_P = rates.power_sum(late, exponent)
        expected = [np.sum(rate_S[:time] ** exponent) for time in late.astype(int)]
        # The warm-up begins at 0, where the integral of a power differs from its sum.
        np.testing.assert_allclose(sum_P, expected, rtol=1e-5, atol=0.25 * (PEAK / WARMUP) ** exponent)
        after_warmup_P = sum_P - rates.power_sum(np.array([WARMUP + 1.0]), exponent)[0]
        np.testing.assert_allclose(after_warmup_P, expected - np.sum(rate_S[: WARMUP + 1] ** exponent), rtol=1e-5)
        up, down = (rates.power_sum(late, exponent + step)[0] for step in (1e-6, -1e-6))
        np.testing.assert_allclose(slope_P, (up - down) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("rates", [[1, 1, 1, 1, 9], [1] * 9 + [0], [1, 0.5, 0, 0.5] * 50, [3, 2, 1]])
def test_powers_on_short_pieces_are_summed_exactly(rates: list[float]) -> None:
    schedule = LearningRates.from_updates(np.array(rates, dtype=float))
    time_P = np.arange(1.0, len(rates) + 1)
    np.testing.assert_allclose(schedule.power_sum(time_P, 0.55)[0], np.cumsum(np.power(rates, 0.55)), rtol=1e-12)


def test_crossings_of_rate_levels() -> None:
    rates = LearningRates.from_knots(np.array([0.0, 10.0, 400.0, 401.0, 1001.0]), np.array([0.0, 1.0, 1.0, 0.5, 0.0]))
    assert rates.crossings(np.array([0.25, 0.6])).tolist() == [2.0, 6.0, 401.0, 701.0]


def test_linear_rate_is_summed_exactly() -> None:
    rates = LearningRates.from_knots(np.array([0.0, 10.0, 400.0, 401.0, 999.0]), np.array([0.0, 1.0, 1.0, 0.5, 0.1]))
    rate_S = np.interp(np.arange(1000), rates.step_J, rates.rate_J)
    time_P = np.arange(1, 1001, dtype=float)
    np.testing.assert_allclose(rates.rate_sum(time_P), np.cumsum(rate_S), rtol=1e-13)
    drop_S = np.concatenate([[0.0], rate_S[:-1] - rate_S[1:]])
    drop_S[:11] = 0
    decay, expected = 1 - 1 / 50, []
    momentum = 0.0
    for drop in drop_S:
        momentum = decay * (momentum + drop)
        expected.append(momentum)
    np.testing.assert_allclose(rates.decayed_drop_sum(rates.drop_position(time_P), 50.0), expected, atol=1e-13)


def test_derivative_with_respect_to_the_memory() -> None:
    rates = LearningRates.from_updates(schedules()["cosine"])
    derivative = np.imag(rates.decayed_drop_sum(rates.drop_position(TIMES), 300.0 + 1e-20j)) / 1e-20
    difference = (
        rates.decayed_drop_sum(rates.drop_position(TIMES), 300.001)
        - rates.decayed_drop_sum(rates.drop_position(TIMES), 299.999)
    ) / 0.002
    np.testing.assert_allclose(derivative, difference, rtol=1e-5, atol=1e-12)


def test_jumps_and_kinks_become_knots() -> None:
    rate_S = np.concatenate([np.full(500, 1.0), np.full(500, 0.25), np.linspace(0.25, 0.0, 300)])
    knots = piecewise_linear_knots(rate_S, 1e-6)
    assert {0, 499, 500, 1299} <= set(knots.tolist())
    assert len(knots) <= 8


def test_long_run_has_few_knots() -> None:
    rate_S = 0.5 + 0.5 * np.cos(np.pi * np.arange(1_000_000) / 1_000_000)
    rates = LearningRates.from_updates(rate_S)
    assert len(rates.step_J) < 4000
    time_P = np.array([1e5, 5e5, 1e6])
    np.testing.assert_allclose(rates.rate_sum(time_P), np.cumsum(rate_S)[[99_999, 499_999, 999_999]], rtol=1e-5)


@pytest.mark.parametrize(
    ("rates", "warmup"), [([1, 1, 1], 0), ([0, 1, 2, 2, 1], 20), ([3, 2, 1], 0), ([0, 2, 1, 3], 10), ([0, 1, 2], 20)]
)
def test_warm_up_is_the_first_rise(rates: list[float], warmup: int) -> None:
    assert LearningRates.from_knots(np.arange(len(rates)) * 10.0, np.array(rates, dtype=float)).warmup == warmup


def test_times_at_the_peak() -> None:
    rates = LearningRates.from_updates(schedules()["two-stage"])
    assert rates.at_peak(np.array([30.0, 61.0, 1000.0, 1001.0, 2000.0])).tolist() == [False, True, True, False, False]
    assert LearningRates.from_updates(schedules()["constant"]).at_peak(np.array([2999.0])).tolist() == [True]
