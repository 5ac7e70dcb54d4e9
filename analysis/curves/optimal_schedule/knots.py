"""Knots of a piecewise schedule: where to place them, which updates they are seen in, and how they are written.

A knot is a share of the updates after the warm-up and a multiplier of the peak there. Legend: K knots, J updates.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array
from windtunnel.train.schedules import Schedule, multiplier

DIGITS = 4
UNIT = 10.0**-DIGITS
TOWARD_THE_END = 2.0  # even knots: 1 - (1 - share) to this power
EVEN = 0.35  # of the knots that follow a schedule: those that do not follow its drops
SEEN = 1024  # places at which a schedule is followed


def even_shares(num_knots: int) -> Array:
    """Finer toward the end, the last at 1."""
    return np.asarray(1 - (1 - np.arange(1, num_knots + 1) / num_knots) ** TOWARD_THE_END)


def shares_along(schedule: Schedule, num_knots: int) -> tuple[Array, Array]:
    """Knots where a schedule falls, and its multipliers there."""
    share_K = np.linspace(0, 1, SEEN + 1)[1:]
    placed_K = following(share_K, multiplier(schedule, _nearest_updates(schedule, share_K)), num_knots)
    return placed_K, multiplier(schedule, _nearest_updates(schedule, placed_K))


def following(share_K: Array, value_K: Array, num_knots: int) -> Array:
    """Shares for so many knots, most of them where the schedule falls, each with an equal part of the fall."""
    edge, value = np.array([0.0, *share_K]), np.array([1.0, *value_K])
    fallen = 1 - value[-1]
    even = 1 - (1 - edge) ** (1 / TOWARD_THE_END)
    passed = even if fallen <= 0 else EVEN * even + (1 - EVEN) * (1 - value) / fallen
    placed_K = np.interp(np.arange(1, num_knots + 1) / num_knots, passed / passed[-1], edge)
    placed_K[-1] = 1.0
    apart = 2 * UNIT  # so that no two are written alike
    for place in range(num_knots - 2, -1, -1):
        placed_K[place] = min(placed_K[place], placed_K[place + 1] - apart)
    return np.asarray(np.maximum(placed_K, apart * np.arange(1, num_knots + 1)))


def linear_updates(total_steps: int, warmup_steps: int, share_K: Array) -> Array:
    """Updates between which a schedule with these knots is exactly linear: those on both sides of each knot."""
    kink_K = warmup_steps + share_K * (total_steps - warmup_steps)
    beside = [0, warmup_steps, *np.floor(kink_K), *np.ceil(kink_K)]
    return np.asarray(np.unique(np.minimum(beside, total_steps - 1)), dtype=np.float64)


def written(share_K: Array, value_K: Array) -> tuple[tuple[float, float], ...]:
    """Knots to four digits, without those that change nothing."""
    rounded_K = np.round(np.clip(share_K, UNIT, 1), DIGITS)
    ahead_K = np.append(np.diff(rounded_K) > 0, True)  # of knots that round to one place, the last
    knots = list(zip(rounded_K[ahead_K].tolist(), np.round(value_K[ahead_K], DIGITS).tolist(), strict=True))
    kept: list[tuple[float, float]] = [(0.0, 1.0)]
    for place, (share, value) in enumerate(knots[:-1]):
        (before, high), (after, low) = kept[-1], knots[place + 1]
        line = high + (low - high) * (share - before) / (after - before)
        if abs(line - value) > 0.5 * UNIT:
            kept.append((share, value))
    return (*kept[1:], knots[-1])


def knots_text(knots: Sequence[tuple[float, float]]) -> str:
    """As `schedule.knots` takes them."""
    return " ".join(f"{share:.{DIGITS}g}:{value:.{DIGITS}g}" for share, value in knots)


def _nearest_updates(schedule: Schedule, share_K: Array) -> NDArray[np.int64]:
    along = schedule.total_steps - schedule.warmup_steps
    return np.asarray((schedule.warmup_steps + share_K * along).round(), dtype=np.int64)
