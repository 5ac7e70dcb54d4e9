"""Lines of a training curve: where they stand, what they average, how they end."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.train.training_curve import EXPLOSION_FACTOR, EXPLOSION_STEPS, Curve

RATES_S = np.linspace(1, 2, 200, dtype=np.float32)


def curve(every_steps: int = 4) -> Curve:
    return Curve(every_steps, tokens_per_step=8, vocabulary_size=256, rates_S=RATES_S)


def values(*losses: float) -> np.ndarray:
    return np.array([(loss, 1.0) for loss in losses], np.float32)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(1, 6))
def test_lines_do_not_depend_on_how_steps_arrive(parts: list[int], every_steps: int) -> None:
    losses = np.random.default_rng(0).uniform(1, 3, sum(parts)).astype(np.float32)
    whole, piecewise = curve(every_steps), curve(every_steps)
    expected = whole.absorb(values(*losses)) + whole.close()
    rows, start = [], 0
    for part in parts:
        rows += piecewise.absorb(values(*losses[start : start + part]))
        start += part
    assert rows + piecewise.close() == expected


def test_a_line_is_the_mean_of_its_steps() -> None:
    rows = curve().absorb(values(1, 2, 3, 4, 5))
    assert [(row["step"], row["tokens"], row["loss"], row["rate"]) for row in rows] == [(4, 32, 2.5, float(RATES_S[3]))]


def test_the_last_line_may_be_short_and_stays_pending() -> None:
    one = curve()
    one.absorb(values(1, 2, 3, 4, 5, 7))
    assert [(row["step"], row["loss"]) for row in one.close()] == [(6, 6.0)]
    assert len(one.pending_S2) == 2
    assert one.absorb(values(9, 11))[0]["loss"] == 8.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_curve_at_its_step(bad: float) -> None:
    one = curve()
    rows = one.absorb(values(1, 2, bad, 4, 5, 6, 7, 8))
    assert one.diverged_at == 3
    assert [(row["step"], row["loss"]) for row in rows] == [(3, None)]
    assert one.absorb(values(1, 1, 1, 1)) == []


def test_a_gradient_that_is_not_finite_ends_it_too() -> None:
    one = curve()
    one.absorb(np.array([(1.0, 1.0), (1.0, math.nan)], np.float32))
    assert one.diverged_at == 2


def test_an_exploded_mean_ends_it_and_one_spike_does_not() -> None:
    ceiling = EXPLOSION_FACTOR * math.log(256)
    spiked, exploded = curve(), curve()
    spiked.absorb(values(*[2] * 9, ceiling + 5))
    assert spiked.diverged_at is None
    exploded.absorb(values(*[ceiling + 0.1] * EXPLOSION_STEPS))
    assert exploded.diverged_at == EXPLOSION_STEPS


@pytest.mark.parametrize("every_steps", [1, 3, 10, 60])
def test_the_interval_of_logging_does_not_decide_divergence(every_steps: int) -> None:
    losses = [2.0] * 13 + [2 * EXPLOSION_FACTOR * math.log(256)] * 20
    whole, resumed = curve(every_steps), curve(every_steps)
    whole.absorb(values(*losses))
    resumed.absorb(values(*losses[:15]))
    again = replace(curve(every_steps), step=15, pending_S2=resumed.pending_S2, recent_S=resumed.recent_S)
    again.absorb(values(*losses[15:]))
    assert whole.diverged_at == again.diverged_at == 20
