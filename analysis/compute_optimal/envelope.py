"""Optimal size along the envelope of the sizes' curves of loss against compute: Chinchilla's first approach.

Each size has a curve of log loss against log C; where the curves of two neighbouring sizes cross, both are as good, and
the best size lies between them. Hoffmann et al. 2022 (arXiv 2203.15556) took the lowest curve at 1500 values of C and
fitted a line to the sizes found. That is a staircase: its steps count the same noise many times, and its first and last
step are edges of the grid, not optima. Here each step's end, a crossing, is one point:

- N is the geometric mean of the two sizes. Under E + A/N^alpha + B/D^beta the true optimum is off it by the factor
  exp((beta - alpha) log(ratio)^2 / 24), the same at every C: .5 % for a ratio of 4 and exponents .34 and .28.
- Noise moves a crossing along C, not along N. So log C is fitted as a line in log N, whose slope is 1/a; fitting log N
  to a noisy log C would pull a towards 0.
- The smallest and the largest size only bound crossings: no edge of the grid is ever a point.
- Neighbours are a size and the next one at least twice as large: closer curves cross too flatly to see where.
- A crossing outside the compute that both sizes were trained for is refused, one too near its ends too (the line, not
  the crossing itself, says which: else the line would be tilted by those that noise threw inside), and so is one that
  noise hides.

Every row must be the end of a finished schedule: mid-run evaluations of a decaying run lie above the curve.

Legend: P rows of the table, R replicates, G places in C, W crossings that were found.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.compute_optimal.isoflop import NoiseFrom
from windtunnel.analysis.compute_optimal.noise_propagation import Sums, pulled_noise
from windtunnel.analysis.compute_optimal.size_curve import LEAST_HORIZONS, WINDOW, SizeCurve, curves_of, pooled
from windtunnel.analysis.compute_optimal.weighted_line import NoisyLine, noisy_line
from windtunnel.analysis.tables.seeds import seed_degrees, seed_noise
from windtunnel.analysis.tables.table import Table

Array = NDArray[np.float64]
NEIGHBOUR = math.log(2.0) - 0.05
LEAST_CROSSINGS = 3
# A crossing whose standard deviation is more than this share of the range in which it was sought (.29 is anywhere in
# it) is not seen at all.
BLIND_SHARE = 0.22
# How many of its standard deviations a crossing must be expected inside the compute that both sizes were trained for.
CLEAR = 2.0
PLACES = 129
Refusal = Literal["no_overlap", "edge", "reversed", "noise"]
EnvelopeStatus = Literal["converged", "one_size", "one_horizon", "no_overlap", "too_few_crossings", "no_trend"]


@dataclass(frozen=True)
class Crossing:
    """Where the larger of two sizes overtakes the smaller; N is their geometric mean, log_sd that of log C. Refused: C,
    D, loss and log_sd are NaN.
    """

    smaller: float
    larger: float
    N: float
    refusal: Refusal | None
    C: float
    D: float
    loss: float
    log_sd: float


@dataclass(frozen=True)
class Envelope:
    """`line` is log C against log N through the crossings; None unless converged."""

    crossings: tuple[Crossing, ...]
    num_sizes: int
    sizes_without_curve: int
    status: EnvelopeStatus
    reason: str
    noise: float
    """Standard deviation of log loss."""
    noise_from: NoiseFrom
    line: NoisyLine | None
    flops_per_token: tuple[float, float]
    """log(C / D) = first + second * log N, along the crossings."""


def fit_envelope(table: Table, *, replicates: int = 2000, seed: int = 0) -> Envelope:
    """Crossings and their line of a table with columns C, N, D and loss. The noise is that of seeds where the table has
    them, else that of the residuals about the curves; rows of one run share theirs. Raises InputError where a column is
    missing or wrong.
    """
    curves, without = curves_of(table)
    places = [_locate(smaller, larger) for smaller, larger in _neighbours(curves)]
    of_seeds = seed_noise(table)
    noise, degrees = _noise_at(places) if of_seeds is None else (of_seeds, float(seed_degrees(table)))
    moved = pulled_noise(table.run, noise, replicates, seed, [_pull_of(place) for place in places])
    found = [_crossing(place, moved_R1[:, 0]) for place, moved_R1 in zip(places, moved, strict=True)]
    found, line = _clear_of_edges(found, places, degrees or None)
    crossings = tuple(crossing for crossing, _ in found)
    status, reason = _status(curves, without, crossings)
    flops_per_token = (math.nan, math.nan)
    if line is not None:
        kept = [each for each in crossings if each.refusal is None]
        cost_W = np.log([each.C / each.D for each in kept])
        slope, level = np.polyfit(np.log([each.N for each in kept]), cost_W, 1)
        flops_per_token = (float(level), float(slope))
        if line.slope_interval()[0] <= 0:
            status, reason = "no_trend", "the compute of the crossings does not grow with size beyond their noise"
            line = None
    return Envelope(
        crossings=crossings,
        num_sizes=len(curves) + len(without),
        sizes_without_curve=len(without),
        status=status,
        reason=reason,
        noise=noise,
        noise_from="residuals" if of_seeds is None else "seeds",
        line=line,
        flops_per_token=flops_per_token,
    )


def _neighbours(curves: Sequence[SizeCurve]) -> list[tuple[SizeCurve, SizeCurve]]:
    """Each size with the next one at least twice as large."""
    pairs = []
    for place, curve in enumerate(curves):
        larger = next((each for each in curves[place + 1 :] if each.log_N - curve.log_N >= NEIGHBOUR), None)
        if larger is not None:
            pairs.append((curve, larger))
    return pairs


@dataclass(frozen=True)
class _Place:
    """Where two curves cross, before noise is asked whether that can be seen: log C and log loss, the slope of the
    larger's log loss less the smaller's, and the ends of the range of log C that both were trained for.
    """

    smaller: SizeCurve
    larger: SizeCurve
    refusal: Refusal | None
    log_C: float = math.nan
    log_loss: float = math.nan
    slope: float = math.nan
    low: float = math.nan
    high: float = math.nan


# A crossing, and what noise does to its log C: (R,).
_Found = tuple[Crossing, Array]


def _locate(smaller: SizeCurve, larger: SizeCurve) -> _Place:
    low = max(smaller.horizons[0], larger.horizons[0])
    high = min(smaller.horizons[-1], larger.horizons[-1])
    if high <= low:
        return _Place(smaller, larger, "no_overlap")
    log_C_G = np.linspace(low, high, PLACES)
    small_G, large_G = (curve.at(log_C_G) for curve in (smaller, larger))
    gap_G = large_G - small_G
    centred_G = log_C_G - log_C_G.mean()
    slope = float(centred_G @ gap_G) / float(centred_G @ centred_G)
    # The length on which the smaller is better ends at the crossing, and is its mean where noise makes several.
    share = _positive_share(gap_G)
    if share in (0.0, 1.0):
        return _Place(smaller, larger, "edge")
    if slope >= 0:
        return _Place(smaller, larger, "reversed")
    log_C = float(low + share * (high - low))
    log_loss = float(np.interp(log_C, log_C_G, 0.5 * (small_G + large_G)))
    return _Place(smaller, larger, None, log_C, log_loss, slope, float(low), float(high))


def _noise_at(places: Sequence[_Place]) -> tuple[float, float]:
    """The noise about the curves near their crossings, and its degrees of freedom: far from there a curve may bend as
    no parabola does, and no crossing reads it.
    """
    near: dict[int, tuple[SizeCurve, list[float]]] = {}
    for each in places:
        for curve in (each.smaller, each.larger) if each.refusal is None else ():
            near.setdefault(id(curve), (curve, []))[1].append(each.log_C)
    squares = freedom = 0.0
    for curve, crossings in near.values():
        log_C_P, squares_P, freedom_P = curve.residuals()
        seen_P = np.abs(log_C_P[:, None] - np.array(crossings)).min(axis=1) <= WINDOW
        squares += float(squares_P[seen_P].sum())
        freedom += float(freedom_P[seen_P].sum())
    return pooled(squares, freedom)


def _pull_of(place: _Place) -> Sums:
    """What takes noise of the log losses to the log C of the crossing; nothing where there is none."""
    if place.refusal is not None:
        return Sums(np.empty(0, dtype=np.intp), np.empty((1, 0)))
    at = np.array([place.log_C])
    shares_1P = np.concatenate([place.smaller.pull_at(at), -place.larger.pull_at(at)], axis=1) / place.slope
    return Sums(np.concatenate([place.smaller.rows_P, place.larger.rows_P]), shares_1P)


def _crossing(place: _Place, noise_R: Array) -> _Found:
    """The crossing, and what noise does to its log C: (R,)."""
    smaller, larger = place.smaller, place.larger
    crossing = Crossing(
        smaller=math.exp(smaller.log_N),
        larger=math.exp(larger.log_N),
        N=math.exp(0.5 * (smaller.log_N + larger.log_N)),
        refusal=place.refusal,
        C=math.nan,
        D=math.nan,
        loss=math.nan,
        log_sd=math.nan,
    )
    if place.refusal is not None:
        return crossing, noise_R
    log_sd = float(np.std(noise_R))
    if log_sd > BLIND_SHARE * (place.high - place.low):
        return _refused(crossing, "noise"), np.zeros(len(noise_R))
    crossing = replace(
        crossing,
        C=math.exp(place.log_C),
        D=math.exp(0.5 * (smaller.tokens_at(place.log_C) + larger.tokens_at(place.log_C))),
        loss=math.exp(place.log_loss),
        log_sd=log_sd,
    )
    return crossing, noise_R


def _refused(crossing: Crossing, why: Refusal) -> Crossing:
    return replace(crossing, refusal=why, C=math.nan, D=math.nan, loss=math.nan, log_sd=math.nan)


def _clear_of_edges(
    found: Sequence[_Found], places: Sequence[_Place], degrees: float | None
) -> tuple[list[_Found], NoisyLine | None]:
    """The crossings with those refused that are too near an edge, and the line through the others, or None.

    Noise throws some crossings over the edge, where they are not seen; those that it throws inside are, and would tilt
    the line (a truth of .51 was .58 to .60 on a grid of isoFLOP budgets). So a pair counts where the line of all says
    that its crossing is inside by its noise, wherever it was itself found. The worst goes first.
    """
    found = list(found)
    while True:
        kept = [number for number, (crossing, _) in enumerate(found) if crossing.refusal is None]
        if len(kept) < LEAST_CROSSINGS:
            return found, None
        log_N_W, log_C_W = (np.log([getattr(found[number][0], name) for number in kept]) for name in ("N", "C"))
        noise_RW = np.stack([found[number][1] for number in kept], axis=1)
        line = noisy_line(log_N_W, log_C_W, log_C_W + noise_RW, degrees)
        expected_W = line.level + line.slope * (log_N_W - line.centre)
        low_W, high_W, sd_W = (
            np.array(values)
            for values in zip(*((places[k].low, places[k].high, found[k][0].log_sd) for k in kept), strict=True)
        )
        room_W = np.minimum(expected_W - low_W, high_W - expected_W) - CLEAR * sd_W
        worst = int(np.argmin(room_W))
        if room_W[worst] >= 0:
            return found, line
        crossing, _ = found[kept[worst]]
        found[kept[worst]] = _refused(crossing, "edge"), np.zeros(len(noise_RW))


def _positive_share(gap_G: Array) -> float:
    """The share of the range on which the piecewise linear gap is above zero."""
    above_G = np.maximum(gap_G, 0.0)
    rise = np.abs(np.diff(gap_G))
    change = np.abs(np.diff(above_G))
    whole = (gap_G[1:] > 0) & (gap_G[:-1] > 0)
    part = np.divide(change, rise, out=np.zeros_like(rise), where=rise > 0)
    return float(np.mean(np.where(whole, 1.0, part)))


def _status(
    curves: Sequence[SizeCurve], without: Sequence[float], crossings: Sequence[Crossing]
) -> tuple[EnvelopeStatus, str]:
    sizes = [*(each.log_N for each in curves), *without]
    if len(sizes) == 1:
        return "one_size", f"every run has N = {math.exp(sizes[0]):.4g}; crossings need several sizes"
    if len(curves) < 2:
        return "one_horizon", (
            f"{len(curves)} of {len(sizes)} sizes were trained for {LEAST_HORIZONS} horizons or more: "
            "train each size for several token counts"
        )
    found = sum(each.refusal is None for each in crossings)
    if found >= LEAST_CROSSINGS:
        return "converged", ""
    if crossings and all(each.refusal == "no_overlap" for each in crossings):
        return "no_overlap", "no two neighbouring sizes were trained for the same compute: train them for common C"
    refused = [f"{each.smaller:.3g} and {each.larger:.3g}: {each.refusal}" for each in crossings if each.refusal]
    why = f" (refused: {', '.join(refused[:4])})" if refused else ""
    return "too_few_crossings", f"{found} crossings of neighbouring sizes{why}; an exponent needs {LEAST_CROSSINGS}"
