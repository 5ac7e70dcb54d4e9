"""Comparison of two arms' loss-compute curves at a target: the better arm, the compute multiplier, the crossover.

Legend: R replicates, K parameters, G budgets.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from windtunnel.analysis.compute_optimal.frontier import QUICK_ZOOMS, frontier
from windtunnel.analysis.compute_optimal.optimum import log_budget_for_loss
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.predict import INTERVAL_LEVEL
from windtunnel.analysis.signed_json import Interval, NumberOrNull

# Crossovers are searched from the smallest budget of the data to this many times the target, on a grid in log C.
SEARCH_FACTOR = 1e3
SEARCH_SPACING = 0.3
MAX_MULTIPLIER = 1e6
# Losses closer than this, in nats per token, are equal up to rounding.
EQUAL_LOSS = 1e-9
IrreducibleLoss = Literal["separate", "shared"]


@dataclass(frozen=True)
class ArmCurves:
    """Parameters of both arms: the fitted ones (1, K) and those of every replicate (R, K)."""

    law: Law
    fitted: tuple[Array, Array]
    replicates: tuple[Array, Array]
    irreducible_loss: IrreducibleLoss
    at: Mapping[str, float]  # further columns of the law


@dataclass(frozen=True)
class Verdict:
    """The comparison of two arms at a target budget, with separate or shared irreducible losses.

    compute_multiplier: how many times the target's compute B needs to reach A's loss there (above 1: A is better);
    infinite where B never reaches it. crossover: the compute at which the curves cross; None where they do not cross up
    to 1000 times the target. Probabilities are shares of the bootstrap replicates.
    """

    irreducible_loss: IrreducibleLoss
    loss_a: NumberOrNull
    loss_b: NumberOrNull
    loss_a_interval_90: Interval
    loss_b_interval_90: Interval
    difference: NumberOrNull  # loss of A - loss of B
    difference_interval_90: Interval
    probability_a_better: float
    probability_a_better_at_data: float  # at the largest compute that both arms have
    compute_multiplier: NumberOrNull
    compute_multiplier_interval_90: Interval
    crossover: float | None
    crossover_interval_90: Interval | None  # None where most replicates do not cross
    probability_of_crossing_before_target: float
    probability_of_crossing_within_10x: float  # between the largest compute of the data and ten times it

    @property
    def winner(self) -> str:
        if abs(self.difference) <= EQUAL_LOSS:
            return "neither"
        return "A" if self.difference < 0 else "B"


def compare_curves(curves: ArmCurves, flops: float, smallest: float, largest: float) -> Verdict:
    """The verdict at a budget of `flops`; `smallest` and `largest` are the ends of the budgets that both arms have."""
    log_C, law = math.log(flops), curves.law
    loss_1 = [float(frontier(law, rows, log_C, curves.at).loss[0]) for rows in curves.fitted]
    loss_R = [frontier(law, rows, log_C, curves.at, zooms=QUICK_ZOOMS).loss for rows in curves.replicates]
    data_R = [frontier(law, rows, math.log(largest), curves.at, zooms=QUICK_ZOOMS).loss for rows in curves.replicates]
    crossover = float(_crossover(curves, curves.fitted, flops, smallest)[0])
    crossover_R = _crossover(curves, curves.replicates, flops, smallest)
    multiplier_R = _multiplier(curves, curves.replicates, loss_R[0], log_C)
    return Verdict(
        irreducible_loss=curves.irreducible_loss,
        loss_a=loss_1[0],
        loss_b=loss_1[1],
        loss_a_interval_90=central_interval(loss_R[0]),
        loss_b_interval_90=central_interval(loss_R[1]),
        difference=loss_1[0] - loss_1[1],
        difference_interval_90=central_interval(loss_R[0] - loss_R[1]),
        probability_a_better=_probability_better(*loss_R),
        probability_a_better_at_data=_probability_better(*data_R),
        compute_multiplier=float(_multiplier(curves, curves.fitted, np.array([loss_1[0]]), log_C)[0]),
        compute_multiplier_interval_90=central_interval(multiplier_R),
        crossover=crossover if math.isfinite(crossover) else None,
        crossover_interval_90=central_interval(crossover_R) if np.mean(np.isfinite(crossover_R)) >= 0.5 else None,
        probability_of_crossing_before_target=_probability(crossover_R <= flops),
        probability_of_crossing_within_10x=_probability((crossover_R > largest) & (crossover_R <= 10 * largest)),
    )


def central_interval(values_R: Array, level: float = INTERVAL_LEVEL) -> Interval:
    """The central interval of the replicates, which may be infinite."""
    ends = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2], method="closest_observation")
    return float(ends[0]), float(ends[1])


def _probability(event_R: Any) -> float:
    """The share of replicates, never 0 or 1: their number limits what they can show."""
    return float((np.sum(event_R) + 0.5) / (len(event_R) + 1.0))


def _probability_better(first_R: Array, second_R: Array) -> float:
    """The share of replicates in which the first loss is lower; ties count half."""
    return _probability(0.5 * ((first_R < second_R - EQUAL_LOSS) + 1.0 * (first_R <= second_R + EQUAL_LOSS)))


def _multiplier(curves: ArmCurves, rows: tuple[Array, Array], loss_A_R: Array, log_C: float) -> Array:
    zooms = QUICK_ZOOMS if len(loss_A_R) > 1 else 2 * QUICK_ZOOMS
    reach = math.log(MAX_MULTIPLIER)
    log_budget_R = log_budget_for_loss(curves.law, rows[1], loss_A_R, log_C, curves.at, reach=reach, zooms=zooms)
    return np.exp(log_budget_R - log_C)


def _crossover(curves: ArmCurves, rows: tuple[Array, Array], flops: float, smallest: float) -> Array:
    """The first compute above `smallest` at which the better arm changes, infinite where there is none: (R,)."""
    low, high = math.log(min(smallest, flops)), math.log(flops * SEARCH_FACTOR)
    grid_G = np.linspace(low, high, max(3, math.ceil((high - low) / SEARCH_SPACING) + 1))

    def difference(log_C: Array | float) -> Array:
        first_R, second_R = (frontier(curves.law, arm, log_C, curves.at, zooms=QUICK_ZOOMS).loss for arm in rows)
        return first_R - second_R

    ahead_GR = np.stack([difference(float(log_C)) < -EQUAL_LOSS for log_C in grid_G])
    change_GR = ahead_GR[1:] != ahead_GR[:-1]
    crosses_R = change_GR.any(axis=0)
    first_R = np.argmax(change_GR, axis=0)
    low_R, high_R = grid_G[first_R], grid_G[np.minimum(first_R + 1, len(grid_G) - 1)]
    ahead_R = ahead_GR[first_R, np.arange(len(first_R))]
    for _ in range(40):
        middle_R = 0.5 * (low_R + high_R)
        before_R = (difference(middle_R) < -EQUAL_LOSS) == ahead_R
        low_R, high_R = np.where(before_R, middle_R, low_R), np.where(before_R, high_R, middle_R)
    return np.where(crosses_R, np.exp(0.5 * (low_R + high_R)), np.inf)
