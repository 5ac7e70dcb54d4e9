"""The isoFLOP curve of one budget: log loss against log N, and its minimum.

Legend: P points of one budget, Q points in the window, S distinct sizes, R replicates, G sizes of a grid, M quantities
that determine the minimum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array

Form = Literal["cubic", "spline"]
MinimumRefusal = Literal["edge", "maximum", "few_sizes", "noise"]
# The cubic is fitted to the sizes whose log loss is within this of the lowest, within this factor in N, but to at least
# the five sizes nearest to the lowest.
LOSS_WINDOW = 0.07
SIZE_WINDOW = 10.0
MIN_SIZES = 5
# A minimum is at the edge where more than this share of its replicates have none.
MAX_LOST_SHARE = 0.5
# A minimum is hidden by noise where its standard deviation is more than this share of the window (0.29 is that of a
# uniform distribution over it).
MAX_DEVIATION_SHARE = 0.22
GRID_POINTS = 2001
REPLICATES_AT_ONCE = 256  # of a spline: more do not fit the cache


@dataclass(frozen=True)
class IsoflopCurve:
    """The points of one budget, and the cubic in the window about its lowest size.

    rows_Q: positions of the points in the window. cubic_4Q: maps their log losses to the coefficients of the cubic in
    log N - center. fitted_Q: the cubic at these points.
    """

    refusal: MinimumRefusal | None
    log_N: Array
    log_loss: Array
    rows_Q: NDArray[np.intp]
    center: float
    cubic_4Q: Array
    fitted_Q: Array

    @property
    def squared_residuals(self) -> float:
        return float(np.sum((self.log_loss[self.rows_Q] - self.fitted_Q) ** 2))

    @property
    def degrees(self) -> int:
        return max(0, len(self.rows_Q) - 4)


class CurveMinimum(NamedTuple):
    """The minimum of a budget's curve and of its replicates; NaN where it is refused, or at an edge."""

    refusal: MinimumRefusal | None
    log_N: float
    log_D: float
    log_loss: float
    log_N_R: Array
    log_D_R: Array


def isoflop_curve(log_N: Array, log_loss: Array) -> IsoflopCurve:
    """The curve of a budget's points: (P,) each. Refused where the lowest size is the first or last."""
    sizes, size_of_P = np.unique(log_N, return_inverse=True)
    size_of_P = size_of_P.reshape(-1)
    mean_S = np.bincount(size_of_P, weights=log_loss) / np.bincount(size_of_P)
    lowest = int(np.argmin(mean_S))
    refusal: MinimumRefusal | None = None
    if len(sizes) < MIN_SIZES:
        refusal = "few_sizes"
    elif lowest in (0, len(sizes) - 1):
        refusal = "maximum" if np.polyfit(sizes - sizes.mean(), mean_S, 2)[0] < 0 else "edge"
    distance_S = np.abs(sizes - sizes[lowest])
    window_S = (mean_S - mean_S[lowest] <= LOSS_WINDOW) & (distance_S <= math.log(SIZE_WINDOW) + 1e-9)
    window_S[np.argsort(distance_S, kind="stable")[:MIN_SIZES]] = True
    rows_Q = np.flatnonzero(window_S[size_of_P])
    center = float(sizes[lowest])
    powers_Q4 = np.vander(log_N[rows_Q] - center, 4, increasing=True)
    cubic_4Q = np.asarray(np.linalg.pinv(powers_Q4), dtype=np.float64)
    fitted_Q = np.asarray(powers_Q4 @ (cubic_4Q @ log_loss[rows_Q]), dtype=np.float64)
    return IsoflopCurve(refusal, log_N, log_loss, rows_Q, center, cubic_4Q, fitted_Q)


def pooled_noise(curves: Sequence[IsoflopCurve]) -> float:
    """Standard deviation of log loss about the cubics of all budgets that have a minimum."""
    usable = [curve for curve in curves if curve.refusal is None]
    squares, degrees = sum(curve.squared_residuals for curve in usable), sum(curve.degrees for curve in usable)
    return math.sqrt(squares / degrees) if degrees else 0.0


def determining_weights(curve: IsoflopCurve, form: Form) -> Array:
    """The map from a budget's log losses to the quantities that determine its minimum: (M, P).

    They are the four coefficients of the cubic, or the mean log losses of the sizes.
    """
    if form == "cubic":
        weights_4P = np.zeros((4, len(curve.log_N)))
        weights_4P[:, curve.rows_Q] = curve.cubic_4Q
        return weights_4P
    sizes, size_of_P = np.unique(curve.log_N, return_inverse=True)
    members_SP = (size_of_P.reshape(-1) == np.arange(len(sizes))[:, None]).astype(np.float64)
    return np.asarray(members_SP / members_SP.sum(axis=1, keepdims=True))


def find_minimum(curve: IsoflopCurve, form: Form, log_D: Array, noise_RM: Array) -> CurveMinimum:
    """The minimum, and that of every replicate. noise_RM: the noise of the quantities of `determining_weights`."""
    nothing_R = np.full(len(noise_RM), math.nan)
    refused = CurveMinimum(curve.refusal, math.nan, math.nan, math.nan, nothing_R, nothing_R)
    if curve.refusal is not None:
        return refused
    exact_M = determining_weights(curve, form) @ curve.log_loss
    every_RM = np.concatenate([exact_M[None], exact_M + noise_RM])
    if form == "cubic":
        log_N_R, log_loss_R = _minima_of_cubics(curve, every_RM)
    else:
        log_N_R, log_loss_R = _minima_of_splines(curve.log_N, every_RM)
    if math.isnan(log_N_R[0]) or np.isnan(log_N_R[1:]).mean() > MAX_LOST_SHARE:
        return refused._replace(refusal="edge")
    if np.nanstd(log_N_R[1:]) > MAX_DEVIATION_SHARE * np.ptp(curve.log_N[curve.rows_Q]):
        return refused._replace(refusal="noise")
    order = np.argsort(curve.log_N, kind="stable")
    log_D_R = np.interp(log_N_R, curve.log_N[order], log_D[order])
    return CurveMinimum(None, float(log_N_R[0]), float(log_D_R[0]), float(log_loss_R[0]), log_N_R[1:], log_D_R[1:])


def _minima_of_cubics(curve: IsoflopCurve, coefficients_R4: Array) -> tuple[Array, Array]:
    constant, first, second, third = coefficients_R4.T
    with np.errstate(invalid="ignore", divide="ignore"):
        # Of the two stationary points, the one with positive curvature 2 sqrt(discriminant).
        x_R = -first / (second + np.sqrt(second**2 - 3 * first * third))
    window_Q = curve.log_N[curve.rows_Q] - curve.center
    ends_21 = np.array([window_Q.min(), window_Q.max()])[:, None]
    loss_R, at_ends_2R = (constant + at * (first + at * (second + at * third)) for at in (x_R, ends_21))
    x_R[~((x_R > ends_21[0]) & (x_R < ends_21[1]) & (loss_R < at_ends_2R.min(axis=0)))] = math.nan
    return x_R + curve.center, loss_R


def _minima_of_splines(log_N: Array, mean_RS: Array) -> tuple[Array, Array]:
    from scipy.interpolate import Akima1DInterpolator  # slow to import

    sizes, mean_SR = np.unique(log_N), mean_RS.T
    grid_G = np.linspace(sizes[0], sizes[-1], GRID_POINTS)
    log_N_R, loss_R = np.empty(mean_SR.shape[1]), np.empty(mean_SR.shape[1])
    for first in range(0, mean_SR.shape[1], REPLICATES_AT_ONCE):
        part = slice(first, first + REPLICATES_AT_ONCE)
        values_GR = Akima1DInterpolator(sizes, mean_SR[:, part])(grid_G)
        lowest_R = np.argmin(values_GR, axis=0)
        inside_R = (lowest_R > 0) & (lowest_R < GRID_POINTS - 1)
        log_N_R[part] = np.where(inside_R, grid_G[lowest_R], math.nan)
        loss_R[part] = values_GR[lowest_R, np.arange(values_GR.shape[1])]
    return log_N_R, loss_R
