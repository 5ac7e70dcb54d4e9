"""Rows of a training curve: their steps, their means, and divergence."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.train.training_curve import EXPLOSION_FACTOR, EXPLOSION_STEPS, TrainingCurve

RATES_S = np.linspace(1, 2, 200, dtype=np.float32)


def curve(every_steps: int = 4) -> TrainingCurve:
    return TrainingCurve(every_steps, tokens_per_step=8, vocabulary_size=256, rates_S=RATES_S)


def values(*losses: float) -> np.ndarray:
    return np.array([(loss, 1.0) for loss in losses], np.float32)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(1, 6))
def test_rows_do_not_depend_on_how_steps_arrive(parts: list[int], every_steps: int) -> None:
    losses = np.random.default_rng(0).uniform(1, 3, sum(parts)).astype(np.float32)
    whole, piecewise = curve(every_steps), curve(every_steps)
    expected = whole.extend(values(*losses)) + whole.incomplete_row()
    rows, start = [], 0
    for part in parts:
        rows += piecewise.extend(values(*losses[start : start + part]))
        start += part
    assert rows + piecewise.incomplete_row() == expected


def test_row_is_the_mean_of_its_steps() -> None:
    rows = curve().extend(values(1, 2, 3, 4, 5))
    assert [(row["step"], row["tokens"], row["loss"], row["rate"]) for row in rows] == [(4, 32, 2.5, float(RATES_S[3]))]


def test_incomplete_row_stays_pending() -> None:
    one = curve()
    one.extend(values(1, 2, 3, 4, 5, 7))
    assert [(row["step"], row["loss"]) for row in one.incomplete_row()] == [(6, 6.0)]
    assert len(one.pending_S2) == 2
    assert one.extend(values(9, 11))[0]["loss"] == 8.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nonfinite_loss_ends_the_curve(bad: float) -> None:
    one = curve()
    rows = one.extend(values(1, 2, bad, 4, 5, 6, 7, 8))
    assert one.diverged_at == 3
    assert [(row["step"], row["loss"]) for row in rows] == [(3, None)]
    assert one.extend(values(1, 1, 1, 1)) == []


def test_nonfinite_gradient_ends_the_curve() -> None:
    one = curve()
    one.extend(np.array([(1.0, 1.0), (1.0, math.nan)], np.float32))
    assert one.diverged_at == 2


def test_exploded_mean_ends_the_curve_and_a_spike_does_not() -> None:
    ceiling = EXPLOSION_FACTOR * math.log(256)
    spiked, exploded = curve(), curve()
    spiked.extend(values(*[2] * 9, ceiling + 5))
    assert spiked.diverged_at is None
    exploded.extend(values(*[ceiling + 0.1] * EXPLOSION_STEPS))
    assert exploded.diverged_at == EXPLOSION_STEPS


@pytest.mark.parametrize("every_steps", [1, 3, 10, 60])
def test_divergence_does_not_depend_on_the_logging_interval(every_steps: int) -> None:
    losses = [2.0] * 13 + [2 * EXPLOSION_FACTOR * math.log(256)] * 20
    whole, resumed = curve(every_steps), curve(every_steps)
    whole.extend(values(*losses))
    resumed.extend(values(*losses[:15]))
    again = replace(curve(every_steps), step=15, pending_S2=resumed.pending_S2, recent_S=resumed.recent_S)
    again.extend(values(*losses[15:]))
    assert whole.diverged_at == again.diverged_at == 20
