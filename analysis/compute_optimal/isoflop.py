"""isoFLOP fits: the optimal size of every budget, and the power laws of size and tokens against compute.

The log loss of a budget is a cubic in log N near its minimum, or an Akima spline through its points (Porian et al.
2024, arXiv 2406.19146). A parabola is biased where the exponents of size and data differ: for 0.5 and 0.25 and a
tenfold half-window by 18 % in N, where a cubic is off by less than 1 %. A budget whose minimum is at an edge of its
sizes, or is a maximum, is refused. Noise is propagated by a parametric bootstrap in which the rows of one run share
their noise.

Legend: P points of a table, R replicates, W budgets with a minimum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.compute_optimal.isoflop_curve import (
    CurveMinimum,
    Form,
    MinimumRefusal,
    determining_weights,
    find_minimum,
    isoflop_curve,
    pooled_noise,
)
from windtunnel.analysis.compute_optimal.noise_propagation import LinearCombinations, propagate_noise
from windtunnel.analysis.compute_optimal.weighted_line import WeightedLine, noisy_line, weighted_line
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.signed_json import Interval, finite_or_none
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

# Runs whose compute differs by less than this, in log, belong to one budget: a horizon is a whole number of steps.
SAME_BUDGET = 0.05
MIN_MINIMA = 3
REQUIREMENT = f"5 sizes or more at each of {MIN_MINIMA} budgets C or more"
NoiseSource = Literal["seeds", "residuals", "given"]
IsoflopStatus = Literal["converged", "one_budget", "too_few_points"]


@dataclass(frozen=True)
class BudgetMinimum:
    """The minimum of one budget: C in FLOPs, N in parameters, D in tokens. log_sd: standard deviation of log N.

    A refused budget has numbers NaN.
    """

    C: float
    num_points: int
    refusal: MinimumRefusal | None
    N: float = math.nan
    N_interval: Interval = (math.nan, math.nan)
    D: float = math.nan
    loss: float = math.nan
    log_sd: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        numbers = {"N": self.N, "D": self.D, "loss": self.loss, "log_sd": self.log_sd}
        return {
            "C": self.C,
            "num_points": self.num_points,
            "refused": self.refusal,
            **{name: finite_or_none(value) for name, value in numbers.items()},
            "interval_N": None if self.refusal else list(self.N_interval),
        }


@dataclass(frozen=True)
class Exponent:
    """log quantity = log coefficient + exponent * log C, with the 95 % interval of the exponent."""

    exponent: float
    interval: Interval
    coefficient: float
    scatter: float
    """Standard deviation, in log quantity, of the minima about the line that their noise does not explain."""
    line: WeightedLine
    """log quantity against log C."""

    def at(self, flops: float) -> float:
        """The quantity at a budget."""
        return self.coefficient * math.pow(flops, self.exponent)

    def to_dict(self) -> dict[str, Any]:
        return {
            "value": self.exponent,
            "interval": list(self.interval),
            "coefficient": self.coefficient,
            "scatter": self.scatter,
        }


@dataclass(frozen=True)
class IsoflopFit:
    """The minima of all budgets. `size` and `tokens` are None where fewer than three budgets have a minimum."""

    form: Form
    minima: tuple[BudgetMinimum, ...]
    status: IsoflopStatus
    reason: str
    noise: float
    """Standard deviation of log loss."""
    noise_from: NoiseSource
    size: Exponent | None
    tokens: Exponent | None

    def to_dict(self) -> dict[str, Any]:
        """The fit as JSON. A number that does not exist is null."""
        return {
            "form": self.form,
            "status": self.status,
            "reason": self.reason,
            "noise": self.noise,
            "noise_from": self.noise_from,
            "exponent_N": None if self.size is None else self.size.to_dict(),
            "exponent_D": None if self.tokens is None else self.tokens.to_dict(),
            "interval_level": INTERVAL_LEVEL,
            "budgets": [minimum.to_dict() for minimum in self.minima],
        }


def fit_isoflop(
    table: Table, *, form: Form = "cubic", noise: float | None = None, replicates: int = 2000, seed: int = 0
) -> IsoflopFit:
    """Minima and exponents of a table with columns C, N, D and loss.

    noise: standard deviation of log loss; default from seeds where the table has them, else from residuals. Raises
    InputError where a column is missing or invalid.
    """
    columns = table.require("N", "D", "loss", "C")  # C last: tables that have N and D usually have it
    log_C, log_N, log_D = (np.log(columns[name]) for name in ("C", "N", "D"))
    log_loss = np.log(columns["loss"])
    budgets = group_nearby(log_C)
    curves = [isoflop_curve(log_N[rows], log_loss[rows]) for rows in budgets]
    noise_from: NoiseSource = "given"
    if noise is None:
        noise = seed_noise(table)
        noise_from = "residuals" if noise is None else "seeds"
    if noise is None:
        noise = pooled_noise(curves)
    if not noise >= 0 or not math.isfinite(noise):
        raise InputError(f"noise {noise}: give the standard deviation of log loss, such as 0.005")
    combinations = [
        LinearCombinations(rows, determining_weights(curve, form)) for rows, curve in zip(budgets, curves, strict=True)
    ]
    propagated = propagate_noise(table.run, noise, replicates, seed, combinations)
    minima = [
        find_minimum(curve, form, log_D[rows], noise_RM)
        for rows, curve, noise_RM in zip(budgets, curves, propagated, strict=True)
    ]
    log_budgets = [float(log_C[rows].mean()) for rows in budgets]
    return isoflop_from_minima(log_budgets, [len(rows) for rows in budgets], minima, form, noise, noise_from)


def isoflop_from_minima(
    log_C: Sequence[float],
    num_points: Sequence[int],
    minima: Sequence[CurveMinimum],
    form: Form,
    noise: float,
    noise_from: NoiseSource,
) -> IsoflopFit:
    """The exponents through the minima of budgets, given with the log C and the number of points of each budget."""
    budgets = tuple(
        _budget_minimum(math.exp(log_budget), count, minimum)
        for log_budget, count, minimum in zip(log_C, num_points, minima, strict=True)
    )
    status, reason = _status(budgets)
    size = tokens = None
    if status == "converged":
        usable = [(place, minimum) for place, minimum in zip(log_C, minima, strict=True) if minimum.refusal is None]
        log_C_W = np.array([place for place, _ in usable])
        log_N_W, log_D_W = np.array([[minimum.log_N, minimum.log_D] for _, minimum in usable]).T
        size = _exponent(noisy_line(log_C_W, log_N_W, np.stack([minimum.log_N_R for _, minimum in usable], axis=1)))
        tokens = _exponent(noisy_line(log_C_W, log_D_W, np.stack([minimum.log_D_R for _, minimum in usable], axis=1)))
    return IsoflopFit(form, budgets, status, reason, noise, noise_from, size, tokens)


def fit_pairs(flops: Array, quantity: Array, log_sd: Array | None = None) -> Exponent:
    """The power law through given optimal pairs: (W,) each.

    log_sd: standard deviations of log quantity; the weights are their inverse squares. Raises InputError where there
    are fewer than three pairs, or a value is not above zero.
    """
    weights = np.ones(len(flops)) if log_sd is None else 1 / np.asarray(log_sd, dtype=np.float64)
    for name, values in (("C", flops), ("optimal size", quantity), ("its standard deviation", 1 / weights)):
        bad = ~(np.isfinite(values) & (np.asarray(values) > 0))
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(f"optimal pairs: row {row + 1}: {name} is {values[row]}; it must be above zero")
    if len(flops) < MIN_MINIMA:
        raise InputError(f"{len(flops)} optimal pairs; an exponent with an interval needs {MIN_MINIMA}")
    line = weighted_line(np.log(flops), np.log(quantity), weights**2)
    # The standard deviations are relative: the residuals give their unit.
    unit = float(weights**2 @ line.residual_W**2) / (len(flops) - 2)
    half = line.half_width(0.0, unit * float(np.sum((line.slope_weights_W / weights) ** 2)))
    return replace(
        _exponent(line), interval=(line.slope - half, line.slope + half), scatter=float(np.std(line.residual_W))
    )


def group_nearby(log_values: Array, tolerance: float = SAME_BUDGET) -> list[NDArray[np.intp]]:
    """Positions of the rows of each group, in increasing value. A group spans at most `tolerance`."""
    groups: list[list[int]] = []
    for row in np.argsort(log_values, kind="stable").tolist():
        if not groups or log_values[row] - log_values[groups[-1][0]] > tolerance:
            groups.append([])
        groups[-1].append(row)
    return [np.array(rows, dtype=np.intp) for rows in groups]


def _budget_minimum(C: float, num_points: int, minimum: CurveMinimum) -> BudgetMinimum:
    if minimum.refusal is not None:
        return BudgetMinimum(C, num_points, minimum.refusal)
    low, high = np.nanquantile(minimum.log_N_R, [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2])
    return BudgetMinimum(
        C=C,
        num_points=num_points,
        refusal=None,
        N=math.exp(minimum.log_N),
        N_interval=(math.exp(low), math.exp(high)),
        D=math.exp(minimum.log_D),
        loss=math.exp(minimum.log_loss),
        log_sd=float(np.nanstd(minimum.log_N_R)),
    )


def _exponent(line: WeightedLine) -> Exponent:
    coefficient = math.exp(line.level - line.slope * line.center)
    return Exponent(line.slope, line.slope_interval(), coefficient, line.scatter, line)


def _status(minima: Sequence[BudgetMinimum]) -> tuple[IsoflopStatus, str]:
    usable = sum(minimum.refusal is None for minimum in minima)
    if len(minima) == 1:
        return "one_budget", f"every run has C = {minima[0].C:.3g}; an exponent needs {REQUIREMENT}"
    if usable < MIN_MINIMA:
        refused = [f"{minimum.C:.3g}: {minimum.refusal}" for minimum in minima if minimum.refusal is not None]
        why = f" (refused: {', '.join(refused[:4])})" if refused else ""
        return "too_few_points", f"{usable} budgets with a minimum{why}; an exponent needs {REQUIREMENT}"
    return "converged", ""
