"""Where a best schedule lies at the edge of what schedules can be: there a law says more than curves have shown it.

Legend: P places along a schedule.
"""

import numpy as np

from analysis.law import Array
from train.schedules import Schedule, multiplier

PLACES = 2000
HELD, HELD_LONG = 0.99, 0.98  # of the peak; of the updates after the warm-up
JUMP, JUMP_WITHIN = 0.3, 0.01  # of the peak; of the updates
AT_FLOOR = 0.02  # of the updates


def jumps(schedule: Schedule) -> bool:
    """Whether a large part of the peak is lost in a few updates."""
    value_P = _along(schedule)
    width = round(JUMP_WITHIN * PLACES)
    return bool(np.max(value_P[:-width] - value_P[width:]) > JUMP)


def cautions(schedule: Schedule, least: float) -> list[str]:
    """What is odd in it, each to follow "the best free schedule"; `least` is its lowest multiplier but for the last."""
    value_P = _along(schedule)
    held = float(np.mean(value_P >= HELD))
    at_floor = float(np.mean(value_P <= 1.5 * least))
    told = []
    if held >= HELD_LONG:
        told.append(f"holds its peak for {held:.1%} of the updates after the warm-up: the law sees little in a decay")
    if jumps(schedule):
        told.append("falls all but at once: a jump, which a law that was fitted to other schedules may misjudge")
    if at_floor >= AT_FLOOR and held < HELD_LONG:
        told.append(
            f"is at its floor for {at_floor:.1%} of the updates after the warm-up: the law would rather not train then"
        )
    return told


def _along(schedule: Schedule) -> Array:
    """Multipliers from the end of the warm-up to the end."""
    along = schedule.total_steps - schedule.warmup_steps
    step_P = (schedule.warmup_steps + np.linspace(0, along, PLACES)).astype(np.int64)
    return multiplier(schedule, step_P)
