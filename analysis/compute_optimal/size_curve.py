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

from windtunnel.analysis.compute_optimal.isoflop import split_budgets
from windtunnel.analysis.tables.table import Table

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
# Noise is read off this many rows of a size, spread over its compute: they know it to 3 %, and all rows against all
# would grow with their square.
MOST_READ = 512
# Places times rows that are worked on together, so that they stay in the cache.
TOGETHER = 250_000


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
        width_G1 = np.maximum(ROOM * distance_GH[:, [min(NEAREST, len(self.horizons)) - 1]], WINDOW)
        offset_GP = self.log_C_P - log_C_G[:, None]
        share_GP = np.minimum(np.abs(offset_GP) / width_G1, 1.0)
        left_GP = 1 - share_GP * share_GP * share_GP
        weights_GP = left_GP * left_GP * left_GP
        powers_G3P = np.stack([np.ones_like(offset_GP), offset_GP, offset_GP * offset_GP], axis=1)
        weighted_G3P = powers_G3P * weights_GP[:, None, :]
        normal_G33 = weighted_G3P @ np.swapaxes(powers_G3P, 1, 2)
        return np.asarray((np.linalg.pinv(normal_G33, hermitian=True)[:, :1] @ weighted_G3P)[:, 0])

    def at(self, log_C_G: Array) -> Array:
        """The curve, log loss, at these places: (G,)."""
        return np.concatenate([self.pull_at(log_C_G[part]) @ self.log_loss_P for part in self._parts(len(log_C_G))])

    def residuals(self) -> tuple[Array, Array, Array]:
        """Of each row, or of `MOST_READ` of many: log C, the squared residual, and how much of the noise's variance it
        holds.
        """
        order = np.argsort(self.log_C_P, kind="stable")
        rows = np.unique(order[np.linspace(0, len(order) - 1, min(MOST_READ, len(order))).astype(np.intp)])
        left, held = [], []
        for part in self._parts(len(rows)):
            pull_GP = self.pull_at(self.log_C_P[rows[part]])
            own_G = pull_GP[np.arange(len(pull_GP)), rows[part]]
            left.append(self.log_loss_P[rows[part]] - pull_GP @ self.log_loss_P)
            held.append(1 - 2 * own_G + np.einsum("gp,gp->g", pull_GP, pull_GP))
        return self.log_C_P[rows], np.concatenate(left) ** 2, np.concatenate(held)

    def _parts(self, num_places: int) -> list[slice]:
        size = max(1, TOGETHER // len(self.log_C_P))
        return [slice(first, first + size) for first in range(0, num_places, size)]

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
    return pooled(
        sum(float(squares.sum()) for _, squares, _ in found), sum(float(freedom.sum()) for *_, freedom in found)
    )


def pooled(squares: float, freedom: float) -> tuple[float, float]:
    """The standard deviation and its degrees of freedom: none where the curves meet every point."""
    return (math.sqrt(squares / freedom), freedom) if freedom > SPARE else (0.0, 0.0)
