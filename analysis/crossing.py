"""What two arms' curves of loss against compute say at and around a target: who is better, by how much compute, and
where they cross.

Legend: R replicates, K parameters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.contrast_profile import Gap, Profile
from analysis.frontier import QUICK, frontier
from analysis.law import Array, Law
from analysis.optimum import log_budget_for

LEVEL = 0.9
Interval = tuple[float, float]
# Crossings are looked for from the smallest budget of the data to this many times the target, at this spacing.
BEYOND_TARGET = 1e3
SPACING = 0.3
LARGEST_MULTIPLIER = 1e6
MULTIPLIERS = 41  # tried where the fitted one is out of reach
SURE = 1e-4  # no probability is nearer to 0 or 1


@dataclass(frozen=True)
class Curves:
    """Parameters of both arms: the fitted ones (1, K) and every replicate's (R, K). profile: what the points say of
    them, None where they have no noise. degrees: of freedom, of the noise of A, of B and of both together.
    """

    law: Law
    fitted: tuple[Array, Array]
    replicates: tuple[Array, Array]
    fixed: Mapping[str, float]
    profile: Profile | None
    degrees: tuple[float, float, float]


@dataclass(frozen=True)
class Verdict:
    """One reading of a contrast. compute_multiplier: how many times the target's compute B needs to have A's loss there
    (above 1: A is ahead); infinite where B never has it. crossover: the compute at which the curves cross, None where
    they do not up to 1000 times the target. What is said of a crossing is shares and percentiles of the bootstrap, all
    else is by profile likelihood.
    """

    floor: str  # "untied" or "tied"
    loss_a: float
    loss_b: float
    loss_a_interval_90: Interval
    loss_b_interval_90: Interval
    difference: float  # loss of A - loss of B
    difference_interval_90: Interval
    probability_a_better: float
    probability_a_better_at_data: float  # at the largest compute that both arms have
    compute_multiplier: float
    compute_multiplier_interval_90: Interval
    crossover: float | None
    crossover_interval_90: Interval | None  # None where most replicates do not cross
    probability_of_crossing_before_target: float
    probability_of_crossing_within_10x: float  # between the largest compute of the data and ten times it

    @property
    def winner(self) -> str:
        return "A" if self.loss_a < self.loss_b else "B"


def judge(curves: Curves, floor: str, flops: float, smallest: float, largest: float) -> Verdict:
    """The verdict at a budget of `flops`; `smallest` and `largest` are the budgets of the data that both arms have."""
    log_C = math.log(flops)
    loss_a, loss_b = (float(frontier(curves.law, rows, log_C, curves.fixed).loss[0]) for rows in curves.fitted)
    crossing = float(_crossing(curves, curves.fitted, flops, smallest)[0])
    crossing_R = _crossing(curves, curves.replicates, flops, smallest)
    log_multiplier = _log_multiplier(curves, loss_a, log_C)
    of_A, of_B, both = curves.degrees

    def loss(arm: int, log_budget: Array | float, natural: tuple[Array, Array]) -> Array:
        return frontier(curves.law, natural[arm], log_budget, curves.fixed, zooms=QUICK).loss

    def loss_a_gap(first: Array, second: Array, value: Array) -> Array:
        return loss(0, log_C, (first, second)) - value

    def loss_b_gap(first: Array, second: Array, value: Array) -> Array:
        return loss(1, log_C, (first, second)) - value

    def difference_gap(first: Array, second: Array, value: Array) -> Array:
        return loss(0, log_C, (first, second)) - loss(1, log_C, (first, second)) - value

    def data_gap(first: Array, second: Array, value: Array) -> Array:
        return loss(0, math.log(largest), (first, second)) - loss(1, math.log(largest), (first, second)) - value

    def multiplier_gap(first: Array, second: Array, value: Array) -> Array:
        return loss(0, log_C, (first, second)) - loss(1, log_C + value, (first, second))

    data_difference = float(data_gap(*curves.fitted, np.zeros(1))[0])
    return Verdict(
        floor=floor,
        loss_a=loss_a,
        loss_b=loss_b,
        loss_a_interval_90=_interval(curves, loss_a_gap, loss_a, of_A),
        loss_b_interval_90=_interval(curves, loss_b_gap, loss_b, of_B),
        difference=loss_a - loss_b,
        difference_interval_90=_interval(curves, difference_gap, loss_a - loss_b, both),
        probability_a_better=_probability(curves, difference_gap, loss_a - loss_b),
        probability_a_better_at_data=_probability(curves, data_gap, data_difference),
        compute_multiplier=math.exp(log_multiplier),
        compute_multiplier_interval_90=_multiplier_interval(curves, multiplier_gap, log_multiplier),
        crossover=crossing if math.isfinite(crossing) else None,
        crossover_interval_90=interval(crossing_R) if np.mean(np.isfinite(crossing_R)) >= 0.5 else None,
        probability_of_crossing_before_target=share(crossing_R <= flops),
        probability_of_crossing_within_10x=share((crossing_R > largest) & (crossing_R <= 10 * largest)),
    )


def _interval(curves: Curves, gap: Gap, value: float, degrees: float) -> Interval:
    """The interval of a quantity, stretched to hold the fitted value."""
    if curves.profile is None:
        return value, value
    low, high = curves.profile.interval(gap, value, degrees, LEVEL)
    return min(low, value), max(high, value)


def _probability(curves: Curves, gap: Gap, value: float) -> float:
    """The confidence that the quantity is below 0: never quite 0 or 1."""
    if curves.profile is None:
        return float(np.clip(value < 0, SURE, 1 - SURE)) if value else 0.5
    return float(np.clip(curves.profile.probability_below_zero(gap, value, curves.degrees[2]), SURE, 1 - SURE))


def _multiplier_interval(curves: Curves, gap: Gap, log_value: float) -> Interval:
    """Infinite ends where B never has the loss, or has it at any budget."""
    if curves.profile is None:
        return math.exp(log_value), math.exp(log_value)
    reach = math.log(LARGEST_MULTIPLIER)
    if math.isfinite(log_value):
        low, high = _interval(curves, gap, log_value, curves.degrees[2])
    else:
        value_S = np.linspace(-reach, reach, MULTIPLIERS)
        low, high = curves.profile.accepted(gap, value_S, log_value, curves.degrees[2], LEVEL)
    return 0.0 if low < -reach else math.exp(low), math.inf if high > reach else math.exp(high)


def share(holds_R: Any) -> float:
    """The share of replicates, never quite 0 or 1: their number bounds what they can say."""
    return float((np.sum(holds_R) + 0.5) / (len(holds_R) + 1.0))


def interval(values_R: Array, level: float = LEVEL) -> Interval:
    """The central interval of the replicates; infinite ones are in order like any other."""
    ends = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2], method="closest_observation")
    return float(ends[0]), float(ends[1])


def _log_multiplier(curves: Curves, loss_a: float, log_C: float) -> float:
    reach = math.log(LARGEST_MULTIPLIER)
    found_R = log_budget_for(curves.law, curves.fitted[1], loss_a, log_C, curves.fixed, reach=reach)
    return float(found_R[0]) - log_C


def _crossing(curves: Curves, rows: tuple[Array, Array], flops: float, smallest: float) -> Array:
    """The first compute above `smallest` at which the better arm changes, infinite where none does: (R,)."""
    low, high = math.log(min(smallest, flops)), math.log(flops * BEYOND_TARGET)
    grid_G = np.linspace(low, high, max(3, math.ceil((high - low) / SPACING) + 1))

    def gap(log_C: Array | float) -> Array:
        one_R, other_R = (frontier(curves.law, arm, log_C, curves.fixed, zooms=QUICK).loss for arm in rows)
        return one_R - other_R

    ahead_GR = np.stack([gap(float(log_C)) < 0 for log_C in grid_G])
    change_GR = ahead_GR[1:] != ahead_GR[:-1]
    crosses_R = change_GR.any(axis=0)
    first_R = np.argmax(change_GR, axis=0)
    low_R, high_R = grid_G[first_R], grid_G[np.minimum(first_R + 1, len(grid_G) - 1)]
    ahead_R = ahead_GR[first_R, np.arange(len(first_R))]
    for _ in range(40):
        middle_R = 0.5 * (low_R + high_R)
        still_R = (gap(middle_R) < 0) == ahead_R
        low_R, high_R = np.where(still_R, middle_R, low_R), np.where(still_R, high_R, middle_R)
    return np.where(crosses_R, np.exp(0.5 * (low_R + high_R)), np.inf)
