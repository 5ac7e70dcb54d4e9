"""Budgets of equal compute where the table has none: each size's curve, read off at common C.

A grid of sizes by token counts has no two runs of equal compute. Its sizes have curves of log loss against log C
(`size_curve`), and those are read at geometrically spaced budgets, between a size's first horizon and its
last and never beyond. Neighbouring budgets read the same runs: the noise of the runs is carried through the curves, so
that what two budgets owe to one run they owe together.

Legend: P rows of the table, R replicates, Q points read off at one budget, M sums of noise.
"""

import math

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.compute_optimal.isoflop import Isoflop, NoiseFrom, isoflop_of
from windtunnel.analysis.compute_optimal.isoflop_curve import Curve, fit_curve, prepare, shares_of
from windtunnel.analysis.compute_optimal.noise_propagation import Sums, pulled_noise
from windtunnel.analysis.compute_optimal.size_curve import SizeCurve, curves_of, noise_of_curves
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import Table

Array = NDArray[np.float64]
# Between budgets: closer ones would show the same runs once more.
SPACING = math.log(2.0)


def fit_interpolated_isoflop(table: Table, *, replicates: int = 2000, seed: int = 0) -> Isoflop:
    """isoFLOP minima and exponents of a table whose budgets do not line up. Raises InputError where a column (C, N, D,
    loss) is missing or wrong.
    """
    curves, _ = curves_of(table)
    of_seeds = seed_noise(table)
    noise_from: NoiseFrom = "residuals" if of_seeds is None else "seeds"
    noise = noise_of_curves(curves)[0] if of_seeds is None else of_seeds
    budgets = _budgets(curves)
    read = [_read(each, log_C) for log_C, each in budgets]
    moved = pulled_noise(table.run, noise, replicates, seed, [sums for _, sums in read])
    found = [
        fit_curve(curve, "cubic", np.array([each.tokens_at(log_C) for each in sizes]), moved_RM)
        for (log_C, sizes), (curve, _), moved_RM in zip(budgets, read, moved, strict=True)
    ]
    return isoflop_of(
        [log_C for log_C, _ in budgets], [len(each) for _, each in budgets], found, "cubic", noise, noise_from
    )


def _budgets(curves: list[SizeCurve]) -> list[tuple[float, list[SizeCurve]]]:
    """Every budget that two sizes or more were trained for, with those sizes."""
    if not curves:
        return []
    low, high = min(each.horizons[0] for each in curves), max(each.horizons[-1] for each in curves)
    count = max(1, int((high - low) / SPACING))
    budgets = low + (high - low) * (np.arange(count) + 0.5) / count
    reached = [(log_C, [each for each in curves if each.covers(log_C)]) for log_C in budgets.tolist()]
    return [(log_C, sizes) for log_C, sizes in reached if len(sizes) > 1]


def _read(curves: list[SizeCurve], log_C: float) -> tuple[Curve, Sums]:
    """The budget's curve through the sizes' losses there, and what takes noise of the table's to its coefficients."""
    pulls = [each.pull_at(np.array([log_C]))[0] for each in curves]
    log_loss_Q = np.array([pull @ each.log_loss_P for each, pull in zip(curves, pulls, strict=True)])
    curve = prepare(np.array([each.log_N for each in curves]), log_loss_Q)
    shares_4Q = shares_of(curve, "cubic")
    shares_4P = np.concatenate([shares_4Q[:, [place]] * pull for place, pull in enumerate(pulls)], axis=1)
    return curve, Sums(np.concatenate([each.rows_P for each in curves]), shares_4P)
