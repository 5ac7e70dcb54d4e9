"""Lines of the fit through (N, D): loss along one axis with the other held, and the band of a new run.

Legend: P rows, G points along a line, Q queries of an interval.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.report.figures.fitted_rows import FittedRows, sizes_of, some_of

POINTS = 61
# An interval costs dozens of refits: a band is traced at a few points and is smooth between them.
SIZES, BUDGETS, QUERIES = 5, 3, 5
# Where points times parameters are more than this: fewer lines, fewer points on each.
LARGE, LARGE_SIZES, LARGE_BUDGETS, LARGE_QUERIES = 600, 3, 2, 3
LEAST_ROWS = 2  # a size with one budget shows no curve; it has a line only where no size has more
# A line goes on past its own data by this factor at least.
PAST = 1.3
SCALE = ("N", "D", "C", "M", "U")


@dataclass(frozen=True)
class Line:
    """held: "N", "D" or "" and its value. Along it `columns` (those of N, D, C that are known), and the loss with the
    ends of the band, each (G,).
    """

    held: str
    value: float
    columns: dict[str, Array]
    loss_G: Array
    low_G: Array
    high_G: Array


def lines_of(fit: Fit, rows: FittedRows) -> list[Line]:
    """Lines at constant size and at constant data, or the one line of a law of a single column; none for a law of
    other columns, or where the fit was refused.
    """
    if not fit.parameters:
        return []
    columns = rows.magnitudes
    read = [name for name in SCALE if name in fit.law.columns]
    if len(fit.law.columns) == 1 and fit.law.columns[0] in ("N", "D", "C"):
        return [_single(fit, columns)]
    if not read or not {"N", "D"} <= columns.keys():
        return []
    large = len(rows.observed_P) * fit.law.num_parameters > LARGE
    found = []
    for held, moving in (("N", "D"), ("D", "N")):
        if held == "N":
            levels = _shown_sizes(columns, LARGE_SIZES if large else SIZES)
        else:  # not the extremes: what a line in the midst of the data says is seen beside the data
            middle = np.linspace(0.15, 0.85, LARGE_BUDGETS if large else BUDGETS)
            levels = np.unique(np.exp(np.quantile(np.log(columns["D"]), middle, method="closest_observation")))
        for level in levels.tolist():
            own = np.abs(np.log(columns[held] / level)) < 0.05
            along = columns[moving][own] if held == "N" else columns[moving]
            grid_G = np.geomspace(along.min() / PAST, along.max() * PAST, POINTS)
            fixed_G = np.full(POINTS, level)
            size_G, data_G = (fixed_G, grid_G) if held == "N" else (grid_G, fixed_G)
            along_G = _all_columns(fit, rows, size_G, data_G)
            found.append(_line(fit, held, level, along_G, LARGE_QUERIES if large else QUERIES))
    return found


def _shown_sizes(columns: dict[str, Array], most: int) -> Array:
    sizes = sizes_of(columns["N"])
    count = [len(sizes_of(columns["D"][np.abs(np.log(columns["N"] / size)) < 0.05])) for size in sizes.tolist()]
    return some_of(sizes[np.array(count) >= min(LEAST_ROWS, max(count))], most)


def _single(fit: Fit, columns: dict[str, Array]) -> Line:
    name = fit.law.columns[0]
    grid_G = np.geomspace(columns[name].min() / PAST, columns[name].max() * PAST, POINTS)
    return _line(fit, "", 0.0, {name: grid_G}, QUERIES)


def _all_columns(fit: Fit, rows: FittedRows, size_G: Array, data_G: Array) -> dict[str, Array]:
    """N, D, C in the table's own convention (C / (N D) depends on N alone), and what else the law reads: M, data that
    is not repeated, the median of any other column.
    """
    columns = rows.magnitudes
    found = {"N": size_G, "D": data_G, "M": data_G / size_G, "U": data_G}
    if "C" in columns:
        sizes = sizes_of(columns["N"])
        ratio_P = columns["C"] / (columns["N"] * columns["D"])
        nearest_P = np.argmin(np.abs(np.log(columns["N"])[:, None] - np.log(sizes)), axis=1)
        ratio = [float(np.median(ratio_P[nearest_P == place])) for place in range(len(sizes))]
        found["C"] = np.interp(np.log(size_G), np.log(sizes), ratio) * size_G * data_G
    for name in fit.law.columns:
        if name not in found:
            found[name] = np.full(len(size_G), float(np.median(rows.table.columns[name])))
    return found


def _line(fit: Fit, held: str, value: float, columns: dict[str, Array], queries: int) -> Line:
    loss_G = fit.predict({name: columns[name] for name in fit.law.columns})
    place_Q = np.linspace(0, POINTS - 1, queries).round().astype(np.intp)
    loss_Q, low_Q, high_Q = predict_interval(fit, {name: columns[name][place_Q] for name in fit.law.columns}, 0.9)
    bounded_Q = np.isfinite(high_Q) & (low_Q > 0) & (loss_Q > 0)
    low_G, high_G = np.full(POINTS, np.nan), np.full(POINTS, np.nan)
    if bounded_Q.sum() > 1:
        # Between two traced points that are bounded; a stretch with an open end has no band.
        covered_G = np.interp(np.arange(POINTS), place_Q, bounded_Q.astype(np.float64)) > 1 - 1e-9
        own_Q = place_Q[bounded_Q]
        low_G[covered_G] = (loss_G * np.exp(_smooth(own_Q, np.log(low_Q / loss_Q)[bounded_Q])))[covered_G]
        high_G[covered_G] = (loss_G * np.exp(_smooth(own_Q, np.log(high_Q / loss_Q)[bounded_Q])))[covered_G]
    return Line(held, value, columns, loss_G, low_G, high_G)


def _smooth(place_Q: NDArray[np.intp], value_Q: Array) -> Array:
    from scipy.interpolate import PchipInterpolator

    return np.asarray(PchipInterpolator(place_Q, value_Q, extrapolate=True)(np.arange(POINTS)), dtype=np.float64)
