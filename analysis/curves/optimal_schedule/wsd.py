"""The best WSD of a horizon, under whatever says the final loss of a schedule: decay shape, and fraction to four
digits.

Legend: J updates between which the rate is linear.
"""

from typing import get_args

import numpy as np

from windtunnel.analysis.curves.optimal_schedule.knots import DIGITS, UNIT
from windtunnel.analysis.curves.optimal_schedule.search import FinalLoss, Optimum
from windtunnel.train.schedules import DecayShape, Schedule, multiplier

EXPONENTIAL_FINALS = (0.003, 0.01, 0.03, 0.1)  # an exponential decay ends above 0
# Fractions tried over the whole range, and then in each round beside the best.
FRACTIONS, BESIDE, ROUNDS = 33, 9, 5
DECAY_KNOTS = 160  # of a smooth decay, as the search sees it


def best_wsd(loss_of: FinalLoss, total_steps: int, warmup_steps: int, floor: float = 0.0) -> Optimum:
    """The best decay fraction of the best shape; decays end at the floor, an exponential one above 0."""
    found = []
    for shape in get_args(DecayShape):
        if shape == "step":
            continue  # a two-stage schedule, which tells a law of delays and is no decay
        ends = EXPONENTIAL_FINALS if shape == "exponential" else (floor,)
        for final in sorted({max(floor, end) for end in ends}):
            found.append(_best_fraction(loss_of, total_steps, warmup_steps, shape, final))
    return min(found, key=lambda each: each.loss)


def fraction_range(total_steps: int, warmup_steps: int) -> tuple[float, float]:
    """The shortest and the longest decay, as fractions of all updates."""
    return max(UNIT, 1 / total_steps), (total_steps - warmup_steps) / total_steps


def _best_fraction(loss_of: FinalLoss, total_steps: int, warmup_steps: int, shape: DecayShape, final: float) -> Optimum:
    """Over the whole range, then ever nearer to the best."""
    tried: dict[float, Optimum] = {}

    def attempt(low: float, high: float, number: int) -> None:
        for each in np.linspace(low, high, number).tolist():
            fraction = round(each, DIGITS)
            decay = round(fraction * total_steps)
            if fraction in tried or not 1 <= decay <= total_steps - warmup_steps or fraction >= 1:
                continue
            schedule = Schedule("wsd", total_steps, warmup_steps, decay, shape, final, 0.0)
            tried[fraction] = Optimum(schedule, _loss(loss_of, schedule), fraction)

    shortest, longest = fraction_range(total_steps, warmup_steps)
    attempt(shortest, longest, FRACTIONS)
    width = (longest - shortest) / (FRACTIONS - 1)
    for _ in range(ROUNDS):
        best = min(tried.values(), key=lambda each: each.loss).decay_fraction
        attempt(max(shortest, best - width), min(longest, best + width), BESIDE)
        width = max(width / (BESIDE // 2), UNIT)
    return min(tried.values(), key=lambda each: each.loss)


def _loss(loss_of: FinalLoss, schedule: Schedule) -> float:
    last = schedule.total_steps - 1
    # Knots denser where the decay begins: that of 1-sqrt is steep there.
    decay = schedule.decay_steps * np.linspace(0, 1, DECAY_KNOTS) ** 2
    step_J = np.minimum([0, schedule.warmup_steps, *(schedule.decay_start + decay)], last)
    step_J = np.unique([*step_J.round(), last])
    return loss_of(step_J, multiplier(schedule, step_J.astype(np.int64)))
