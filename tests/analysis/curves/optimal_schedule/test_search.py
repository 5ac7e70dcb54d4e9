"""The best schedule of a horizon, compared with known optima and with brute force."""

import numpy as np
import pytest

from tests.support.synthetic_curves import PEAK, TRUTH, UPDATES, WARMUP
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.optimal_schedule.gain import has_jump, schedule_warnings
from windtunnel.analysis.curves.optimal_schedule.knots import format_knots, rounded_knots
from windtunnel.analysis.curves.optimal_schedule.search import (
    MIN_MULTIPLIER,
    FinalLoss,
    OptimalSchedule,
    optimize_free_schedule,
)
from windtunnel.analysis.curves.optimal_schedule.step_schedule import optimize_step_schedule, step_knots
from windtunnel.analysis.curves.optimal_schedule.wsd import optimize_wsd
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.laws.law import Array
from windtunnel.train.schedules import Schedule, multiplier


def final_loss_under(name: str, **changed: float) -> FinalLoss:
    """The final loss under a law with its `TRUTH`, some of it changed."""
    law, values = curve_law(name), {**TRUTH[name], **changed}

    def loss_of(step_J: Array, value_J: Array) -> float:
        rates = LearningRates(step_J, PEAK * value_J, WARMUP)
        query = LossCurve.query("", rates, np.array([float(rates.num_updates)]))
        return float(law.predict(values, query)[0])

    return loss_of


def distance_to(target: Schedule) -> FinalLoss:
    """A loss with its minimum, 1, at the target."""
    step_S = np.arange(WARMUP, UPDATES)
    target_S = multiplier(target, step_S)
    return lambda step_J, value_J: 1 + float(np.mean((np.interp(step_S, step_J, value_J) - target_S) ** 2))


def loss_of_schedule(loss_of: FinalLoss, schedule: Schedule) -> float:
    """The final loss, from the rate of every update."""
    rates = LearningRates.from_updates(multiplier(schedule, np.arange(UPDATES)), WARMUP)
    return loss_of(rates.step_J, rates.rate_J)


def two_stage(decay_steps: int, final: float) -> Schedule:
    return Schedule("wsd", UPDATES, WARMUP, decay_steps, "step", final, 0.0)


def decay_schedules(every: int) -> list[Schedule]:
    ends = {"1-sqrt": (0.0, 0.1), "linear": (0.0, 0.1), "cosine": (0.0,), "exponential": (0.003, 0.03, 0.1)}
    return [
        Schedule("wsd", UPDATES, WARMUP, steps, shape, final, 0.0)  # type: ignore[arg-type]
        for shape, finals in ends.items()
        for final in finals
        for steps in range(every, UPDATES - WARMUP, every)
    ]


def assert_trainable(optimum: OptimalSchedule) -> None:
    """Never rising, within bounds, and with four digits."""
    value_S = multiplier(optimum.schedule, np.arange(WARMUP, UPDATES + 1))
    assert (np.diff(value_S) <= 0).all()
    assert value_S[0] == 1
    assert value_S[-1] >= 0
    shares, values = zip(*optimum.schedule.knots, strict=True)
    assert shares[-1] == 1
    assert min(values[:-1], default=1.0) >= MIN_MULTIPLIER
    assert [round(value, 4) for value in (*shares, *values)] == [*shares, *values]


@pytest.mark.slow
def test_best_schedule_under_annealing_is_one_jump() -> None:
    """The law is convex in the rates, and the response to a drop depends on its age alone, so the best schedule drops
    once. Brute force finds where.
    """
    loss_of = final_loss_under("annealing")
    optimum = optimize_free_schedule(loss_of, UPDATES, WARMUP)
    brute_force = [loss_of_schedule(loss_of, two_stage(steps, MIN_MULTIPLIER)) for steps in range(300, 700)]
    assert optimum.best.loss <= min(brute_force) * (1 + 1e-6)
    assert optimum.best.loss >= min(brute_force) - 2e-4  # only the last knot may be lower than in any of these
    assert optimum.best.loss <= min(loss_of_schedule(loss_of, schedule) for schedule in decay_schedules(60))
    assert_trainable(optimum.best)
    assert any("jump" in warning for warning in schedule_warnings(optimum.best.schedule, MIN_MULTIPLIER))
    assert optimum.gradual is not None
    assert not has_jump(optimum.gradual.schedule)
    assert optimum.gradual.loss > optimum.best.loss
    assert optimize_free_schedule(loss_of, UPDATES, WARMUP) == optimum


@pytest.mark.slow
def test_best_schedule_under_multi_power_beats_brute_force() -> None:
    loss_of = final_loss_under("multi-power")
    wsd = optimize_wsd(loss_of, UPDATES, WARMUP)
    optimum = optimize_free_schedule(loss_of, UPDATES, WARMUP, start=wsd.schedule)
    stages = [
        two_stage(steps, final) for steps in range(30, 1500, 30) for final in (MIN_MULTIPLIER, 0.03, 0.1, 0.2, 0.3)
    ]
    assert optimum.best.loss <= min(loss_of_schedule(loss_of, schedule) for schedule in stages)
    assert optimum.best.loss <= min(loss_of_schedule(loss_of, schedule) for schedule in decay_schedules(30))
    assert optimum.gradual is not None
    assert optimum.gradual.loss <= wsd.loss
    for each in (optimum.best, optimum.gradual):
        assert_trainable(each)
        assert each.loss == pytest.approx(loss_of_schedule(loss_of, each.schedule), rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changed"), [("functional", {"B": 0.3}), ("annealing", {"memory": 800.0, "C": 0.5})])
@pytest.mark.parametrize("min_multiplier", [0.0, 0.1])
def test_no_small_change_of_the_knots_lowers_the_loss(
    name: str, changed: dict[str, float], min_multiplier: float
) -> None:
    loss_of = final_loss_under(name, **changed)
    optimum = optimize_free_schedule(loss_of, UPDATES, WARMUP, min_multiplier).best
    assert_trainable(optimum)
    generator, (share_K, value_K) = np.random.default_rng(0), np.array(optimum.schedule.knots).T
    assert value_K.min() >= min_multiplier
    for _ in range(200):
        moved_K = value_K + 0.02 * generator.standard_normal(len(value_K))
        moved_K = np.clip(np.minimum.accumulate(moved_K), max(min_multiplier, MIN_MULTIPLIER), 1.0)
        other = Schedule("piecewise", UPDATES, WARMUP, 0, "linear", 0, 0, tuple(zip(share_K, moved_K, strict=True)))
        assert loss_of_schedule(loss_of, other) > optimum.loss * (1 - 3e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        Schedule("cosine", UPDATES, WARMUP, 0, "linear", 0.1, 0.0),
        Schedule("constant", UPDATES, WARMUP, 0, "linear", 0.0, 0.0),
        Schedule("wsd", UPDATES, WARMUP, 900, "linear", 0.0, 0.0),
    ],
    ids=lambda target: target.shape,
)
def test_search_finds_the_minimum(target: Schedule) -> None:
    optimum = optimize_free_schedule(distance_to(target), UPDATES, WARMUP)
    assert optimum.best.loss < 1 + 2e-5
    assert_trainable(optimum.best)
    assert any("is at its peak" in warning for warning in schedule_warnings(optimum.best.schedule, MIN_MULTIPLIER)) == (
        target.shape == "constant"
    )


@pytest.mark.slow
def test_wsd_search_finds_the_best_decay() -> None:
    target = Schedule("wsd", UPDATES, WARMUP, 737, "1-sqrt", 0.0, 0.0)
    optimum = optimize_wsd(distance_to(target), UPDATES, WARMUP)
    assert optimum.schedule.decay_shape == "1-sqrt"
    assert abs(optimum.schedule.decay_steps - 737) <= 1
    assert round(optimum.decay_fraction * UPDATES) == optimum.schedule.decay_steps
    loss_of = final_loss_under("multi-power")
    assert (
        optimize_wsd(loss_of, UPDATES, WARMUP).loss
        <= min(loss_of_schedule(loss_of, schedule) for schedule in decay_schedules(30)) + 1e-6
    )


def test_step_schedule_search_finds_the_jumps() -> None:
    def distance(share_K: Array, value_K: Array) -> float:
        share = np.linspace(0, 1, 2001)
        steps = np.where(share < 0.6, 1.0, np.where(share < 0.85, 0.4, 0.05))
        return 1 + float(np.mean((np.interp(share, [0, *share_K], [1, *value_K]) - steps) ** 2))

    (first, middle), (second, end) = optimize_step_schedule(distance, MIN_MULTIPLIER)
    assert (first, middle, second, end) == pytest.approx((0.6, 0.4, 0.85, 0.05), abs=2e-3)
    share_K, value_K = step_knots(((first, middle), (second, end)), 16)
    assert (np.diff(share_K) > 0).all()
    assert distance(share_K, value_K) < 1 + 1e-3


def test_best_schedule_of_a_law_without_gain_by_drops_is_constant() -> None:
    def loss_of(step_J: Array, value_J: Array) -> float:
        return 3 - float(np.mean(np.interp(np.arange(UPDATES), step_J, value_J)))

    optimum = optimize_free_schedule(loss_of, UPDATES, WARMUP).best
    assert format_knots(optimum.schedule.knots) == "1:1"


def test_rounded_knots_have_four_digits_and_leave_out_redundant_ones() -> None:
    share_K = np.array([0.2, 0.5, 0.500004, 0.75, 1.0])
    value_K = np.array([1.0, 1.0, 0.9, 0.45, 0.00004])
    assert format_knots(rounded_knots(share_K, value_K)) == "0.2:1 0.5:0.9 1:0"
