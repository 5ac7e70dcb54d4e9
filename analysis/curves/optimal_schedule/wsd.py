"""The best WSD schedule of a horizon under a function for the final loss: decay shape, and decay fraction to four
digits.

Legend: J updates between which the rate is linear.
"""

from typing import get_args

import numpy as np

from windtunnel.analysis.curves.optimal_schedule.knots import DIGITS, RESOLUTION
from windtunnel.analysis.curves.optimal_schedule.search import FinalLoss, OptimalSchedule
from windtunnel.train.schedules import DecayShape, Schedule, multiplier

EXPONENTIAL_FINALS = (0.003, 0.01, 0.03, 0.1)  # an exponential decay ends above 0
NUM_FRACTIONS = 33  # over the whole range
NUM_REFINED, NUM_ROUNDS = 9, 5  # fractions around the best, in each round
DECAY_KNOTS = 160  # of a smooth decay


def optimize_wsd(
    loss_of: FinalLoss, total_steps: int, warmup_steps: int, min_multiplier: float = 0.0
) -> OptimalSchedule:
    """The best fraction of the best decay shape. Decays end at `min_multiplier`; an exponential one ends above 0."""
    optima = []
    for shape in get_args(DecayShape):
        if shape == "step":
            continue  # a two-stage schedule, made to identify memories, is no decay
        ends = EXPONENTIAL_FINALS if shape == "exponential" else (min_multiplier,)
        for final in sorted({max(min_multiplier, end) for end in ends}):
            optima.append(_optimize_fraction(loss_of, total_steps, warmup_steps, shape, final))
    return min(optima, key=lambda optimum: optimum.loss)


def decay_fraction_range(total_steps: int, warmup_steps: int) -> tuple[float, float]:
    """The shortest and the longest decay, as fractions of all updates."""
    return max(RESOLUTION, 1 / total_steps), (total_steps - warmup_steps) / total_steps


def _optimize_fraction(
    loss_of: FinalLoss, total_steps: int, warmup_steps: int, shape: DecayShape, final: float
) -> OptimalSchedule:
    """Fractions over the whole range, then closer and closer to the best."""
    tried: dict[float, OptimalSchedule] = {}

    def try_range(low: float, high: float, number: int) -> None:
        for value in np.linspace(low, high, number).tolist():
            fraction = round(value, DIGITS)
            decay = round(fraction * total_steps)
            if fraction in tried or not 1 <= decay <= total_steps - warmup_steps or fraction >= 1:
                continue
            schedule = Schedule("wsd", total_steps, warmup_steps, decay, shape, final, 0.0)
            tried[fraction] = OptimalSchedule(schedule, _loss(loss_of, schedule), fraction)

    def best() -> OptimalSchedule:
        return min(tried.values(), key=lambda optimum: optimum.loss)

    shortest, longest = decay_fraction_range(total_steps, warmup_steps)
    try_range(shortest, longest, NUM_FRACTIONS)
    width = (longest - shortest) / (NUM_FRACTIONS - 1)
    for _ in range(NUM_ROUNDS):
        fraction = best().decay_fraction
        try_range(max(shortest, fraction - width), min(longest, fraction + width), NUM_REFINED)
        width = max(width / (NUM_REFINED // 2), RESOLUTION)
    return best()


def _loss(loss_of: FinalLoss, schedule: Schedule) -> float:
    last = schedule.total_steps - 1
    # Knots are denser at the start of the decay, where 1-sqrt is steep.
    decay = schedule.decay_steps * np.linspace(0, 1, DECAY_KNOTS) ** 2
    step_J = np.minimum([0, schedule.warmup_steps, *(schedule.decay_start + decay)], last)
    step_J = np.unique([*step_J.round(), last])
    return loss_of(step_J, multiplier(schedule, step_J.astype(np.int64)))
