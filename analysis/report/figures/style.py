"""How every figure looks: one palette, one set of sizes, ticks and numbers that read as people write them.

Colours are names: on the page each is a CSS variable with a light and a dark value, in a file its light value. The
palette is Okabe and Ito's, which the colour-blind can tell apart; model sizes go along viridis, which also prints grey.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES = 7.2  # the text of a two-column paper
INK, MUTED, GRID, PAPER = "#1f2328", "#5b6470", "#e1e4e8", "#ffffff"
BLUE, RED, GREEN, ORANGE = "#0072b2", "#d55e00", "#009e73", "#b87a00"
# name of the CSS variable: value in light, value in dark
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
SIZE_LEVELS = 12
# The stretch of viridis that is seen on white, and the one that is seen on black.
LIGHT_STRETCH, DARK_STRETCH = (0.02, 0.82), (0.42, 1.0)
AXIS_LABELS = {
    "N": "model size N (parameters)",
    "D": "training data D (tokens)",
    "C": "training compute C (FLOPs)",
    "M": "tokens per parameter D/N",
}
SUFFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_TICKS = 6
WIDE_TICKS = 5  # where labels are as wide as 3×10¹⁸, or panels narrow
BAND_OPACITY = 0.16  # on the page a variable too: on black a band needs more
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so that widths are the same everywhere
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
    "text.parse_math": False,  # a dollar sign in a run's name is one
    "svg.fonttype": "none",  # text stays text: found, read aloud, set in the reader's font
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Matplotlib's own defaults and this style, whatever the reader's matplotlibrc says; `name` salts the ids."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "svg.hashsalt": f"windtunnel {name}"})
        yield


def size_theme() -> dict[str, tuple[str, str]]:
    """The colours of model sizes, smallest first: CSS variable -> light, dark."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    viridis = colormaps["viridis"]
    steps = np.linspace(0.0, 1.0, SIZE_LEVELS)
    pairs = [
        tuple(to_hex(viridis(low + step * (high - low))) for low, high in (LIGHT_STRETCH, DARK_STRETCH))
        for step in steps.tolist()
    ]
    return {f"size-{number}": (light, dark) for number, (light, dark) in enumerate(pairs)}


def size_colours(values: NDArray[Any], every: NDArray[Any]) -> list[str]:
    """The colour of each value, by the place of its logarithm among `every` one."""
    colours = [light for light, _ in size_theme().values()]
    low, high = math.log(float(np.min(every))), math.log(float(np.max(every)))
    if high - low < 1e-9:
        return [colours[SIZE_LEVELS // 3]] * len(values)
    place = (np.log(np.asarray(values, dtype=np.float64)) - low) / (high - low) * (SIZE_LEVELS - 1)
    return [colours[int(number)] for number in np.clip(np.rint(place), 0, SIZE_LEVELS - 1)]


def short(value: float, axis: str = "N") -> str:
    """A magnitude as people write it: 25M parameters, 3.2B tokens, 1.2×10¹⁸ FLOPs."""
    if not math.isfinite(value):
        return "unbounded"
    if value == 0:
        return "0"
    if axis not in ("N", "D", "U", "B", "S"):
        exponent = math.floor(math.log10(abs(value)) + 1e-9)
        if -3 <= exponent < 5:
            return figures(value)
        mantissa, rounded = f"{value:.2e}".split("e")  # 9.999e14 is 10¹⁵, not 10×10¹⁴
        power = f"10{str(int(rounded)).translate(SUPERSCRIPTS)}"
        return power if float(mantissa) == 1 else f"{float(mantissa):g}×{power}"
    for scale, suffix in SUFFIXES:
        if abs(value) >= 0.9995 * scale:
            return f"{value / scale:.3g}{suffix}"
    return f"{value:.3g}"


def figures(value: float) -> str:
    """Four figures, without an exponent where people would write none."""
    text = f"{value:.4g}"
    return f"{float(text):,.0f}" if "e+0" in text and abs(value) < 1e7 else text


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two values, at most so many."""
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
        decades = [number for number in range(first, last + 1) if number % stride == 0]
        found = [part * 10.0**decade for decade in decades for part in parts]
        found = [tick for tick in found if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(found) <= most:
            return found
    return found


def log_axis(
    axes: "Axes",
    which: str,
    name: str,
    low: float,
    high: float,
    *,
    margin: float = 0.06,
    after: float = 0.0,
    most: int = MOST_TICKS,
) -> None:
    """Make the axis logarithmic from `low` to `high` and a margin (and `after`, room beyond the high end, as a share of
    the range), with readable ticks in the units of `name`.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    spread, room = (high / low, (high / low) ** margin) if high > low else (1.5, 1.5)
    low, high = low / room, high * room * spread**after
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    ticks = log_ticks(low, high, min(most, WIDE_TICKS) if name == "C" else most)
    if len(ticks) < 3 and high < 10 * low:
        axis.set_major_locator(MaxNLocator(nbins=most - 2, steps=[1, 2, 2.5, 5, 10]))
    else:
        axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value, name)))


def limits(*values: NDArray[Any]) -> tuple[float, float]:
    """The smallest and the largest of all finite values above zero."""
    every = np.concatenate([np.ravel(np.asarray(each, dtype=np.float64)) for each in values])
    every = every[np.isfinite(every) & (every > 0)]
    return float(every.min()), float(every.max())


def marker_area(num_points: int) -> float:
    """In points squared: many points are small ones."""
    return float(np.clip(2600 / max(num_points, 1), 9, 30))


def spread_labels(places: Sequence[float], gap: float) -> list[float]:
    """Heights near the given ones, in their order, no two closer than `gap`."""
    order = np.argsort(places, kind="stable")
    moved = np.array(places, dtype=np.float64)[order]
    for _ in range(60):
        for lower in range(len(moved) - 1):
            short_by = gap - (moved[lower + 1] - moved[lower])
            if short_by > 1e-12:
                moved[lower] -= short_by / 2
                moved[lower + 1] += short_by / 2
    found = np.empty_like(moved)
    found[order] = moved
    return [float(each) for each in found]
