"""Schedules of few steps, where implementations often break: every shape, decay, total, warm-up and decay length."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.train.errors import InputError
from windtunnel.train.schedules import FULL_SHAPES, DecayShape, Knots, Schedule, ScheduleShape, multiplier, shares_rates

DECAY_SHAPES: tuple[DecayShape, ...] = get_args(DecayShape)
WSD = Schedule("wsd", 10, 2, 4, "1-sqrt", 0.0, 0.5)
PIECEWISE = {"shape": "piecewise", "decay_steps": 0}


def knots_of(shape: ScheduleShape, final_fraction: float) -> Knots:
    """Knots of the piecewise shape: a plateau and two slopes."""
    return ((0.25, 1.0), (0.5, 0.5 + 0.5 * final_fraction), (1.0, final_fraction)) if shape == "piecewise" else ()


def tiny_schedules(shape: ScheduleShape, decay_shape: DecayShape, final_fraction: float) -> Iterator[Schedule]:
    """Every valid warm-up and decay of every total from 1 to 12."""
    for total in range(1, 13):
        for warmup in range(total if shape in FULL_SHAPES else total + 1):
            for decay in range(total - warmup + 1) if shape in ("wsd", "power") else (0,):
                knots = knots_of(shape, final_fraction)
                yield Schedule(shape, total, warmup, decay, decay_shape, final_fraction, 0.51, knots)


CASES = [
    (shape, decay_shape, final_fraction)
    for shape, decay_shape, final_fraction in itertools.product(get_args(ScheduleShape), DECAY_SHAPES, (0.0, 0.1, 1.0))
    if not (decay_shape in ("exponential", "step") and final_fraction == 0.0)
]


def largest_fall(schedule: Schedule) -> float:
    """The largest decrease in one step, from the steepest slope of the schedule's formula."""
    span = schedule.total_steps - schedule.decay_start
    falls = [0.0]
    if span:
        decay = schedule.shape if schedule.shape in FULL_SHAPES else schedule.decay_shape
        share = {
            "linear": 1 / span,
            "cosine": math.sin(math.pi / (2 * span)),  # the fall is largest across the half-way point
            "1-sqrt": math.sqrt(1 / span),
            "exponential": 0.0,
            "step": 1.0,
            "piecewise": min(1.0, 2 / span),  # half of what there is to fall over a quarter of the span
        }[decay]
        falls.append(share * (1 - schedule.final_fraction))
        if decay == "exponential":
            falls.append(1 - schedule.final_fraction ** (1 / span))
    if schedule.shape == "power":
        first = schedule.warmup_steps + 1
        falls.append(1 - ((first + 1) / first) ** -schedule.power_exponent)
    return max(falls)


@pytest.mark.parametrize(("shape", "decay_shape", "final_fraction"), CASES)
def test_tiny_schedules_are_well_formed(shape: ScheduleShape, decay_shape: DecayShape, final_fraction: float) -> None:
    for schedule in tiny_schedules(shape, decay_shape, final_fraction):
        total, warmup = schedule.total_steps, schedule.warmup_steps
        rates = multiplier(schedule, np.arange(total + 1))
        falls = -np.diff(rates[warmup:])
        assert rates.dtype == np.float64, schedule
        assert np.isfinite(rates).all(), schedule
        assert rates.min() >= 0.0, schedule
        assert rates.max() <= 1.0, schedule
        assert rates[0] > 0.0, schedule
        assert rates[:total].min() > 0.0, f"an update at rate 0: {schedule}"
        assert (np.diff(rates[: warmup + 1]) > 0).all(), schedule
        if warmup < total:
            assert rates[warmup] == 1.0, schedule
        assert (falls >= 0).all(), schedule
        if falls.size:
            assert falls.max() <= largest_fall(schedule) + 1e-12, schedule


@pytest.mark.parametrize(("shape", "decay_shape", "final_fraction"), CASES)
def test_decay_ends_exactly_at_its_final_fraction(
    shape: ScheduleShape, decay_shape: DecayShape, final_fraction: float
) -> None:
    for schedule in tiny_schedules(shape, decay_shape, final_fraction):
        start, end = multiplier(schedule, np.array([schedule.decay_start, schedule.total_steps]))
        if schedule.decay_start < schedule.total_steps:
            assert end == final_fraction * (start if shape == "power" else 1.0), schedule
        elif shape != "power":
            assert end == 1.0, schedule


@pytest.mark.parametrize("decay_shape", DECAY_SHAPES)
@pytest.mark.parametrize("shape", get_args(ScheduleShape))
def test_multiplier_of_a_step_is_the_same_alone_and_in_an_array(shape: ScheduleShape, decay_shape: DecayShape) -> None:
    for schedule in tiny_schedules(shape, decay_shape, 0.1):
        together = multiplier(schedule, np.arange(schedule.total_steps + 1))
        alone = [multiplier(schedule, step) for step in range(schedule.total_steps + 1)]
        assert all(value.shape == () for value in alone)
        assert together.tobytes() == np.array(alone).tobytes(), schedule


@pytest.mark.parametrize("decay_shape", DECAY_SHAPES)
@pytest.mark.parametrize("shape", ["wsd", "power"])
def test_branch_has_the_rates_of_its_trunk_before_its_decay(shape: ScheduleShape, decay_shape: DecayShape) -> None:
    for branch in tiny_schedules(shape, decay_shape, 0.1):
        trunk = Schedule(shape, 50, branch.warmup_steps, 0, "linear", 0.0, branch.power_exponent)
        before = min(branch.decay_start + 1, branch.total_steps)  # the first decay step is still at the trunk's rate
        assert shares_rates(trunk, branch, before), branch
        if branch.decay_steps > 1:
            assert not shares_rates(trunk, branch, before + 1), branch
        if shape == "wsd":
            constant = Schedule("constant", 50, branch.warmup_steps, 0, "linear", 0.0, 0.0)
            assert shares_rates(constant, branch, before), branch


@given(
    shape=st.sampled_from(get_args(ScheduleShape)),
    decay_shape=st.sampled_from(DECAY_SHAPES),
    total=st.integers(1, 10**9),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    final_fraction=st.floats(1e-6, 1),
    exponent=st.floats(0, 2),
    places=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_long_schedules_are_well_formed_and_elementwise(
    shape: ScheduleShape,
    decay_shape: DecayShape,
    total: int,
    shares: tuple[float, float],
    final_fraction: float,
    exponent: float,
    places: list[float],
) -> None:
    warmup = int((total - 1) * shares[0])
    decay = int((total - warmup) * shares[1]) if shape in ("wsd", "power") else 0
    knots = knots_of(shape, final_fraction)
    schedule = Schedule(shape, total, warmup, decay, decay_shape, final_fraction, exponent, knots)
    steps = np.array(sorted(round(total * place) for place in places), dtype=np.int64)
    rates = multiplier(schedule, steps)
    assert np.isfinite(rates).all()
    assert rates.min() > 0.0
    assert rates.max() <= 1.0
    assert (np.diff(rates[steps >= warmup]) <= 1e-15).all()
    assert (np.diff(rates[steps <= warmup]) >= 0).all()
    assert multiplier(schedule, np.repeat(steps, 2)[::2]).tobytes() == rates.tobytes()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("constant", 3, 0, 0, "linear", 0.0, 0.0), [1, 1, 1, 1]),
        (Schedule("constant", 4, 3, 0, "linear", 0.0, 0.0), [1 / 4, 2 / 4, 3 / 4, 1, 1]),
        (Schedule("linear", 5, 1, 0, "1-sqrt", 0.0, 0.0), [1 / 2, 1, 3 / 4, 1 / 2, 1 / 4, 0]),
        (Schedule("linear", 1, 0, 0, "linear", 0.0, 0.0), [1, 0]),
        (
            Schedule("cosine", 4, 0, 0, "linear", 0.2, 0.0),
            [1, 0.6 + 0.4 / math.sqrt(2), 0.6, 0.6 - 0.4 / math.sqrt(2), 0.2],
        ),
        (
            Schedule("wsd", 6, 1, 4, "1-sqrt", 0.0, 0.0),
            [1 / 2, 1, 1, 1 / 2, 1 - math.sqrt(1 / 2), 1 - math.sqrt(3) / 2, 0],
        ),
        (Schedule("wsd", 6, 1, 4, "linear", 0.2, 0.0), [1 / 2, 1, 1, 0.8, 0.6, 0.4, 0.2]),
        (Schedule("wsd", 3, 0, 2, "exponential", 0.25, 0.0), [1, 1, 1 / 2, 1 / 4]),
        (Schedule("wsd", 2, 0, 2, "cosine", 0.0, 0.0), [1, 1 / 2, 0]),
        (Schedule("wsd", 1, 0, 1, "linear", 0.0, 0.0), [1, 0]),
        (Schedule("wsd", 5, 1, 3, "step", 0.25, 0.0), [1 / 2, 1, 1, 1 / 4, 1 / 4, 1 / 4]),
        (
            Schedule("piecewise", 6, 2, 0, "linear", 0.0, 0.0, ((0.5, 0.5), (1.0, 0.25))),
            [1 / 3, 2 / 3, 1, 3 / 4, 1 / 2, 3 / 8, 1 / 4],
        ),
        (Schedule("power", 8, 1, 0, "linear", 0.0, 0.5), [1 / 2, 1, *(math.sqrt(2 / n) for n in range(3, 10))]),
        (Schedule("power", 5, 0, 2, "linear", 0.0, 1.0), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 8, 0]),
    ],
)
def test_golden_multipliers(schedule: Schedule, expected: list[float]) -> None:
    np.testing.assert_allclose(multiplier(schedule, np.arange(len(expected))), expected, rtol=1e-15, atol=1e-16)


def test_full_decay_equals_wsd_without_a_plateau() -> None:
    for shape in ("cosine", "linear"):
        full = Schedule(shape, 12, 2, 0, "1-sqrt", 0.1, 0.0)
        assert shares_rates(full, Schedule("wsd", 12, 2, 10, shape, 0.1, 0.0), 12)


def test_power_with_exponent_zero_is_constant() -> None:
    assert shares_rates(
        Schedule("power", 12, 3, 4, "linear", 0.0, 0.0), replace(WSD, total_steps=12, warmup_steps=3), 9
    )


def test_multiplier_keeps_the_shape_of_the_steps() -> None:
    grid = multiplier(WSD, np.arange(10, dtype=np.uint8).reshape(2, 5))
    assert grid.shape == (2, 5)
    assert grid.tobytes() == multiplier(WSD, np.arange(10)).tobytes()
    assert multiplier(WSD, np.arange(0)).shape == (0,)


@pytest.mark.parametrize("steps", [11, -1, np.array([0, 11]), np.array([-1, 3])])
def test_multiplier_rejects_steps_outside_the_schedule(steps: int | np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"are outside the schedule's 0\.\.10"):
        multiplier(WSD, steps)


def test_multiplier_rejects_steps_that_are_not_integers() -> None:
    with pytest.raises(ValueError, match="must be integers"):
        multiplier(WSD, np.array([0.5]))


def test_shares_rates_needs_steps_of_both_schedules() -> None:
    assert shares_rates(WSD, WSD, 0)
    with pytest.raises(ValueError, match="are outside the schedule's"):
        shares_rates(WSD, replace(WSD, total_steps=20), 12)
    with pytest.raises(ValueError, match="negative"):
        shares_rates(WSD, WSD, -1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": "triangle"}, "shape 'triangle' is unknown"),
        ({"decay_shape": "sqrt"}, "decay shape 'sqrt' is unknown"),
        ({"total_steps": 0, "warmup_steps": 0, "decay_steps": 0}, "total_steps is 0"),
        ({"total_steps": 10.0}, "total_steps is 10.0"),
        ({"warmup_steps": True}, "warmup_steps is True"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"decay_steps": -1}, "decay_steps is -1"),
        ({"warmup_steps": 7}, "exceed the 10 steps"),
        ({"shape": "constant"}, "takes no decay_steps"),
        ({"shape": "cosine", "decay_steps": 0, "warmup_steps": 10}, "leaves a cosine schedule no steps"),
        ({"final_fraction": -0.1}, "final_fraction is -0.1"),
        ({"final_fraction": 1.1}, "final_fraction is 1.1"),
        ({"final_fraction": math.nan}, "final_fraction is nan"),
        ({"power_exponent": -0.5}, "power_exponent is -0.5"),
        ({"power_exponent": math.inf}, "power_exponent is inf"),
        ({"decay_shape": "exponential"}, "never reaches 0"),
        ({"decay_shape": "step"}, "after a step to rate 0 nothing is trained"),
        ({"knots": ((1.0, 0.0),)}, "no other shape has them"),
        (PIECEWISE, "needs knots"),
        ({**PIECEWISE, "knots": ((0.5, 0.5),)}, "knots end at 0.5"),
        ({**PIECEWISE, "knots": ((0.5, 0.5), (0.5, 0.4), (1, 0))}, "knot 0.5:0.4: shares .* must ascend"),
        ({**PIECEWISE, "knots": ((0.5, 0.0), (1, 0))}, "knot 0.5:0: the multiplier must be"),
        ({**PIECEWISE, "knots": ((0.5, math.nan), (1, 0))}, "knot 0.5:nan: the multiplier must be"),
        ({**PIECEWISE, "knots": ((0.5, 1.5), (1, 0))}, "knot 0.5:1.5: the multiplier must be"),
        ({**PIECEWISE, "knots": ((1.0, 0.0),), "warmup_steps": 10}, "leaves a piecewise schedule no steps"),
    ],
)
def test_invalid_schedule_is_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        replace(WSD, **change)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
