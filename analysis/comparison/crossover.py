"""What two arms' curves of loss against compute say at and around a target: who is better, by how much compute, and
where they cross.

Legend: R replicates, K parameters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.analysis.compute_optimal.frontier import QUICK, frontier
from windtunnel.analysis.compute_optimal.optimum import log_budget_for
from windtunnel.analysis.laws.law import Array, Law

LEVEL = 0.9
Interval = tuple[float, float]
# Crossings are looked for from the smallest budget of the data to this many times the target, at this spacing.
BEYOND_TARGET = 1e3
SPACING = 0.3
LARGEST_MULTIPLIER = 1e6
# Losses this near, in nats per token, are equal: what is left of two equal arms is rounding, and no win.
EQUAL = 1e-9


@dataclass(frozen=True)
class Curves:
    """Parameters of both arms: the fitted ones (1, K) and every replicate's (R, K)."""

    law: Law
    fitted: tuple[Array, Array]
    replicates: tuple[Array, Array]
    fixed: Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """One reading of a contrast. compute_multiplier: how many times the target's compute B needs to have A's loss there
    (above 1: A is ahead); infinite where B never has it. crossover: the compute at which the curves cross, None where
    they do not up to 1000 times the target. Probabilities are shares of the bootstrap.
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
        if abs(self.difference) <= EQUAL:
            return "neither"
        return "A" if self.difference < 0 else "B"


def judge(curves: Curves, floor: str, flops: float, smallest: float, largest: float) -> Verdict:
    """The verdict at a budget of `flops`; `smallest` and `largest` are the budgets of the data that both arms have."""
    log_C, law = math.log(flops), curves.law
    loss_1 = [float(frontier(law, rows, log_C, curves.fixed).loss[0]) for rows in curves.fitted]
    loss_R = [frontier(law, rows, log_C, curves.fixed, zooms=QUICK).loss for rows in curves.replicates]
    data_R = [frontier(law, rows, math.log(largest), curves.fixed, zooms=QUICK).loss for rows in curves.replicates]
    crossing = float(_crossing(curves, curves.fitted, flops, smallest)[0])
    crossing_R = _crossing(curves, curves.replicates, flops, smallest)
    multiplier_R = _multiplier(curves, curves.replicates, loss_R[0], log_C)
    return Verdict(
        floor=floor,
        loss_a=loss_1[0],
        loss_b=loss_1[1],
        loss_a_interval_90=interval(loss_R[0]),
        loss_b_interval_90=interval(loss_R[1]),
        difference=loss_1[0] - loss_1[1],
        difference_interval_90=interval(loss_R[0] - loss_R[1]),
        probability_a_better=_better(*loss_R),
        probability_a_better_at_data=_better(*data_R),
        compute_multiplier=float(_multiplier(curves, curves.fitted, np.array([loss_1[0]]), log_C)[0]),
        compute_multiplier_interval_90=interval(multiplier_R),
        crossover=crossing if math.isfinite(crossing) else None,
        crossover_interval_90=interval(crossing_R) if np.mean(np.isfinite(crossing_R)) >= 0.5 else None,
        probability_of_crossing_before_target=share(crossing_R <= flops),
        probability_of_crossing_within_10x=share((crossing_R > largest) & (crossing_R <= 10 * largest)),
    )


def share(holds_R: Any) -> float:
    """The share of replicates, never quite 0 or 1: their number bounds what they can say."""
    return float((np.sum(holds_R) + 0.5) / (len(holds_R) + 1.0))


def _better(one_R: Array, other_R: Array) -> float:
    """The share of replicates in which the first has the lower loss; of equal ones half."""
    return share(0.5 * ((one_R < other_R - EQUAL) + 1.0 * (one_R <= other_R + EQUAL)))


def interval(values_R: Array, level: float = LEVEL) -> Interval:
    """The central interval of the replicates; infinite ones are in order like any other."""
    ends = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2], method="closest_observation")
    return float(ends[0]), float(ends[1])


def _multiplier(curves: Curves, rows: tuple[Array, Array], loss_A_R: Array, log_C: float) -> Array:
    zooms = QUICK if len(loss_A_R) > 1 else 2 * QUICK
    reach = math.log(LARGEST_MULTIPLIER)
    found_R = log_budget_for(curves.law, rows[1], loss_A_R, log_C, curves.fixed, reach=reach, zooms=zooms)
    return np.exp(found_R - log_C)


def _crossing(curves: Curves, rows: tuple[Array, Array], flops: float, smallest: float) -> Array:
    """The first compute above `smallest` at which the better arm changes, infinite where none does: (R,)."""
    low, high = math.log(min(smallest, flops)), math.log(flops * BEYOND_TARGET)
    grid_G = np.linspace(low, high, max(3, math.ceil((high - low) / SPACING) + 1))

    def gap(log_C: Array | float) -> Array:
        one_R, other_R = (frontier(curves.law, arm, log_C, curves.fixed, zooms=QUICK).loss for arm in rows)
        return one_R - other_R

    ahead_GR = np.stack([gap(float(log_C)) < -EQUAL for log_C in grid_G])
    change_GR = ahead_GR[1:] != ahead_GR[:-1]
    crosses_R = change_GR.any(axis=0)
    first_R = np.argmax(change_GR, axis=0)
    low_R, high_R = grid_G[first_R], grid_G[np.minimum(first_R + 1, len(grid_G) - 1)]
    ahead_R = ahead_GR[first_R, np.arange(len(first_R))]
    for _ in range(40):
        middle_R = 0.5 * (low_R + high_R)
        still_R = (gap(middle_R) < -EQUAL) == ahead_R
        low_R, high_R = np.where(still_R, middle_R, low_R), np.where(still_R, high_R, middle_R)
    return np.where(crosses_R, np.exp(0.5 * (low_R + high_R)), np.inf)
