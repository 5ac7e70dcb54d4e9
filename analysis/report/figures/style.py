"""The style of every figure: palette, sizes, logarithmic axes and labels.

Colors are CSS variables on the page, each with a light and a dark value; in a file they have the light value. The
palette is that of Okabe and Ito, which is safe for color-blind readers. Model sizes follow viridis, which also prints
in gray.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.report.number_format import format_magnitude

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES = 7.2  # text width of a two-column paper
INK, MUTED, GRID, PAPER = "#1f2328", "#5b6470", "#e1e4e8", "#ffffff"
BLUE, RED, GREEN, ORANGE = "#0072b2", "#d55e00", "#009e73", "#b87a00"
# CSS variable: light value, dark value
THEME = {
    "ink": (INK, "#e8eaed"),
    "muted": (MUTED, "#a3abb6"),
    "grid": (GRID, "#343a42"),
    "paper": (PAPER, "#15181c"),
    "blue": (BLUE, "#58b4e9"),
    "red": (RED, "#ff8f4d"),
    "green": (GREEN, "#3fd0a4"),
    "orange": (ORANGE, "#f0b840"),
}
# Viridis in twelve steps, smallest size first: light from 0.02 to 0.82, dark from 0.42 to 1.
SIZE_COLORS = (
    ("#46085c", "#287d8e"),
    ("#482173", "#238a8d"),
    ("#443983", "#1f968b"),
    ("#3d4e8a", "#20a386"),
    ("#33628d", "#29af7f"),
    ("#2b748e", "#3dbc74"),
    ("#25858e", "#56c667"),
    ("#1f978b", "#75d054"),
    ("#23a983", "#95d840"),
    ("#38b977", "#bade28"),
    ("#5cc863", "#dde318"),
    ("#86d549", "#fde725"),
)
SIZE_THEME = {f"size-{level}": pair for level, pair in enumerate(SIZE_COLORS)}
AXIS_LABELS = {
    "N": "model size N (parameters)",
    "D": "training data D (tokens)",
    "C": "training compute C (FLOPs)",
    "M": "tokens per parameter D/N",
}
MAX_TICKS = 6
MAX_WIDE_TICKS = 5  # for labels as wide as 3×10¹⁸, or narrow panels
BAND_OPACITY = 0.16  # a variable on the page too: a dark page needs more
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # part of matplotlib: equal text widths on every machine
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.parse_math": False,  # a dollar sign in the name of a run is no formula
    "svg.fonttype": "none",  # text stays text: searchable and accessible
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Context with the defaults of matplotlib and this style, whatever the matplotlibrc; `name` salts the SVG ids."""
    import matplotlib  # slow to import, as in every function below

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "svg.hashsalt": f"windtunnel {name}"})
        yield


def size_colors(values: NDArray[Any], all_values: NDArray[Any]) -> list[str]:
    """The color of each value, by the position of its logarithm within the range of `all_values`."""
    colors = [light for light, _ in SIZE_COLORS]
    low, high = math.log(float(np.min(all_values))), math.log(float(np.max(all_values)))
    if high - low < 1e-9:
        return [colors[len(colors) // 3]] * len(values)
    position = (np.log(np.asarray(values, dtype=np.float64)) - low) / (high - low) * (len(colors) - 1)
    return [colors[int(level)] for level in np.clip(np.rint(position), 0, len(colors) - 1)]


def log_ticks(low: float, high: float, max_ticks: int) -> list[float]:
    """Round numbers between two values, at most `max_ticks`."""
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    steps: Sequence[tuple[tuple[float, ...], int]] = (
        ((1, 1.5, 2, 3, 4, 5, 7), 1),
        ((1, 2, 5), 1),
        ((1, 3), 1),
        ((1,), 1),
        ((1,), 2),
        ((1,), 3),
        ((1,), 5),
        ((1,), 10),
    )
    for parts, stride in steps:
        decades = [decade for decade in range(first, last + 1) if decade % stride == 0]
        ticks = [part * 10.0**decade for decade in decades for part in parts]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) <= max_ticks:
            break
    return ticks


def log_axis(
    axes: "Axes",
    which: str,
    name: str,
    low: float,
    high: float,
    *,
    margin: float = 0.06,
    after: float = 0.0,
    max_ticks: int = MAX_TICKS,
) -> None:
    """Makes an axis logarithmic, with readable ticks in the units of column `name`.

    The axis runs from `low` to `high` with a margin on either side and `after` beyond the high end, both as a share of
    the range (of the logarithm).
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    spread, room = (high / low, (high / low) ** margin) if high > low else (1.5, 1.5)
    low, high = low / room, high * room * spread**after
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    ticks = log_ticks(low, high, min(max_ticks, MAX_WIDE_TICKS) if name == "C" else max_ticks)
    if len(ticks) < 3 and high < 10 * low:
        axis.set_major_locator(MaxNLocator(nbins=max_ticks, steps=[1, 2, 2.5, 5, 10]))
    else:
        axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_magnitude(value, name)))


def positive_range(*values: NDArray[Any]) -> tuple[float, float]:
    """The smallest and the largest of all finite values above zero."""
    flat = np.concatenate([np.ravel(np.asarray(array, dtype=np.float64)) for array in values])
    flat = flat[np.isfinite(flat) & (flat > 0)]
    return float(flat.min()), float(flat.max())


def marker_area(num_points: int) -> float:
    """Area of a marker in points squared, smaller where there are more points."""
    return float(np.clip(2600 / max(num_points, 1), 9, 30))


def spread_labels(heights: Sequence[float], gap: float) -> list[float]:
    """Heights near the given ones and in their order, with at least `gap` between neighbors."""
    order = np.argsort(heights, kind="stable")
    moved = np.array(heights, dtype=np.float64)[order]
    for _ in range(60):
        for lower in range(len(moved) - 1):
            missing = gap - (moved[lower + 1] - moved[lower])
            if missing > 1e-12:
                moved[lower] -= missing / 2
                moved[lower + 1] += missing / 2
    spread = np.empty_like(moved)
    spread[order] = moved
    return [float(height) for height in spread]
