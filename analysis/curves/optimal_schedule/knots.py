"""Knots of a piecewise linear schedule: where to place them, which updates represent them, and how they are written.

A knot is a fraction of the updates after the warm-up ("share") and the multiplier of the peak there.

Legend: K knots.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array
from windtunnel.train.schedules import Schedule, multiplier

DIGITS = 4  # decimal places of shares and multipliers
RESOLUTION = 10.0**-DIGITS
GRADING = 2.0  # graded knots are at 1 - (1 - i/K)^GRADING: denser toward the end
GRADED_WEIGHT = 0.35  # weight of the graded placement in an adaptive one
INSPECTED_SHARES = 1024  # at which a schedule is evaluated to place knots


def graded_shares(num_knots: int) -> Array:
    """Shares that are denser toward the end; the last is 1."""
    return np.asarray(1 - (1 - np.arange(1, num_knots + 1) / num_knots) ** GRADING)


def knots_of_schedule(schedule: Schedule, num_knots: int) -> tuple[Array, Array]:
    """Knots where a schedule falls: shares and multipliers, (K,) each."""
    share_K = np.linspace(0, 1, INSPECTED_SHARES + 1)[1:]
    placed_K = adaptive_shares(share_K, multiplier(schedule, _nearest_updates(schedule, share_K)), num_knots)
    return placed_K, multiplier(schedule, _nearest_updates(schedule, placed_K))


def adaptive_shares(share_K: Array, multiplier_K: Array, num_knots: int) -> Array:
    """Shares of `num_knots` knots, most of them where the schedule falls, each with an equal part of the fall."""
    edge, value = np.array([0.0, *share_K]), np.array([1.0, *multiplier_K])
    fall = 1 - value[-1]
    graded = 1 - (1 - edge) ** (1 / GRADING)
    density = graded if fall <= 0 else GRADED_WEIGHT * graded + (1 - GRADED_WEIGHT) * (1 - value) / fall
    placed_K = np.interp(np.arange(1, num_knots + 1) / num_knots, density / density[-1], edge)
    placed_K[-1] = 1.0
    distance = 2 * RESOLUTION  # so that no two knots are written alike
    for index in range(num_knots - 2, -1, -1):
        placed_K[index] = min(placed_K[index], placed_K[index + 1] - distance)
    return np.asarray(np.maximum(placed_K, distance * np.arange(1, num_knots + 1)))


def linear_updates(total_steps: int, warmup_steps: int, share_K: Array) -> Array:
    """Updates between which a schedule with these knots is exactly linear: those on both sides of each knot."""
    knot_K = warmup_steps + share_K * (total_steps - warmup_steps)
    updates = [0, warmup_steps, *np.floor(knot_K), *np.ceil(knot_K)]
    return np.asarray(np.unique(np.minimum(updates, total_steps - 1)), dtype=np.float64)


def rounded_knots(share_K: Array, multiplier_K: Array) -> tuple[tuple[float, float], ...]:
    """Knots rounded to `DIGITS`, without those that change nothing."""
    rounded_K = np.round(np.clip(share_K, RESOLUTION, 1), DIGITS)
    last_K = np.append(np.diff(rounded_K) > 0, True)  # of knots that round to one share, the last
    shares, multipliers = rounded_K[last_K].tolist(), np.round(multiplier_K[last_K], DIGITS).tolist()
    knots = list(zip(shares, multipliers, strict=True))
    kept: list[tuple[float, float]] = [(0.0, 1.0)]
    for index, (share, value) in enumerate(knots[:-1]):
        (left, left_value), (right, right_value) = kept[-1], knots[index + 1]
        line = left_value + (right_value - left_value) * (share - left) / (right - left)
        if abs(line - value) > 0.5 * RESOLUTION:
            kept.append((share, value))
    return (*kept[1:], knots[-1])


def format_knots(knots: Sequence[tuple[float, float]]) -> str:
    """Knots as the setting `schedule.knots`."""
    return " ".join(f"{share:.{DIGITS}g}:{value:.{DIGITS}g}" for share, value in knots)


def _nearest_updates(schedule: Schedule, share_K: Array) -> NDArray[np.int64]:
    length = schedule.total_steps - schedule.warmup_steps
    return np.asarray((schedule.warmup_steps + share_K * length).round(), dtype=np.int64)
