"""The best step schedule: a few jumps. A law may favor jumps (under the multi-power law the response to a drop is
faster the lower the rate that it arrives at); its best schedule is then far from any smooth one, and a search from
smooth schedules does not find it.

Legend: K knots. A jump is a fraction of the updates after the warm-up ("share") and the multiplier after it.
"""

from collections.abc import Callable

import numpy as np

from windtunnel.analysis.curves.optimal_schedule.knots import DIGITS, RESOLUTION
from windtunnel.analysis.laws.law import Array

Jumps = tuple[tuple[float, float], ...]

MAX_JUMPS = 3
SHARES = 1 - np.geomspace(0.8, 0.005, 24)  # candidates for a new jump
MULTIPLIERS = (0.0, 0.03, 0.1, 0.2, 0.4, 0.7)
MOVE_WIDTHS = 0.1 * 0.4 ** np.arange(7)  # of a share or a multiplier, in successive rounds
MOVES = np.linspace(-1, 1, 9)
MIN_GAIN = 1e-6  # of the loss, by a further jump
MIN_DISTANCE = 3 * RESOLUTION  # between jumps


def optimize_step_schedule(loss_of: Callable[[Array, Array], float], min_multiplier: float) -> Jumps:
    """Jumps added one by one where they gain most, all of them adjusted after each; `loss_of` takes the shares and
    multipliers of knots.
    """

    def loss(jumps: Jumps) -> float:
        return loss_of(*step_knots(jumps, 0))

    best: Jumps = ()
    lowest = loss_of(np.array([1.0]), np.array([1.0]))
    for _ in range(MAX_JUMPS):
        candidates = [
            tuple(sorted((*best, (float(share), max(value, min_multiplier)))))
            for share in SHARES
            for value in MULTIPLIERS
        ]
        allowed = [jumps for jumps in candidates if _is_allowed(jumps, min_multiplier)]
        if not allowed:
            break
        adjusted = _adjusted(min(allowed, key=loss), loss, min_multiplier)
        if loss(adjusted) > lowest * (1 - MIN_GAIN):
            break
        best, lowest = adjusted, loss(adjusted)
    return best


def step_knots(jumps: Jumps, num_knots: int) -> tuple[Array, Array]:
    """The knots of jumps at rounded shares: two for each jump, one at the end and, to make up `num_knots`, redundant
    knots between the first jump and the end, whose multipliers a search may change. Shares and multipliers, (K,) each.
    """
    jumps = tuple((round(share, DIGITS), value) for share, value in jumps)
    share = np.array([knot for place, _ in jumps for knot in (place, place + RESOLUTION)])
    num_extra = num_knots - len(share) - 1
    if num_extra > 0 and jumps:
        extra = jumps[0][0] + (1 - jumps[0][0]) * np.arange(1, num_extra + 1) / (num_extra + 1)
        is_clear = np.abs(extra[:, None] - share).min(axis=1) > 2 * RESOLUTION
        share = np.concatenate([share, extra[is_clear]])
    share_K = np.append(np.sort(share), 1.0)
    shares, values = np.array([(0.0, 1.0), *jumps]).T
    passed_K = np.searchsorted(shares + RESOLUTION / 2, share_K, side="right") - 1
    return share_K, values[np.maximum(passed_K, 0)]


def _adjusted(jumps: Jumps, loss: Callable[[Jumps], float], min_multiplier: float) -> Jumps:
    """Shares and multipliers moved in turn, by smaller and smaller steps."""
    lowest = loss(jumps)
    for width in MOVE_WIDTHS:
        for index in range(len(jumps)):
            for move_share in (True, False):
                share, value = jumps[index]
                for move in (MOVES * width).tolist():
                    moved = (share + move, value) if move_share else (share, max(value + move, min_multiplier))
                    candidate = (*jumps[:index], moved, *jumps[index + 1 :])
                    if _is_allowed(candidate, min_multiplier) and (new := loss(candidate)) < lowest:
                        jumps, lowest = candidate, new
    return jumps


def _is_allowed(jumps: Jumps, min_multiplier: float) -> bool:
    """Whether every jump follows the one before, lies within the run, and is a drop."""
    last_share, last_value = 0.0, 1.0
    for share, value in jumps:
        if share < last_share + MIN_DISTANCE or share > 1 - MIN_DISTANCE or not min_multiplier <= value < last_value:
            return False
        last_share, last_value = share, value
    return True
