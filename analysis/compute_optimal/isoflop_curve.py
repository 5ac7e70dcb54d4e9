"""The curve of log loss against log N at one budget, and where it is lowest.

Legend: P points of one budget, Q those in the window, S distinct sizes, R replicates, G grid of sizes, M sums of
losses.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Form = Literal["cubic", "spline"]
Refusal = Literal["edge", "maximum", "few_sizes", "noise"]
# The cubic sees the sizes whose loss is within this of the lowest (of log loss), no farther than this factor in N, but
# the nearest five at least.
LOSS_WINDOW = 0.07
SIZE_WINDOW = 10.0
LEAST_SIZES = 5
# A minimum that more than this share of replicates has lost is at the edge of what noise lets one see, and one whose
# standard deviation is more than this share of the window (.29 is anywhere in it) is not seen at all.
LOST_SHARE = 0.5
BLIND_SHARE = 0.22
GRID = 2001


@dataclass(frozen=True)
class Curve:
    """One budget's points (all of them) and the cubic in the window: `rows_Q` are its positions among the points,
    `fitted_Q` its values there, `pull_4Q` what takes log losses to its coefficients in log N - centre.
    """

    refusal: Refusal | None
    log_N: Array
    log_loss: Array
    rows_Q: NDArray[np.intp]
    centre: float
    pull_4Q: Array
    fitted_Q: Array

    @property
    def squares(self) -> float:
        return float(np.sum((self.log_loss[self.rows_Q] - self.fitted_Q) ** 2))

    @property
    def freedom(self) -> int:
        return max(0, len(self.rows_Q) - 4)


class Lowest(NamedTuple):
    """Where a budget's loss is lowest, and in every replicate (NaN where it is at an edge); NaN where refused."""

    refusal: Refusal | None
    log_N: float
    log_D: float
    log_loss: float
    log_N_R: Array
    log_D_R: Array


def prepare(log_N: Array, log_loss: Array) -> Curve:
    """The window about the lowest size and the cubic in it; refused where the lowest size is the first or the last."""
    sizes, which = np.unique(log_N, return_inverse=True)
    which = which.reshape(-1)
    mean_S = np.bincount(which, weights=log_loss) / np.bincount(which)
    lowest = int(np.argmin(mean_S))
    refusal: Refusal | None = None
    if len(sizes) < LEAST_SIZES:
        refusal = "few_sizes"
    elif lowest in (0, len(sizes) - 1):
        refusal = "maximum" if np.polyfit(sizes - sizes.mean(), mean_S, 2)[0] < 0 else "edge"
    distance_S = np.abs(sizes - sizes[lowest])
    chosen_S = (mean_S - mean_S[lowest] <= LOSS_WINDOW) & (distance_S <= math.log(SIZE_WINDOW) + 1e-9)
    chosen_S[np.argsort(distance_S, kind="stable")[:LEAST_SIZES]] = True
    rows = np.flatnonzero(chosen_S[which])
    centre = float(sizes[lowest])
    powers = np.vander(log_N[rows] - centre, 4, increasing=True)
    pull = np.asarray(np.linalg.pinv(powers), dtype=np.float64)
    fitted = np.asarray(powers @ (pull @ log_loss[rows]), dtype=np.float64)
    return Curve(refusal, log_N, log_loss, rows, centre, pull, fitted)


def noise_of(curves: Sequence[Curve]) -> float:
    """Standard deviation of log loss about the cubics of all budgets that have a minimum."""
    usable = [each for each in curves if each.refusal is None]
    squares, freedom = sum(each.squares for each in usable), sum(each.freedom for each in usable)
    return math.sqrt(squares / freedom) if freedom else 0.0


def shares_of(curve: Curve, form: Form) -> Array:
    """What takes the log losses of a budget's points to what its minimum is found from: the cubic's four coefficients,
    or the means of the sizes. (M, P).
    """
    if form == "cubic":
        shares_4P = np.zeros((4, len(curve.log_N)))
        shares_4P[:, curve.rows_Q] = curve.pull_4Q
        return shares_4P
    sizes, which = np.unique(curve.log_N, return_inverse=True)
    members_SP = (which.reshape(-1) == np.arange(len(sizes))[:, None]).astype(np.float64)
    return np.asarray(members_SP / members_SP.sum(axis=1, keepdims=True))


def fit_curve(curve: Curve, form: Form, log_D: Array, moved_RM: Array) -> Lowest:
    """The minimum, and that of every replicate: `moved_RM` is what noise does to the sums of `shares_of`."""
    nothing = np.full(len(moved_RM), math.nan)
    refused = Lowest(curve.refusal, math.nan, math.nan, math.nan, nothing, nothing)
    if curve.refusal is not None:
        return refused
    sums_M = shares_of(curve, form) @ curve.log_loss
    every_RM = np.concatenate([sums_M[None], sums_M + moved_RM])
    if form == "cubic":
        log_N_R, log_loss_R = _lowest_of_cubics(curve, every_RM)
    else:
        log_N_R, log_loss_R = _lowest_of_splines(curve.log_N, every_RM)
    if math.isnan(log_N_R[0]) or np.isnan(log_N_R[1:]).mean() > LOST_SHARE:
        return refused._replace(refusal="edge")
    if np.nanstd(log_N_R[1:]) > BLIND_SHARE * np.ptp(curve.log_N[curve.rows_Q]):
        return refused._replace(refusal="noise")
    order = np.argsort(curve.log_N, kind="stable")
    log_D_R = np.interp(log_N_R, curve.log_N[order], log_D[order])
    return Lowest(None, float(log_N_R[0]), float(log_D_R[0]), float(log_loss_R[0]), log_N_R[1:], log_D_R[1:])


def _lowest_of_cubics(curve: Curve, coefficients_R4: Array) -> tuple[Array, Array]:
    constant, first, second, third = coefficients_R4.T
    with np.errstate(invalid="ignore", divide="ignore"):
        # Of the two stationary points the one with positive curvature, 2 sqrt(discriminant).
        x = -first / (second + np.sqrt(second**2 - 3 * first * third))
    window = curve.log_N[curve.rows_Q] - curve.centre
    ends = np.array([window.min(), window.max()])[:, None]
    lowest, at_ends = (constant + at * (first + at * (second + at * third)) for at in (x, ends))
    x[~((x > ends[0]) & (x < ends[1]) & (lowest < at_ends.min(axis=0)))] = math.nan
    return x + curve.centre, lowest


def _lowest_of_splines(log_N: Array, mean_RS: Array) -> tuple[Array, Array]:
    from scipy.interpolate import Akima1DInterpolator

    sizes, mean_SR = np.unique(log_N), mean_RS.T
    grid_G = np.linspace(sizes[0], sizes[-1], GRID)
    found_R, loss_R = np.empty(mean_SR.shape[1]), np.empty(mean_SR.shape[1])
    for begin in range(0, mean_SR.shape[1], 256):  # the grid of all replicates at once would not fit the cache
        values_GR = Akima1DInterpolator(sizes, mean_SR[:, begin : begin + 256])(grid_G)
        lowest_R = np.argmin(values_GR, axis=0)
        inside_R = (lowest_R > 0) & (lowest_R < GRID - 1)
        found_R[begin : begin + 256] = np.where(inside_R, grid_G[lowest_R], math.nan)
        loss_R[begin : begin + 256] = values_GR[lowest_R, np.arange(values_GR.shape[1])]
    return found_R, loss_R
