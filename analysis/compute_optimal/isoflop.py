"""Optimal size by budget: the minimum of each curve of equal compute, and the power law through them.

A budget's log loss is a cubic in log N near its minimum (a parabola is biased where the exponents of size and data
differ: 18 % in N for a tenfold half-window with .5 and .25, a cubic under 1 %), or an Akima spline through its points,
as Porian et al. 2024 (arXiv 2406.19146) did. A budget whose minimum is at an edge of its grid, or is a maximum, is
refused. Noise is propagated by a parametric bootstrap in which rows of one run share their noise.

Legend: P points of a table, Q points of one budget, R replicates, W budgets with a minimum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.compute_optimal.isoflop_curve import (
    Form,
    Lowest,
    Refusal,
    fit_curve,
    noise_of,
    prepare,
    shares_of,
)
from windtunnel.analysis.compute_optimal.noise_propagation import Sums, pulled_noise
from windtunnel.analysis.compute_optimal.weighted_line import LEVEL, NoisyLine, noisy_line, weighted_line
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

Array = NDArray[np.float64]
# Runs whose FLOPs differ by less belong to one budget: a horizon is a whole number of steps.
SAME_BUDGET = 0.05
LEAST_MINIMA = 3
NoiseFrom = Literal["seeds", "residuals", "given"]
WANTED = f"5 sizes or more at each of {LEAST_MINIMA} budgets C or more"
IsoflopStatus = Literal["converged", "one_budget", "too_few_points"]


@dataclass(frozen=True)
class Minimum:
    """One budget. C in FLOPs, N in parameters, D in tokens; log_sd is that of log N. Refused: N, D, loss are NaN."""

    C: float
    num_points: int
    refusal: Refusal | None
    N: float
    N_interval: tuple[float, float]
    D: float
    loss: float
    log_sd: float


@dataclass(frozen=True)
class Exponent:
    """log quantity = log coefficient + exponent * log C, with an interval of the exponent."""

    exponent: float
    interval: tuple[float, float]
    coefficient: float
    scatter: float
    """Standard deviation of the minima about the line (of log quantity) that their noise does not explain."""
    line: NoisyLine
    """Of log quantity against log C."""

    def at(self, flops: float) -> float:
        return self.coefficient * math.pow(flops, self.exponent)


@dataclass(frozen=True)
class Isoflop:
    """`size` and `tokens` are None where fewer than three budgets have a minimum."""

    form: Form
    minima: tuple[Minimum, ...]
    status: IsoflopStatus
    reason: str
    noise: float
    """Standard deviation of log loss."""
    noise_from: NoiseFrom
    size: Exponent | None
    tokens: Exponent | None


def fit_isoflop(
    table: Table, *, form: Form = "cubic", noise: float | None = None, replicates: int = 2000, seed: int = 0
) -> Isoflop:
    """Minima and exponents of a table with columns C, N, D and loss. `noise`: standard deviation of log loss; from
    seeds where the table has them, else from the residuals. Raises InputError where a column is missing or wrong.
    """
    columns = table.require("N", "D", "loss", "C")  # C last: it is there where N and D are
    log_C, log_N, log_D = (np.log(columns[name]) for name in ("C", "N", "D"))
    log_loss = np.log(columns["loss"])
    budgets = split_budgets(log_C)
    curves = [prepare(log_N[rows], log_loss[rows]) for rows in budgets]
    noise_from: NoiseFrom = "given"
    if noise is None:
        noise = seed_noise(table)
        noise_from = "residuals" if noise is None else "seeds"
    if noise is None:
        noise = noise_of(curves)
    if not noise >= 0 or not math.isfinite(noise):
        raise InputError(f"noise {noise}: give the standard deviation of log loss, such as 0.005")
    sums = [Sums(rows, shares_of(curve, form)) for rows, curve in zip(budgets, curves, strict=True)]
    moved = pulled_noise(table.run, noise, replicates, seed, sums)
    found = [
        fit_curve(curve, form, log_D[rows], moved_RM)
        for rows, curve, moved_RM in zip(budgets, curves, moved, strict=True)
    ]
    log_C_Q = [float(log_C[rows].mean()) for rows in budgets]
    return isoflop_of(log_C_Q, [len(rows) for rows in budgets], found, form, noise, noise_from)


def isoflop_of(
    log_C: Sequence[float],
    num_points: Sequence[int],
    found: Sequence[Lowest],
    form: Form,
    noise: float,
    noise_from: NoiseFrom,
) -> Isoflop:
    """The exponents through the minima of budgets, each with its log C, its number of points and its minimum."""
    minima = tuple(
        _minimum(math.exp(each), count, lowest) for each, count, lowest in zip(log_C, num_points, found, strict=True)
    )
    status, reason = _status(minima)
    size = tokens = None
    if status == "converged":
        kept = [(each, lowest) for each, lowest in zip(log_C, found, strict=True) if lowest.refusal is None]
        log_C_W = np.array([each for each, _ in kept])
        log_N_W, log_D_W = np.array([[lowest.log_N, lowest.log_D] for _, lowest in kept]).T
        size = _exponent(noisy_line(log_C_W, log_N_W, np.stack([lowest.log_N_R for _, lowest in kept], axis=1)))
        tokens = _exponent(noisy_line(log_C_W, log_D_W, np.stack([lowest.log_D_R for _, lowest in kept], axis=1)))
    return Isoflop(form, minima, status, reason, noise, noise_from, size, tokens)


def _minimum(C: float, num_points: int, found: Lowest) -> Minimum:
    if found.refusal is not None:
        nothing = (math.nan, math.nan)
        return Minimum(C, num_points, found.refusal, math.nan, nothing, math.nan, math.nan, math.nan)
    low, high = np.nanquantile(found.log_N_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Minimum(
        C=C,
        num_points=num_points,
        refusal=None,
        N=math.exp(found.log_N),
        N_interval=(math.exp(low), math.exp(high)),
        D=math.exp(found.log_D),
        loss=math.exp(found.log_loss),
        log_sd=float(np.nanstd(found.log_N_R)),
    )


def fit_pairs(flops: Array, quantity: Array, log_sd: Array | None = None) -> Exponent:
    """The power law through optimal pairs (W,) that somebody else found, weighted by 1 / log_sd: the standard
    deviations of log quantity. Raises InputError where there are fewer than three, or one is not above zero.
    """
    weights = np.ones(len(flops)) if log_sd is None else 1 / np.asarray(log_sd, dtype=np.float64)
    for name, values in (("C", flops), ("optimal size", quantity), ("its standard deviation", 1 / weights)):
        bad = ~(np.isfinite(values) & (np.asarray(values) > 0))
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(f"optimal pairs: row {row + 1}: {name} is {values[row]}; it must be above zero")
    if len(flops) < LEAST_MINIMA:
        raise InputError(f"optimal pairs: {len(flops)} of them; an exponent with an interval needs {LEAST_MINIMA}")
    line = weighted_line(np.log(flops), np.log(quantity), weights**2)
    # The spreads are relative weights: what they are worth is seen in the scatter.
    unit = float(weights**2 @ line.residual_W**2) / (len(flops) - 2)
    half = line.half_width(0.0, unit * float(np.sum((line.lever_W / weights) ** 2)))
    return replace(
        _exponent(line), interval=(line.slope - half, line.slope + half), scatter=float(np.std(line.residual_W))
    )


def _exponent(line: NoisyLine) -> Exponent:
    coefficient = math.exp(line.level - line.slope * line.centre)
    return Exponent(line.slope, line.slope_interval(), coefficient, line.scatter, line)


def split_budgets(log_C: Array, same: float = SAME_BUDGET) -> list[NDArray[np.intp]]:
    """Positions of the rows of each budget, by growing compute. A budget begins at its cheapest run."""
    budgets: list[list[int]] = []
    for row in np.argsort(log_C, kind="stable").tolist():
        if not budgets or log_C[row] - log_C[budgets[-1][0]] > same:
            budgets.append([])
        budgets[-1].append(row)
    return [np.array(rows, dtype=np.intp) for rows in budgets]


def _status(minima: Sequence[Minimum]) -> tuple[IsoflopStatus, str]:
    usable = sum(each.refusal is None for each in minima)
    if len(minima) == 1:
        return "one_budget", f"every run has C = {minima[0].C:.3g}; an exponent needs {WANTED}"
    if usable < LEAST_MINIMA:
        refused = [f"{each.C:.3g}: {each.refusal}" for each in minima if each.refusal is not None]
        why = f" (refused: {', '.join(refused[:4])})" if refused else ""
        return "too_few_points", f"{usable} budgets with a minimum{why}; an exponent needs {WANTED}"
    return "converged", ""
