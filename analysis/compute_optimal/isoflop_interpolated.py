"""isoFLOP budgets of a table whose runs have no equal compute: every size's curve, interpolated to common budgets.

In a grid of sizes by token counts no two runs have equal compute. The sizes have curves of log loss against log C
(`size_curve`), which are evaluated at geometrically spaced budgets between a size's first and last horizon, never
beyond. Neighboring budgets use the same runs: the noise of the runs is propagated through the curves, so that budgets
that share a run are correlated.

Legend: P rows of the table, R replicates, Q sizes at one budget, M quantities that determine a minimum.
"""

import math

import numpy as np

from windtunnel.analysis.compute_optimal.isoflop import IsoflopFit, NoiseSource, isoflop_from_minima
from windtunnel.analysis.compute_optimal.isoflop_curve import (
    IsoflopCurve,
    determining_weights,
    find_minimum,
    isoflop_curve,
)
from windtunnel.analysis.compute_optimal.noise_propagation import LinearCombinations, propagate_noise
from windtunnel.analysis.compute_optimal.size_curve import SizeCurve, noise_about_curves, size_curves
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import Table

# Ratio of neighboring budgets, in log: closer ones would show the same runs again.
BUDGET_SPACING = math.log(2.0)


def fit_interpolated_isoflop(table: Table, *, replicates: int = 2000, seed: int = 0) -> IsoflopFit:
    """isoFLOP minima and exponents of a table whose budgets do not line up.

    Raises InputError where a column (C, N, D, loss) is missing or invalid.
    """
    curves, _ = size_curves(table)
    noise_of_seeds = seed_noise(table)
    noise_from: NoiseSource = "residuals" if noise_of_seeds is None else "seeds"
    noise = noise_about_curves(curves)[0] if noise_of_seeds is None else noise_of_seeds
    budgets = _budgets(curves)
    interpolated = [_interpolate(sizes, log_C) for log_C, sizes in budgets]
    propagated = propagate_noise(table.run, noise, replicates, seed, [combination for _, combination in interpolated])
    minima = [
        find_minimum(curve, "cubic", np.array([size.log_tokens_at(log_C) for size in sizes]), noise_RM)
        for (log_C, sizes), (curve, _), noise_RM in zip(budgets, interpolated, propagated, strict=True)
    ]
    return isoflop_from_minima(
        [log_C for log_C, _ in budgets], [len(sizes) for _, sizes in budgets], minima, "cubic", noise, noise_from
    )


def _budgets(curves: list[SizeCurve]) -> list[tuple[float, list[SizeCurve]]]:
    """Every budget that at least two sizes were trained for, with those sizes."""
    if not curves:
        return []
    low, high = min(curve.horizons[0] for curve in curves), max(curve.horizons[-1] for curve in curves)
    count = max(1, int((high - low) / BUDGET_SPACING))
    budgets = low + (high - low) * (np.arange(count) + 0.5) / count
    covered = [(log_C, [curve for curve in curves if curve.covers(log_C)]) for log_C in budgets.tolist()]
    return [(log_C, sizes) for log_C, sizes in covered if len(sizes) > 1]


def _interpolate(sizes: list[SizeCurve], log_C: float) -> tuple[IsoflopCurve, LinearCombinations]:
    """The isoFLOP curve of the sizes at a budget, and the map from the table's losses to its coefficients."""
    weights = [size.weights_at(np.array([log_C]))[0] for size in sizes]
    log_loss_Q = np.array([weights_P @ size.log_loss_P for size, weights_P in zip(sizes, weights, strict=True)])
    curve = isoflop_curve(np.array([size.log_N for size in sizes]), log_loss_Q)
    weights_4Q = determining_weights(curve, "cubic")
    weights_4P = np.concatenate([weights_4Q[:, [place]] * weights_P for place, weights_P in enumerate(weights)], axis=1)
    return curve, LinearCombinations(np.concatenate([size.rows_P for size in sizes]), weights_4P)
