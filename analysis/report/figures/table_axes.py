"""What the figures of a run table share: axes that vary, labels, points colored by size, and the legend of sizes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.report.figures.fitted_rows import FittedRows, distinct_sizes, select_evenly
from windtunnel.analysis.report.figures.style import INK, PAPER, marker_area, size_colors
from windtunnel.analysis.report.number_format import format_magnitude
from windtunnel.analysis.tables.table import UNITS

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = ("N", "D", "C")
MIN_SPREAD = 1.03  # factor from the smallest to the largest value of an axis worth showing
MAX_LEGEND_SIZES = 8


def varying_axes(rows: FittedRows) -> list[str]:
    """Those of N, D and C that have several values."""
    columns = rows.magnitudes
    return [name for name in AXES if name in columns and np.ptp(np.log(columns[name])) > np.log(MIN_SPREAD)]


def target_label(target: str) -> str:
    """Axis label of the quantity that a law predicts."""
    if target == "loss":
        return "validation loss (nats per token)"
    return f"{target} ({UNITS[target]})" if target in UNITS else target


def scatter_rows(
    panel: "Axes", x_P: Array, y_P: Array, rows: FittedRows, hollow_P: NDArray[np.bool_] | None = None
) -> None:
    """A point for each row, colored by model size."""
    sizes_P = rows.magnitudes.get("N")
    color_P = np.array([INK] * len(x_P) if sizes_P is None else size_colors(sizes_P, sizes_P))
    area = marker_area(len(x_P))
    if hollow_P is None:
        hollow_P = np.zeros(len(x_P), dtype=np.bool_)
    x, y, color = x_P[~hollow_P], y_P[~hollow_P], color_P[~hollow_P]
    panel.scatter(x, y, s=area, c=color, edgecolor=PAPER, linewidth=0.4, zorder=3)
    x, y, color = x_P[hollow_P], y_P[hollow_P], color_P[hollow_P]
    panel.scatter(x, y, s=area, facecolor=PAPER, edgecolor=color, linewidth=0.8, zorder=3)


def size_legend(figure: "Figure", panel: "Axes", sizes_P: Array | None) -> None:
    """The colors of model sizes, below all panels; nothing where the table has no sizes."""
    if sizes_P is None:
        return
    levels = select_evenly(distinct_sizes(sizes_P), MAX_LEGEND_SIZES)
    handles = [
        panel.scatter([], [], s=24, color=color, label=format_magnitude(level))
        for level, color in zip(levels.tolist(), size_colors(levels, sizes_P), strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles) + 1,
        title="model size (parameters)",
        title_fontsize=8,
        handletextpad=0.1,
        columnspacing=1.0,
    )
