"""Optimal size along the envelope of the sizes' curves of loss against compute: Chinchilla's first approach.

Every size has a curve of log loss against log C. Where the curves of two neighboring sizes cross, both are equally
good, and the optimal size lies between them. Hoffmann et al. 2022 (arXiv 2203.15556) took the lowest curve at 1500
values of C and fitted a line to the sizes found. Those points form steps: each step counts the same noise many
times, and the first and last step are edges of the grid, not optima. Here the end of each step, a crossing, is one
point:

- N is the geometric mean of the two sizes. Under E + A/N^alpha + B/D^beta the true optimum is off it by the factor
  exp((beta - alpha) log(ratio)^2 / 24), the same at every C: 0.5 % for a ratio of 4 and exponents 0.34 and 0.28.
- Noise moves a crossing along C, not along N. So log C is fitted as a line in log N, whose slope is 1/a; a fit of log N
  to a noisy log C would bias a toward 0.
- The smallest and the largest size only bound crossings: no edge of the grid is a point.
- Neighbors are a size and the next one at least twice as large: closer curves cross at too small an angle.
- A crossing is refused outside the compute that both sizes were trained for; too near its ends (judged by the line, not
  by the crossing itself: else the crossings that noise moved inside would tilt the line); and where noise hides it.

Every row must be the end of a finished schedule: mid-run evaluations of a decaying run lie above the curve.

Legend: P rows of the table, R replicates, G places in C, W usable crossings.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from windtunnel.analysis.compute_optimal.isoflop import NoiseSource
from windtunnel.analysis.compute_optimal.noise_propagation import LinearCombinations, propagate_noise
from windtunnel.analysis.compute_optimal.size_curve import (
    MIN_HORIZONS,
    WINDOW,
    SizeCurve,
    pooled_deviation,
    size_curves,
)
from windtunnel.analysis.compute_optimal.weighted_line import WeightedLine, noisy_line
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.tables.seeds import seed_degrees_of_freedom, seed_noise
from windtunnel.analysis.tables.table import Table

MIN_LOG_SIZE_RATIO = math.log(2.0) - 0.05
MIN_CROSSINGS = 3
# A crossing is hidden by noise where its standard deviation is more than this share of the range that was searched
# (0.29 is that of a uniform distribution over it).
MAX_DEVIATION_SHARE = 0.22
# A crossing must be expected this many of its standard deviations inside the compute that both sizes were trained for.
EDGE_MARGIN = 2.0
GRID_POINTS = 129
CrossingRefusal = Literal["no_overlap", "edge", "reversed", "noise"]
EnvelopeStatus = Literal["converged", "one_size", "one_horizon", "no_overlap", "too_few_crossings", "no_trend"]


@dataclass(frozen=True)
class Crossing:
    """Where the larger of two sizes becomes the better one. N is their geometric mean, log_sd the standard deviation of
    log C. C, D, loss and log_sd are NaN where the crossing is refused.
    """

    smaller: float
    larger: float
    N: float
    refusal: CrossingRefusal | None
    C: float = math.nan
    D: float = math.nan
    loss: float = math.nan
    log_sd: float = math.nan


@dataclass(frozen=True)
class Envelope:
    """Crossings, and the line of log C against log N through them; no line unless converged."""

    crossings: tuple[Crossing, ...]
    num_sizes: int
    sizes_without_curve: int
    status: EnvelopeStatus
    reason: str
    noise: float
    """Standard deviation of log loss."""
    noise_from: NoiseSource
    line: WeightedLine | None
    flops_per_token: tuple[float, float]
    """log(C / D) = first + second * log N, along the crossings."""


def fit_envelope(table: Table, *, replicates: int = 2000, seed: int = 0) -> Envelope:
    """Crossings and their line of a table with columns C, N, D and loss.

    The noise is that of seeds where the table has them, else that of the residuals about the curves; the rows of one
    run share it. Raises InputError where a column is missing or invalid.
    """
    curves, short = size_curves(table)
    pairs = [_locate(smaller, larger) for smaller, larger in _neighbors(curves)]
    noise_of_seeds = seed_noise(table)
    if noise_of_seeds is None:
        noise, degrees = _noise_near_crossings(pairs)
    else:
        noise, degrees = noise_of_seeds, float(seed_degrees_of_freedom(table))
    propagated = propagate_noise(table.run, noise, replicates, seed, [_crossing_weights(pair) for pair in pairs])
    located = [_crossing(pair, noise_R1[:, 0]) for pair, noise_R1 in zip(pairs, propagated, strict=True)]
    located, line = _refuse_near_edges(located, pairs, degrees or None)
    crossings = tuple(crossing for crossing, _ in located)
    status, reason = _status(curves, short, crossings)
    flops_per_token = (math.nan, math.nan)
    if line is not None:
        usable = [crossing for crossing in crossings if crossing.refusal is None]
        cost_W = np.log([crossing.C / crossing.D for crossing in usable])
        slope, level = np.polyfit(np.log([crossing.N for crossing in usable]), cost_W, 1)
        flops_per_token = (float(level), float(slope))
        if line.slope_interval()[0] <= 0:
            status, reason = "no_trend", "the compute of the crossings does not increase with size beyond their noise"
            line = None
    return Envelope(
        crossings=crossings,
        num_sizes=len(curves) + len(short),
        sizes_without_curve=len(short),
        status=status,
        reason=reason,
        noise=noise,
        noise_from="residuals" if noise_of_seeds is None else "seeds",
        line=line,
        flops_per_token=flops_per_token,
    )


def _neighbors(curves: Sequence[SizeCurve]) -> list[tuple[SizeCurve, SizeCurve]]:
    """Each size with the next one at least twice as large."""
    pairs = []
    for place, curve in enumerate(curves):
        larger = next((other for other in curves[place + 1 :] if other.log_N - curve.log_N >= MIN_LOG_SIZE_RATIO), None)
        if larger is not None:
            pairs.append((curve, larger))
    return pairs


@dataclass(frozen=True)
class _CurvePair:
    """Two neighboring curves and where they cross: log C and log loss, the slope of the difference larger - smaller in
    log loss, and the ends of the range of log C that both were trained for. NaN where they do not cross.
    """

    smaller: SizeCurve
    larger: SizeCurve
    refusal: CrossingRefusal | None
    log_C: float = math.nan
    log_loss: float = math.nan
    slope: float = math.nan
    low: float = math.nan
    high: float = math.nan


# A crossing, and the noise of its log C: (R,).
_NoisyCrossing = tuple[Crossing, Array]


def _locate(smaller: SizeCurve, larger: SizeCurve) -> _CurvePair:
    low = max(smaller.horizons[0], larger.horizons[0])
    high = min(smaller.horizons[-1], larger.horizons[-1])
    if high <= low:
        return _CurvePair(smaller, larger, "no_overlap")
    log_C_G = np.linspace(low, high, GRID_POINTS)
    small_G, large_G = (curve.at(log_C_G) for curve in (smaller, larger))
    difference_G = large_G - small_G
    centered_G = log_C_G - log_C_G.mean()
    slope = float(centered_G @ difference_G) / float(centered_G @ centered_G)
    # The part of the range on which the smaller size is better ends at the crossing; where noise makes several
    # crossings, this is their mean.
    share = _positive_share(difference_G)
    if share in (0.0, 1.0):
        return _CurvePair(smaller, larger, "edge")
    if slope >= 0:
        return _CurvePair(smaller, larger, "reversed")
    log_C = float(low + share * (high - low))
    log_loss = float(np.interp(log_C, log_C_G, 0.5 * (small_G + large_G)))
    return _CurvePair(smaller, larger, None, log_C, log_loss, slope, float(low), float(high))


def _positive_share(values_G: Array) -> float:
    """The share of the range on which the piecewise linear function is above zero."""
    above_G = np.maximum(values_G, 0.0)
    rise = np.abs(np.diff(values_G))
    change = np.abs(np.diff(above_G))
    whole = (values_G[1:] > 0) & (values_G[:-1] > 0)
    part = np.divide(change, rise, out=np.zeros_like(rise), where=rise > 0)
    return float(np.mean(np.where(whole, 1.0, part)))


def _noise_near_crossings(pairs: Sequence[_CurvePair]) -> tuple[float, float]:
    """The noise about the curves near their crossings, and its degrees of freedom.

    Far from its crossings a curve may bend more than a parabola does, and no crossing depends on it.
    """
    near: dict[int, tuple[SizeCurve, list[float]]] = {}
    for pair in pairs:
        for curve in (pair.smaller, pair.larger) if pair.refusal is None else ():
            near.setdefault(id(curve), (curve, []))[1].append(pair.log_C)
    squares = degrees = 0.0
    for curve, crossings in near.values():
        log_C_P, squares_P, degrees_P = curve.residuals()
        near_P = np.abs(log_C_P[:, None] - np.array(crossings)).min(axis=1) <= WINDOW
        squares += float(squares_P[near_P].sum())
        degrees += float(degrees_P[near_P].sum())
    return pooled_deviation(squares, degrees)


def _crossing_weights(pair: _CurvePair) -> LinearCombinations:
    """The map from the noise of the log losses to that of the crossing's log C; empty where there is no crossing."""
    if pair.refusal is not None:
        return LinearCombinations(np.empty(0, dtype=np.intp), np.empty((1, 0)))
    at = np.array([pair.log_C])
    weights_1P = np.concatenate([pair.smaller.weights_at(at), -pair.larger.weights_at(at)], axis=1) / pair.slope
    return LinearCombinations(np.concatenate([pair.smaller.rows_P, pair.larger.rows_P]), weights_1P)


def _crossing(pair: _CurvePair, noise_R: Array) -> _NoisyCrossing:
    smaller, larger = pair.smaller, pair.larger
    crossing = Crossing(
        smaller=math.exp(smaller.log_N),
        larger=math.exp(larger.log_N),
        N=math.exp(0.5 * (smaller.log_N + larger.log_N)),
        refusal=pair.refusal,
    )
    if pair.refusal is not None:
        return crossing, noise_R
    log_sd = float(np.std(noise_R))
    if log_sd > MAX_DEVIATION_SHARE * (pair.high - pair.low):
        return _refused(crossing, "noise"), np.zeros(len(noise_R))
    crossing = replace(
        crossing,
        C=math.exp(pair.log_C),
        D=math.exp(0.5 * (smaller.log_tokens_at(pair.log_C) + larger.log_tokens_at(pair.log_C))),
        loss=math.exp(pair.log_loss),
        log_sd=log_sd,
    )
    return crossing, noise_R


def _refused(crossing: Crossing, refusal: CrossingRefusal) -> Crossing:
    return Crossing(crossing.smaller, crossing.larger, crossing.N, refusal)


def _refuse_near_edges(
    located: Sequence[_NoisyCrossing], pairs: Sequence[_CurvePair], degrees: float | None
) -> tuple[list[_NoisyCrossing], WeightedLine | None]:
    """The crossings, with those too near an edge refused, and the line through the others, or None.

    Noise moves some crossings over the edge, where they are not seen, and others inside, where they would tilt the line
    (on a grid of isoFLOP budgets a true exponent of 0.51 became 0.58 to 0.60). So a crossing is used where the line
    through all of them expects it inside by the margin, wherever it was itself found. The worst one is refused first.
    """
    located = list(located)
    while True:
        usable = [number for number, (crossing, _) in enumerate(located) if crossing.refusal is None]
        if len(usable) < MIN_CROSSINGS:
            return located, None
        log_N_W, log_C_W = (np.log([getattr(located[k][0], name) for k in usable]) for name in ("N", "C"))
        noise_RW = np.stack([located[k][1] for k in usable], axis=1)
        line = noisy_line(log_N_W, log_C_W, log_C_W + noise_RW, degrees)
        expected_W = line.level + line.slope * (log_N_W - line.center)
        low_W, high_W, sd_W = (
            np.array(values)
            for values in zip(*((pairs[k].low, pairs[k].high, located[k][0].log_sd) for k in usable), strict=True)
        )
        margin_W = np.minimum(expected_W - low_W, high_W - expected_W) - EDGE_MARGIN * sd_W
        worst = int(np.argmin(margin_W))
        if margin_W[worst] >= 0:
            return located, line
        crossing, _ = located[usable[worst]]
        located[usable[worst]] = _refused(crossing, "edge"), np.zeros(len(noise_RW))


def _status(
    curves: Sequence[SizeCurve], short: Sequence[float], crossings: Sequence[Crossing]
) -> tuple[EnvelopeStatus, str]:
    sizes = [*(curve.log_N for curve in curves), *short]
    if len(sizes) == 1:
        return "one_size", f"every run has N = {math.exp(sizes[0]):.4g}; crossings need several sizes"
    if len(curves) < 2:
        return "one_horizon", (
            f"{len(curves)} of {len(sizes)} sizes were trained for {MIN_HORIZONS} horizons or more: "
            "train each size for several token counts"
        )
    usable = sum(crossing.refusal is None for crossing in crossings)
    if usable >= MIN_CROSSINGS:
        return "converged", ""
    if crossings and all(crossing.refusal == "no_overlap" for crossing in crossings):
        return "no_overlap", "no two neighboring sizes were trained for the same compute: train them for common C"
    refused = [
        f"{crossing.smaller:.3g} and {crossing.larger:.3g}: {crossing.refusal}"
        for crossing in crossings
        if crossing.refusal
    ]
    why = f" (refused: {', '.join(refused[:4])})" if refused else ""
    return "too_few_crossings", f"{usable} crossings of neighboring sizes{why}; an exponent needs {MIN_CROSSINGS}"
