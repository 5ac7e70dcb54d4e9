"""The best schedule of a horizon: against optima that are known, and against everything that can be tried by hand."""

import numpy as np
import pytest

from tests.analysis.curves.laws.test_laws import TRUTH
from tests.support.made_curves import PEAK, WARMUP
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.optimal_schedule.gain import cautions, jumps
from windtunnel.analysis.curves.optimal_schedule.knots import knots_text, written
from windtunnel.analysis.curves.optimal_schedule.search import LEAST, FinalLoss, Optimum, best_free
from windtunnel.analysis.curves.optimal_schedule.step_schedule import best_staircase, knots_of
from windtunnel.analysis.curves.optimal_schedule.wsd import best_wsd
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.laws.law import Array
from windtunnel.train.schedules import Schedule, multiplier

UPDATES = 3000


def under(name: str, **changed: float) -> FinalLoss:
    """The final loss under a law with known constants."""
    law, values = curve_law(name), {**TRUTH[name], **changed}

    def loss_of(step_J: Array, value_J: Array) -> float:
        rates = Rates(step_J, PEAK * value_J, WARMUP)
        blank = Curve("", rates, np.array([float(rates.num_updates)]), np.array([np.nan]))
        return float(law.predict(values, blank)[0])

    return loss_of


def nearness_to(target: Schedule) -> FinalLoss:
    """Least, and 1, for the target alone."""
    step_S = np.arange(WARMUP, UPDATES)
    target_S = multiplier(target, step_S)
    return lambda step_J, value_J: 1 + float(np.mean((np.interp(step_S, step_J, value_J) - target_S) ** 2))


def of_every_update(loss_of: FinalLoss, schedule: Schedule) -> float:
    """As the rates of a run would be read."""
    rates = Rates.of_updates(multiplier(schedule, np.arange(UPDATES)), WARMUP)
    return loss_of(rates.step_J, rates.rate_J)


def two_stage(decay_steps: int, final: float) -> Schedule:
    return Schedule("wsd", UPDATES, WARMUP, decay_steps, "step", final, 0.0)


def decays(every: int) -> list[Schedule]:
    ends = {"1-sqrt": (0.0, 0.1), "linear": (0.0, 0.1), "cosine": (0.0,), "exponential": (0.003, 0.03, 0.1)}
    return [
        Schedule("wsd", UPDATES, WARMUP, steps, shape, final, 0.0)  # type: ignore[arg-type]
        for shape, finals in ends.items()
        for final in finals
        for steps in range(every, UPDATES - WARMUP, every)
    ]


def assert_trainable(found: Optimum) -> None:
    """Never rising, within the range, and to four digits."""
    value_S = multiplier(found.schedule, np.arange(WARMUP, UPDATES + 1))
    assert (np.diff(value_S) <= 0).all()
    assert value_S[0] == 1
    assert value_S[-1] >= 0
    shares, values = zip(*found.schedule.knots, strict=True)
    assert shares[-1] == 1
    assert min(values[:-1], default=1.0) >= LEAST
    assert [round(each, 4) for each in (*shares, *values)] == [*shares, *values]


@pytest.mark.slow
def test_under_the_annealing_law_the_best_is_a_jump() -> None:
    """It is convex in the rates and prices a drop by its age alone, so that the best schedule drops once: a place that
    brute force finds.
    """
    loss_of = under("annealing")
    found = best_free(loss_of, UPDATES, WARMUP)
    by_hand = [of_every_update(loss_of, two_stage(steps, LEAST)) for steps in range(300, 700)]
    assert found.best.loss <= min(by_hand) * (1 + 1e-6)
    assert found.best.loss >= min(by_hand) - 2e-4  # only the last knot may be lower than any of these
    assert found.best.loss <= min(of_every_update(loss_of, each) for each in decays(60))
    assert_trainable(found.best)
    assert any("jump" in each for each in cautions(found.best.schedule, LEAST))
    assert found.gradual is not None
    assert not jumps(found.gradual.schedule)
    assert found.gradual.loss > found.best.loss
    assert best_free(loss_of, UPDATES, WARMUP) == found


@pytest.mark.slow
def test_under_the_multi_power_law_nothing_tried_by_hand_is_better() -> None:
    loss_of = under("multi-power")
    wsd = best_wsd(loss_of, UPDATES, WARMUP)
    found = best_free(loss_of, UPDATES, WARMUP, start=wsd.schedule)
    stages = [two_stage(steps, final) for steps in range(30, 1500, 30) for final in (LEAST, 0.03, 0.1, 0.2, 0.3)]
    assert found.best.loss <= min(of_every_update(loss_of, each) for each in stages)
    assert found.best.loss <= min(of_every_update(loss_of, each) for each in decays(30))
    assert found.gradual is not None
    assert found.gradual.loss <= wsd.loss
    for each in (found.best, found.gradual):
        assert_trainable(each)
        assert each.loss == pytest.approx(of_every_update(loss_of, each.schedule), rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changed"), [("functional", {"B": 0.3}), ("annealing", {"memory": 800.0, "C": 0.5})])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_no_small_change_of_the_knots_helps(name: str, changed: dict[str, float], floor: float) -> None:
    loss_of = under(name, **changed)
    found = best_free(loss_of, UPDATES, WARMUP, floor).best
    assert_trainable(found)
    generator, (share_K, value_K) = np.random.default_rng(0), np.array(found.schedule.knots).T
    assert value_K.min() >= floor
    for _ in range(200):
        moved_K = value_K + 0.02 * generator.standard_normal(len(value_K))
        moved_K = np.clip(np.minimum.accumulate(moved_K), max(floor, LEAST), 1.0)
        other = Schedule("piecewise", UPDATES, WARMUP, 0, "linear", 0, 0, tuple(zip(share_K, moved_K, strict=True)))
        assert of_every_update(loss_of, other) > found.loss * (1 - 3e-6)


@pytest.mark.parametrize(
    "target",
    [
        Schedule("cosine", UPDATES, WARMUP, 0, "linear", 0.1, 0.0),
        Schedule("constant", UPDATES, WARMUP, 0, "linear", 0.0, 0.0),
        Schedule("wsd", UPDATES, WARMUP, 900, "linear", 0.0, 0.0),
    ],
    ids=lambda target: target.shape,
)
def test_a_target_is_found(target: Schedule) -> None:
    found = best_free(nearness_to(target), UPDATES, WARMUP)
    assert found.best.loss < 1 + 2e-5
    assert_trainable(found.best)
    assert any("holds its peak" in each for each in cautions(found.best.schedule, LEAST)) == (
        target.shape == "constant"
    )


def test_the_best_decay_is_found() -> None:
    target = Schedule("wsd", UPDATES, WARMUP, 737, "1-sqrt", 0.0, 0.0)
    found = best_wsd(nearness_to(target), UPDATES, WARMUP)
    assert found.schedule.decay_shape == "1-sqrt"
    assert abs(found.schedule.decay_steps - 737) <= 1
    assert round(found.decay_fraction * UPDATES) == found.schedule.decay_steps
    loss_of = under("multi-power")
    assert best_wsd(loss_of, UPDATES, WARMUP).loss <= min(of_every_update(loss_of, each) for each in decays(30)) + 1e-6


def test_jumps_are_found() -> None:
    def far(share_K: Array, value_K: Array) -> float:
        along = np.linspace(0, 1, 2001)
        steps = np.where(along < 0.6, 1.0, np.where(along < 0.85, 0.4, 0.05))
        return 1 + float(np.mean((np.interp(along, [0, *share_K], [1, *value_K]) - steps) ** 2))

    (first, middle), (second, end) = best_staircase(far, LEAST)
    assert (first, middle, second, end) == pytest.approx((0.6, 0.4, 0.85, 0.05), abs=2e-3)
    share_K, value_K = knots_of(((first, middle), (second, end)), 16)
    assert (np.diff(share_K) > 0).all()
    assert far(share_K, value_K) < 1 + 1e-3


def test_a_law_that_gains_from_no_drop_keeps_its_peak() -> None:
    def loss_of(step_J: Array, value_J: Array) -> float:
        return 3 - float(np.mean(np.interp(np.arange(UPDATES), step_J, value_J)))

    found = best_free(loss_of, UPDATES, WARMUP).best
    assert knots_text(found.schedule.knots) == "1:1"


def test_knots_are_written_to_four_digits_without_those_that_change_nothing() -> None:
    share_K = np.array([0.2, 0.5, 0.500004, 0.75, 1.0])
    value_K = np.array([1.0, 1.0, 0.9, 0.45, 0.00004])
    assert knots_text(written(share_K, value_K)) == "0.2:1 0.5:0.9 1:0"
