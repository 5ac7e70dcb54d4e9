"""The curve of log loss against log C of one model size, through its horizons: a local parabola.

About every place a parabola in log C is fitted to the nearby horizons (tricube weights, Cleveland 1979): seeds are
averaged, noise is smoothed where there are horizons to spare, and three horizons are met exactly. The curve is linear
in the losses, so that noise is propagated exactly. It does not extrapolate beyond its horizons.

Legend: P rows of one size, G places, H horizons.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.compute_optimal.isoflop import group_nearby
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.tables.table import Table

# Sizes that differ by less than this, in log, are one size: read off a figure, or rounded.
SAME_SIZE = 0.02
MIN_HORIZONS = 3
# The parabola at a place uses the horizons within this factor of C, and at least the nearest five.
WINDOW = math.log(10.0)
NEAREST_HORIZONS = 5
# Widens the window of the nearest horizons, so that the farthest of them keeps a weight.
WINDOW_MARGIN = 1.25
# Fewer degrees of freedom than this are zero up to rounding.
MIN_DEGREES = 1e-6
# The noise is estimated from this many rows of a size, spread over its compute: to 3 %. The cost of using all rows
# would grow with the square of their number.
MAX_NOISE_ROWS = 512
# Places times rows that are computed at once, so that they stay in the cache.
CHUNK = 250_000


@dataclass(frozen=True)
class SizeCurve:
    """The runs of one size. rows_P: their positions in the table."""

    log_N: float
    rows_P: NDArray[np.intp]
    log_C_P: Array
    log_D_P: Array
    log_loss_P: Array

    @cached_property
    def horizons(self) -> Array:
        """Distinct log C, in increasing order: (H,)."""
        return np.array([self.log_C_P[rows].mean() for rows in group_nearby(self.log_C_P)])

    def weights_at(self, log_C_G: Array) -> Array:
        """The map from the log losses to the curve at these places: (G, P)."""
        distance_GH = np.sort(np.abs(log_C_G[:, None] - self.horizons), axis=1)
        width_G1 = distance_GH[:, [min(NEAREST_HORIZONS, len(self.horizons)) - 1]]
        width_G1 = np.maximum(WINDOW_MARGIN * width_G1, WINDOW)
        offset_GP = self.log_C_P - log_C_G[:, None]
        share_GP = np.minimum(np.abs(offset_GP) / width_G1, 1.0)
        root_GP = 1 - share_GP * share_GP * share_GP
        tricube_GP = root_GP * root_GP * root_GP
        powers_G3P = np.stack([np.ones_like(offset_GP), offset_GP, offset_GP * offset_GP], axis=1)
        weighted_G3P = powers_G3P * tricube_GP[:, None, :]
        normal_G33 = weighted_G3P @ np.swapaxes(powers_G3P, 1, 2)
        return np.asarray((np.linalg.pinv(normal_G33, hermitian=True)[:, :1] @ weighted_G3P)[:, 0])

    def at(self, log_C_G: Array) -> Array:
        """Log loss of the curve at these places: (G,)."""
        return np.concatenate([self.weights_at(log_C_G[part]) @ self.log_loss_P for part in self._chunks(len(log_C_G))])

    def residuals(self) -> tuple[Array, Array, Array]:
        """log C, squared residual and degrees of freedom of each row, or of `MAX_NOISE_ROWS` of more rows."""
        order = np.argsort(self.log_C_P, kind="stable")
        rows = np.unique(order[np.linspace(0, len(order) - 1, min(MAX_NOISE_ROWS, len(order))).astype(np.intp)])
        residuals, degrees = [], []
        for part in self._chunks(len(rows)):
            weights_GP = self.weights_at(self.log_C_P[rows[part]])
            own_G = weights_GP[np.arange(len(weights_GP)), rows[part]]
            residuals.append(self.log_loss_P[rows[part]] - weights_GP @ self.log_loss_P)
            degrees.append(1 - 2 * own_G + np.einsum("gp,gp->g", weights_GP, weights_GP))
        return self.log_C_P[rows], np.concatenate(residuals) ** 2, np.concatenate(degrees)

    def _chunks(self, num_places: int) -> list[slice]:
        size = max(1, CHUNK // len(self.log_C_P))
        return [slice(first, first + size) for first in range(0, num_places, size)]

    def covers(self, log_C: float) -> bool:
        """Whether a budget is within the horizons."""
        return bool(self.horizons[0] <= log_C <= self.horizons[-1])

    def log_tokens_at(self, log_C: float) -> float:
        """log D at a budget, by interpolation."""
        order = np.argsort(self.log_C_P, kind="stable")
        return float(np.interp(log_C, self.log_C_P[order], self.log_D_P[order]))


def size_curves(table: Table) -> tuple[list[SizeCurve], list[float]]:
    """The curves of a table with columns C, N, D and loss, in increasing size, and log N of the sizes with too few
    horizons for a curve. Raises InputError where a column is missing or invalid.
    """
    columns = table.require("C", "N", "D", "loss")
    log_N, log_C, log_D, log_loss = (np.log(columns[name]) for name in ("N", "C", "D", "loss"))
    curves = [
        SizeCurve(float(log_N[rows].mean()), rows, log_C[rows], log_D[rows], log_loss[rows])
        for rows in group_nearby(log_N, SAME_SIZE)
    ]
    short = [curve.log_N for curve in curves if len(curve.horizons) < MIN_HORIZONS]
    return [curve for curve in curves if len(curve.horizons) >= MIN_HORIZONS], short


def noise_about_curves(curves: Sequence[SizeCurve]) -> tuple[float, float]:
    """Standard deviation of log loss about the curves, and its degrees of freedom.

    Noise that the horizons of one size share is not seen.
    """
    residuals = [curve.residuals() for curve in curves]
    return pooled_deviation(
        sum(float(squares_P.sum()) for _, squares_P, _ in residuals),
        sum(float(degrees_P.sum()) for *_, degrees_P in residuals),
    )


def pooled_deviation(squares: float, degrees: float) -> tuple[float, float]:
    """The standard deviation and its degrees of freedom; both are 0 where the curves meet every point."""
    return (math.sqrt(squares / degrees), degrees) if degrees > MIN_DEGREES else (0.0, 0.0)
