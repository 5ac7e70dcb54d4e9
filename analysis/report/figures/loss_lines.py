"""Lines of a fit through the plane of N and D, with the 90 % band of a new run.

Legend: P rows, G points along a line, Q points at which an interval is computed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.prediction.target import complete
from windtunnel.analysis.report.figures.fitted_rows import FittedRows, distinct_sizes, select_evenly
from windtunnel.analysis.report.figures.style import BAND_OPACITY

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes

POINTS = 61
BAND_LEVEL = 0.9
# An interval costs dozens of refits, so a band is computed at a few points and interpolated between them.
NUM_SIZES, NUM_BUDGETS, NUM_QUERIES, NUM_PATH_QUERIES = 5, 3, 5, 9
# Above this many points times parameters: fewer lines, fewer points on each.
LARGE, LARGE_SIZES, LARGE_BUDGETS, LARGE_QUERIES, LARGE_PATH_QUERIES = 600, 3, 2, 3, 5
MIN_BUDGETS = 2  # of a size that has a line, unless no size has as many
MARGIN = 1.3  # factor by which a line extends past its own data
SAME_LEVEL = 0.05  # rows within this logarithm of a size or a token count belong to it
SCALE = ("N", "D", "C", "M", "U")


@dataclass(frozen=True)
class FittedLine:
    """The law along a line, on which the column `constant` ("N", "D", or "" for none) has the value `value`.

    `columns` are those of N, D and C that are known, with the columns of the law; `low_G` and `high_G` are the ends of
    the band, NaN where it is unbounded or was not computed. All are (G,).
    """

    constant: str
    value: float
    columns: dict[str, Array]
    loss_G: Array
    low_G: Array
    high_G: Array


def fitted_lines(fit: Fit, rows: FittedRows) -> list[FittedLine]:
    """Lines at constant size and at constant data, or one line for a law of one column.

    Empty for a law of other columns, and where the fit was refused.
    """
    if not fit.parameters:
        return []
    columns = rows.magnitudes
    if (single := _single_column(fit)) is not None:
        grid_G = np.geomspace(columns[single].min() / MARGIN, columns[single].max() * MARGIN, POINTS)
        return [_line(fit, "", 0.0, {single: grid_G}, NUM_QUERIES)]
    if not _is_of_size_and_data(fit, rows):
        return []
    large = _is_large(fit, rows)
    lines = []
    for constant, varying in (("N", "D"), ("D", "N")):
        if constant == "N":
            levels = _sizes_with_budgets(columns, LARGE_SIZES if large else NUM_SIZES)
        else:  # not the extremes: lines in the middle of the data can be compared with them
            shares = np.linspace(0.15, 0.85, LARGE_BUDGETS if large else NUM_BUDGETS)
            levels = np.unique(np.exp(np.quantile(np.log(columns["D"]), shares, method="closest_observation")))
        for level in levels.tolist():
            in_level = np.abs(np.log(columns[constant] / level)) < SAME_LEVEL
            along = columns[varying][in_level] if constant == "N" else columns[varying]
            grid_G = np.geomspace(along.min() / MARGIN, along.max() * MARGIN, POINTS)
            fixed_G = np.full(POINTS, level)
            size_G, data_G = (fixed_G, grid_G) if constant == "N" else (grid_G, fixed_G)
            along_G = _model_columns(fit, rows, size_G, data_G)
            lines.append(_line(fit, constant, level, along_G, LARGE_QUERIES if large else NUM_QUERIES))
    return lines


def path_line(fit: Fit, rows: FittedRows, at: Mapping[str, float]) -> FittedLine | None:
    """The law along the straight path in log N and log D from the run of least compute to the target `at`.

    From the run of most compute where the target has less than every run. None where the fit was refused, or the law or
    the target is not of N and D or of one column.
    """
    if not fit.parameters:
        return None
    columns, target = rows.magnitudes, complete(at)
    queries = LARGE_PATH_QUERIES if _is_large(fit, rows) else NUM_PATH_QUERIES
    if (single := _single_column(fit)) is not None:
        if single not in target:
            return None
        start = _start(columns[single], float(target[single]))
        return _line(fit, "", 0.0, {single: np.geomspace(columns[single][start], target[single], POINTS)}, queries)
    if not _is_of_size_and_data(fit, rows) or not {"N", "D"} <= target.keys():
        return None
    start = _start(columns["N"] * columns["D"], float(target["N"] * target["D"]))
    size_G, data_G = (np.geomspace(columns[name][start], float(target[name]), POINTS) for name in ("N", "D"))
    return _line(fit, "", 0.0, _model_columns(fit, rows, size_G, data_G, target), queries)


def size_lines(fit: Fit, rows: FittedRows, max_sizes: int) -> list[FittedLine]:
    """The law at the sizes that have several token counts, over these and without bands."""
    if not fit.parameters or not _is_of_size_and_data(fit, rows):
        return []
    columns = rows.magnitudes
    lines = []
    for size in _sizes_with_budgets(columns, max_sizes).tolist():
        data = columns["D"][np.abs(np.log(columns["N"] / size)) < SAME_LEVEL]
        along_G = _model_columns(fit, rows, np.full(POINTS, size), np.geomspace(data.min(), data.max(), POINTS))
        lines.append(_line(fit, "N", size, along_G, 0))
    return lines


def compute_of(rows: FittedRows, at: Mapping[str, float]) -> float | None:
    """Compute C of a target in the convention of the table; None where it is not known."""
    columns, target = rows.magnitudes, complete(at)
    if "C" in at or not {"N", "D", "C"} <= columns.keys() or not {"N", "D"} <= target.keys():
        return float(target["C"]) if "C" in target else None
    size, data = np.array([float(target["N"])]), np.array([float(target["D"])])
    return float(_compute(columns, size, data)[0])


def plot_line(panel: "Axes", x_G: Array, line: FittedLine, color: str, width: float = 1.2) -> None:
    """The band and the line: solid where the band is bounded, dashed elsewhere."""
    panel.fill_between(x_G, line.low_G, line.high_G, color=color, alpha=BAND_OPACITY, linewidth=0, zorder=1.5)
    bounded_G = np.isfinite(line.low_G)
    for shown_G, style in ((bounded_G, "-"), (~bounded_G, (0, (3, 2)))):
        # The dashed part has one point more on either side, so that the parts meet.
        joined_G = np.convolve(shown_G, np.ones(3), "same") > 0 if style != "-" else shown_G
        panel.plot(
            x_G, np.where(joined_G, line.loss_G, np.nan), color=color, linewidth=width, linestyle=style, zorder=2
        )


def _single_column(fit: Fit) -> str | None:
    """The one column of a law of N, D or C alone."""
    columns = fit.law.columns
    return columns[0] if len(columns) == 1 and columns[0] in ("N", "D", "C") else None


def _is_of_size_and_data(fit: Fit, rows: FittedRows) -> bool:
    return bool(set(SCALE) & set(fit.law.columns)) and {"N", "D"} <= rows.magnitudes.keys()


def _is_large(fit: Fit, rows: FittedRows) -> bool:
    return len(rows.observed_P) * fit.law.num_parameters > LARGE


def _start(compute_P: Array, target: float) -> int:
    return int(np.argmax(compute_P) if target < compute_P.min() else np.argmin(compute_P))


def _sizes_with_budgets(columns: dict[str, Array], max_sizes: int) -> Array:
    sizes = distinct_sizes(columns["N"])
    num_budgets = [
        len(distinct_sizes(columns["D"][np.abs(np.log(columns["N"] / size)) < SAME_LEVEL])) for size in sizes.tolist()
    ]
    return select_evenly(sizes[np.array(num_budgets) >= min(MIN_BUDGETS, max(num_budgets))], max_sizes)


def _model_columns(
    fit: Fit, rows: FittedRows, size_G: Array, data_G: Array, target: Mapping[str, float] | None = None
) -> dict[str, Array]:
    """N, D, C and M along a line, with what else the law reads.

    Data are not repeated (U = D), or as often as at the target; any other column has the value of the target, or else
    its median.
    """
    target = target or {}
    columns = rows.magnitudes
    unique_share = float(target["U"] / target["D"]) if {"U", "D"} <= target.keys() else 1.0
    along = {"N": size_G, "D": data_G, "M": data_G / size_G, "U": data_G * unique_share}
    if "C" in columns:
        along["C"] = _compute(columns, size_G, data_G)
    for name in fit.law.columns:
        if name not in along:
            value = target.get(name)
            along[name] = np.full(len(size_G), float(np.median(rows.table.columns[name]) if value is None else value))
    return along


def _compute(columns: dict[str, Array], size_G: Array, data_G: Array) -> Array:
    """C in the convention of the table, whose C / (N D) depends on N alone: (G,)."""
    sizes = distinct_sizes(columns["N"])
    ratio_P = columns["C"] / (columns["N"] * columns["D"])
    nearest_P = np.argmin(np.abs(np.log(columns["N"])[:, None] - np.log(sizes)), axis=1)
    ratio = [float(np.median(ratio_P[nearest_P == place])) for place in range(len(sizes))]
    return np.asarray(np.interp(np.log(size_G), np.log(sizes), ratio) * size_G * data_G)


def _line(fit: Fit, constant: str, value: float, columns: dict[str, Array], num_queries: int) -> FittedLine:
    loss_G = fit.predict({name: columns[name] for name in fit.law.columns})
    low_G, high_G = np.full(POINTS, np.nan), np.full(POINTS, np.nan)
    line = FittedLine(constant, value, columns, loss_G, low_G, high_G)
    if not num_queries:
        return line
    place_Q = np.linspace(0, POINTS - 1, num_queries).round().astype(np.intp)
    queries = {name: columns[name][place_Q] for name in fit.law.columns}
    loss_Q, low_Q, high_Q = predict_interval(fit, queries, BAND_LEVEL)
    bounded_Q = np.isfinite(high_Q) & (low_Q > 0) & (loss_Q > 0)
    if bounded_Q.sum() > 1:
        # The band lies between neighboring queries that are both bounded.
        covered_G = np.interp(np.arange(POINTS), place_Q, bounded_Q.astype(np.float64)) > 1 - 1e-9
        bounded_place_Q = place_Q[bounded_Q]
        for end_G, end_Q in ((low_G, low_Q), (high_G, high_Q)):
            log_ratio_G = _interpolate(bounded_place_Q, np.log(end_Q / loss_Q)[bounded_Q])
            end_G[covered_G] = (loss_G * np.exp(log_ratio_G))[covered_G]
    return line


def _interpolate(place_Q: NDArray[np.intp], value_Q: Array) -> Array:
    from scipy.interpolate import PchipInterpolator  # slow to import

    return np.asarray(PchipInterpolator(place_Q, value_Q, extrapolate=True)(np.arange(POINTS)), dtype=np.float64)
