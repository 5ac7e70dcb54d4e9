"""The best schedule of a few jumps. A law may pay for jumps (under the multi-power law a drop is felt the faster the
lower the rate that it arrives at), and then the best schedule is not near any smooth one: a search that begins at those
does not find it.

Legend: K knots; a jump is its place, a share of the updates after the warm-up, and the multiplier that it arrives at.
"""

from collections.abc import Callable

import numpy as np

from windtunnel.analysis.curves.optimal_schedule.knots import DIGITS, UNIT
from windtunnel.analysis.laws.law import Array

Jumps = tuple[tuple[float, float], ...]

MOST_JUMPS = 3
PLACES = 1 - np.geomspace(0.8, 0.005, 24)
ARRIVALS = (0.0, 0.03, 0.1, 0.2, 0.4, 0.7)
WIDTHS = 0.1 * 0.4 ** np.arange(7)  # of the moves of a place and of an arrival
MOVES = np.linspace(-1, 1, 9)
WORTH = 1e-6  # of the loss: a further jump must gain this


def best_staircase(loss_of: Callable[[Array, Array], float], least: float) -> Jumps:
    """Jumps added one by one, each where it gains most and all of them moved then; `loss_of` takes shares and
    multipliers of knots.
    """

    def loss(jumps: Jumps) -> float:
        return loss_of(*knots_of(jumps, 0))

    found: Jumps = ()
    lowest = loss_of(np.array([1.0]), np.array([1.0]))
    for _ in range(MOST_JUMPS):
        grown = [
            tuple(sorted((*found, (float(place), max(arrival, least))))) for place in PLACES for arrival in ARRIVALS
        ]
        falling = [each for each in grown if _falls(each, least)]
        moved = _moved(min(falling, key=loss), loss, least) if falling else found
        if not falling or loss(moved) > lowest * (1 - WORTH):
            break
        found, lowest = moved, loss(moved)
    return found


def knots_of(jumps: Jumps, num_knots: int) -> tuple[Array, Array]:
    """Jumps at places to four digits: two knots for each, the last, and as many more, of no effect, as make up the
    number: between the first jump and the end, where multipliers are then found for them.
    """
    jumps = tuple((round(place, DIGITS), arrival) for place, arrival in jumps)
    share = np.array([each for place, _ in jumps for each in (place, place + UNIT)])
    further = num_knots - len(share) - 1
    if further > 0 and jumps:
        between = jumps[0][0] + (1 - jumps[0][0]) * np.arange(1, further + 1) / (further + 1)
        clear = np.abs(between[:, None] - share).min(axis=1) > 2 * UNIT
        share = np.concatenate([share, between[clear]])
    share_K = np.append(np.sort(share), 1.0)
    places, arrivals = np.array([(0.0, 1.0), *jumps]).T
    passed_K = np.searchsorted(places + UNIT / 2, share_K, side="right") - 1
    return share_K, arrivals[np.maximum(passed_K, 0)]


def _moved(jumps: Jumps, loss: Callable[[Jumps], float], least: float) -> Jumps:
    """Places and arrivals moved in turn, by ever less."""
    lowest = loss(jumps)
    for width in WIDTHS:
        for number in range(len(jumps)):
            for of_place in (True, False):
                place, arrival = jumps[number]
                for move in (MOVES * width).tolist():
                    other = (place + move, arrival) if of_place else (place, max(arrival + move, least))
                    candidate = (*jumps[:number], other, *jumps[number + 1 :])
                    if _falls(candidate, least) and (new := loss(candidate)) < lowest:
                        jumps, lowest = candidate, new
    return jumps


def _falls(jumps: Jumps, least: float) -> bool:
    """Whether every jump is after the one before, within the run, and to less."""
    before, level = 0.0, 1.0
    for place, arrival in jumps:
        if place < before + 3 * UNIT or place > 1 - 3 * UNIT or not least <= arrival < level:
            return False
        before, level = place, arrival
    return True
