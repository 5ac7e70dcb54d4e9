"""Loss against size, data and compute: every row, the fit, and the band in which nine of ten new runs should fall."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.report.figures.figure import Drawing, draw
from windtunnel.analysis.report.figures.fitted_rows import FittedRows, sizes_of, some_of
from windtunnel.analysis.report.figures.loss_lines import Line, lines_of
from windtunnel.analysis.report.figures.style import (
    AXIS_LABELS,
    BAND_OPACITY,
    BLUE,
    INK,
    MUTED,
    PAPER,
    WIDE_TICKS,
    limits,
    log_axis,
    marker_area,
    short,
    size_colours,
    spread_labels,
)
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.tables.table import UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = ("N", "D", "C")
LEGEND = 8
LEAST_SPREAD = 1.03  # of an axis, as a factor: below it there is nothing to see along it


def target_label(target: str) -> str:
    if target == "loss":
        return "validation loss (nats per token)"
    return f"{target} ({UNITS[target]})" if target in UNITS else target


def loss_figure(fit: Fit, rows: FittedRows) -> Drawing | None:
    """None where the table has none of N, D and C."""
    columns = {name: rows.magnitudes[name] for name in AXES if name in rows.magnitudes}
    shown = [name for name, values in columns.items() if float(np.ptp(np.log(values))) > np.log(LEAST_SPREAD)]
    if not shown:
        return None
    lines = lines_of(fit, rows)

    def paint(figure: "Figure") -> None:
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for panel, name in zip(panels, shown, strict=True):
            _panel(panel, name, fit, rows, lines)
        panels[0].set_ylabel(target_label(fit.law.target))
        if "N" in columns:
            size_legend(figure, panels[0], columns["N"])

    names = {"N": "model size", "D": "training tokens", "C": "training compute"}
    against = ", ".join(names[name] for name in shown)
    return draw(
        "loss",
        "Loss and fit",
        f"{len(rows.observed_P)} measured losses from {rows.observed_P.min():.4g} to {rows.observed_P.max():.4g} "
        f"against {against}" + (", with lines of the fit and its 90 % band" if lines else ", without a fit"),
        _caption(fit, rows, lines),
        paint,
        3.3,
    )


def _caption(fit: Fit, rows: FittedRows, lines: list[Line]) -> str:
    low, high = rows.observed_P.min(), rows.observed_P.max()
    text = f"{len(rows.observed_P)} rows of {len(set(rows.table.run.tolist()))} runs or trunks, {low:.4g} to {high:.4g}"
    text += f" {UNITS['loss']}." if fit.law.target == "loss" else "."
    if rows.predicted_P is None:
        return f"{text} The fit of {fit.law.name} was refused ({fit.status}): no line."
    text += f" The fit of {fit.law.name} leaves {np.std(rows.residual):.2g} % (s.d. of the residuals)."
    if not lines:
        return f"{text} The law reads {', '.join(fit.law.columns)}: no line against these axes."
    widths = np.concatenate([np.log(line.high_G / line.low_G) for line in lines])
    held = " at constant size (coloured) or data (grey, with its tokens)" if any(line.held for line in lines) else ""
    text += f" Lines are the fit{held}"
    if np.isfinite(widths).any():
        half = 100 * float(np.nanmedian(widths)) / 2
        text += f", bands the 90 % interval of a new run, {half:.2g} % to either side at the median"
    text += "; dashed where the data leave an end of it open." if np.isnan(widths).any() else "."
    if "U" in fit.law.columns:
        repeated = int(_repeats(rows).sum())
        text += f" Lines are of data that is not repeated (U = D); {repeated} hollow points repeat theirs."
    return text


def _repeats(rows: FittedRows) -> NDArray[np.bool_]:
    """Rows that see some data more than once."""
    if not {"U", "D"} <= rows.magnitudes.keys():
        return np.zeros(len(rows.observed_P), dtype=np.bool_)
    return np.asarray(rows.magnitudes["D"] > 1.01 * rows.magnitudes["U"])


def _panel(panel: "Axes", name: str, fit: Fit, rows: FittedRows, lines: list[Line]) -> None:
    columns = rows.magnitudes
    x_P = columns[name]
    sizes = columns.get("N")
    single = [line for line in lines if not line.held and name in line.columns]
    wanted = "D" if name == "N" else "N"
    own = single or [line for line in lines if line.held == wanted]
    colours = []
    if wanted == "N" and sizes is not None and own and not single:
        colours = size_colours(np.array([line.value for line in own]), sizes)
    x_low, x_high = limits(x_P)
    labels: list[tuple[float, float, str]] = []
    for place, line in enumerate(own):
        colour = BLUE if single else MUTED if wanted == "D" else colours[place]
        panel.fill_between(
            line.columns[name], line.low_G, line.high_G, color=colour, alpha=BAND_OPACITY, linewidth=0, zorder=1.5
        )
        bounded_G = np.isfinite(line.low_G)
        for shown_G, style in ((bounded_G, "-"), (~bounded_G, (0, (3, 2)))):
            # One point more on either side, so that the pieces meet.
            joined_G = np.convolve(shown_G, np.ones(3), "same") > 0 if style != "-" else shown_G
            loss_G = np.where(joined_G, line.loss_G, np.nan)
            panel.plot(line.columns[name], loss_G, color=colour, linewidth=1.2, linestyle=style, zorder=2)
        if not single and wanted == "D":
            labels.append((float(line.columns[name][-1]), float(line.loss_G[-1]), short(line.value, "D")))
    colour_P = np.array([INK] * len(x_P) if sizes is None else size_colours(sizes, sizes))
    hollow_P = _repeats(rows)
    area = marker_area(len(x_P))
    panel.scatter(
        x_P[~hollow_P],
        rows.observed_P[~hollow_P],
        s=area,
        c=colour_P[~hollow_P],
        edgecolor=PAPER,
        linewidth=0.4,
        zorder=3,
    )
    panel.scatter(
        x_P[hollow_P],
        rows.observed_P[hollow_P],
        s=area,
        facecolor=PAPER,
        edgecolor=colour_P[hollow_P],
        linewidth=0.8,
        zorder=3,
    )
    log_axis(panel, "x", name, x_low, x_high, margin=0.06, after=0.3 if labels else 0.0, most=WIDE_TICKS)
    if parse_objective(fit.objective).log:
        log_axis(panel, "y", "loss", *limits(rows.observed_P), margin=0.08)
    panel.set_xlabel(AXIS_LABELS[name])
    _label_ends(panel, labels)


def _label_ends(panel: "Axes", labels: list[tuple[float, float, str]]) -> None:
    """The held value after the end of each grey line, where there are no data."""
    to_axes = panel.transAxes.inverted()
    places = [to_axes.transform(panel.transData.transform((x, loss))) for x, loss, _ in labels]
    inside = [number for number, (_, height) in enumerate(places) if 0.0 <= height <= 1.0]
    heights = spread_labels([float(places[number][1]) for number in inside], 0.055)
    for number, height in zip(inside, heights, strict=True):
        x = float(places[number][0]) + 0.015
        panel.annotate(
            labels[number][2], (x, height), xycoords="axes fraction", va="center", fontsize=7, color=MUTED, zorder=4
        )


def size_legend(figure: "Figure", panel: "Axes", sizes_P: Array) -> None:
    """The colours of model sizes, below all panels."""
    levels = some_of(sizes_of(sizes_P), LEGEND)
    handles = [
        panel.scatter([], [], s=24, color=colour, label=short(level))
        for level, colour in zip(levels.tolist(), size_colours(levels, sizes_P), strict=True)
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
