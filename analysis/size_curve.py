"""The curve of log loss against log C of one model size, through its horizons: a local parabola.

A parabola in log C is fitted about every place that is asked for, to the horizons near it (tricube weights, Cleveland
1979): seeds are averaged, noise is smoothed where there are horizons to spare, three horizons are met exactly. It is
linear in the losses, so that what noise does to it is exact. It is never asked for a place beyond its horizons.

Legend: P rows of one size, G places.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.isoflop import split_budgets
from analysis.table import Table

Array = NDArray[np.float64]
# Counts of parameters that differ by less are one size: read off a figure, or rounded.
SAME_SIZE = 0.02
LEAST_HORIZONS = 3
# A place sees the horizons within this factor of C, and the nearest five at least.
WINDOW = math.log(10.0)
NEAREST = 5
# The farthest of the nearest keeps a weight.
ROOM = 1.25
SPARE = 1e-6


@dataclass(frozen=True)
class SizeCurve:
    """One size: `rows_P` are its positions in the table."""

    log_N: float
    rows_P: NDArray[np.intp]
    log_C_P: Array
    log_D_P: Array
    log_loss_P: Array

    @cached_property
    def horizons(self) -> Array:
        """Distinct log C, growing."""
        return np.array([self.log_C_P[rows].mean() for rows in split_budgets(self.log_C_P)])

    def pull_at(self, log_C_G: Array) -> Array:
        """What takes the log losses to the curve at these places: (G, P)."""
        distance_GH = np.sort(np.abs(log_C_G[:, None] - self.horizons), axis=1)
        width_G1 = ROOM * distance_GH[:, [min(NEAREST, len(self.horizons)) - 1]]
        offset_GP = self.log_C_P - log_C_G[:, None]
        weights_GP = np.clip(1 - (np.abs(offset_GP) / np.maximum(width_G1, WINDOW)) ** 3, 0.0, None) ** 3
        powers_GP3 = offset_GP[:, :, None] ** np.arange(3)
        weighted_G3P = np.swapaxes(powers_GP3 * weights_GP[:, :, None], 1, 2)
        normal_G33 = weighted_G3P @ powers_GP3
        return np.asarray((np.linalg.pinv(normal_G33, hermitian=True)[:, :1] @ weighted_G3P)[:, 0])

    def residuals(self) -> tuple[Array, Array]:
        """Of each row the squared residual, and how much of the noise's variance it holds: (P,) each."""
        left_PP = np.eye(len(self.rows_P)) - self.pull_at(self.log_C_P)
        return np.asarray((left_PP @ self.log_loss_P) ** 2), np.asarray(np.sum(left_PP**2, axis=1))

    def covers(self, log_C: float) -> bool:
        return bool(self.horizons[0] <= log_C <= self.horizons[-1])

    def tokens_at(self, log_C: float) -> float:
        order = np.argsort(self.log_C_P, kind="stable")
        return float(np.interp(log_C, self.log_C_P[order], self.log_D_P[order]))


def curves_of(table: Table) -> tuple[list[SizeCurve], list[float]]:
    """The curves of a table with columns C, N, D and loss, by growing size, and log N of the sizes that have too few
    horizons for one. Raises InputError where a column is missing or wrong.
    """
    columns = table.require("C", "N", "D", "loss")
    log_N, log_C, log_D, log_loss = (np.log(columns[name]) for name in ("N", "C", "D", "loss"))
    every = [
        SizeCurve(float(log_N[rows].mean()), rows, log_C[rows], log_D[rows], log_loss[rows])
        for rows in split_budgets(log_N, SAME_SIZE)
    ]
    curves = [each for each in every if len(each.horizons) >= LEAST_HORIZONS]
    return curves, [each.log_N for each in every if len(each.horizons) < LEAST_HORIZONS]


def noise_of_curves(curves: Sequence[SizeCurve]) -> tuple[float, float]:
    """Standard deviation of log loss about the curves, and its degrees of freedom, as `pooled` gives them. It cannot
    see what the horizons of one size have in common.
    """
    found = [curve.residuals() for curve in curves]
    return pooled(sum(float(squares.sum()) for squares, _ in found), sum(float(freedom.sum()) for _, freedom in found))


def pooled(squares: float, freedom: float) -> tuple[float, float]:
    """The standard deviation and its degrees of freedom: none where the curves meet every point."""
    return (math.sqrt(squares / freedom), freedom) if freedom > SPARE else (0.0, 0.0)
