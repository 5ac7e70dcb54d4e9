"""Loss against size, data and compute: every row, lines of the fit, and the 90 % band of a new run."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.report.figures.figure import RenderedFigure, render_figure
from windtunnel.analysis.report.figures.fitted_rows import FittedRows
from windtunnel.analysis.report.figures.loss_lines import FittedLine, fitted_lines, plot_line
from windtunnel.analysis.report.figures.style import (
    AXIS_LABELS,
    BLUE,
    MUTED,
    log_axis,
    positive_range,
    size_colors,
    spread_labels,
)
from windtunnel.analysis.report.figures.table_axes import scatter_rows, size_legend, target_label, varying_axes
from windtunnel.analysis.report.number_format import format_magnitude
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.tables.table import UNITS

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANEL_TICKS = 4  # panels are narrow
AXIS_NAMES = {"N": "model size", "D": "training tokens", "C": "training compute"}


def loss_figure(fit: Fit, rows: FittedRows) -> RenderedFigure | None:
    """None where none of N, D and C varies in the table."""
    axes = varying_axes(rows)
    if not axes:
        return None
    lines = fitted_lines(fit, rows)

    def paint(figure: "Figure") -> None:
        panels = figure.subplots(1, len(axes), sharey=True, squeeze=False)[0]
        for panel, name in zip(panels, axes, strict=True):
            _panel(panel, name, fit, rows, lines)
        panels[0].set_ylabel(target_label(fit.law.target))
        size_legend(figure, panels[0], rows.magnitudes.get("N"))

    against = ", ".join(AXIS_NAMES[name] for name in axes)
    return render_figure(
        "loss",
        "Loss and fit",
        f"{len(rows.observed_P)} measured losses from {rows.observed_P.min():.4g} to {rows.observed_P.max():.4g} "
        f"against {against}" + (", with lines of the fit and its 90 % band" if lines else ", without a fit"),
        _caption(fit, rows, lines),
        paint,
        3.3,
        f"{len(rows.observed_P)} rows against {against}",
    )


def _caption(fit: Fit, rows: FittedRows, lines: list[FittedLine]) -> str:
    low, high = rows.observed_P.min(), rows.observed_P.max()
    text = f"{len(rows.observed_P)} rows of {len(set(rows.table.run.tolist()))} runs or trunks, {low:.4g} to {high:.4g}"
    text += f" {UNITS['loss']}." if fit.law.target == "loss" else "."
    if rows.predicted_P is None:
        return f"{text} The fit of {fit.law.name} was refused ({fit.status}), so there are no lines."
    text += f" The residuals of {fit.law.name} have a standard deviation of {np.std(rows.residual):.2g} %."
    if not lines:
        return f"{text} The law reads {', '.join(fit.law.columns)}, so there are no lines along these axes."
    widths = np.concatenate([np.log(line.high_G / line.low_G) for line in lines])
    at_constant = " at constant size (colored) or constant data (gray, labeled with the tokens)"
    text += f" Lines: the fit{at_constant if any(line.constant for line in lines) else ''}"
    if np.isfinite(widths).any():
        half = 100 * float(np.nanmedian(widths)) / 2
        text += f"; bands: the 90 % interval of a new run, ±{half:.2g} % at the median"
    text += "; dashed where the interval is unbounded." if np.isnan(widths).any() else "."
    if "U" in fit.law.columns:
        text += (
            f" Lines are for data that are not repeated (U = D); {int(_repeats(rows).sum())} hollow points repeat data."
        )
    return text


def _repeats(rows: FittedRows) -> NDArray[np.bool_]:
    """Rows that see some data more than once."""
    if not {"U", "D"} <= rows.magnitudes.keys():
        return np.zeros(len(rows.observed_P), dtype=np.bool_)
    return np.asarray(rows.magnitudes["D"] > 1.01 * rows.magnitudes["U"])


def _panel(panel: "Axes", name: str, fit: Fit, rows: FittedRows, lines: list[FittedLine]) -> None:
    x_P = rows.magnitudes[name]
    sizes_P = rows.magnitudes.get("N")
    constant = "D" if name == "N" else "N"
    single = [line for line in lines if not line.constant and name in line.columns]
    shown = single or [line for line in lines if line.constant == constant]
    colors = [BLUE if single else MUTED] * len(shown)
    if constant == "N" and sizes_P is not None and shown and not single:
        colors = size_colors(np.array([line.value for line in shown]), sizes_P)
    for line, color in zip(shown, colors, strict=True):
        plot_line(panel, line.columns[name], line, color)
    labels = [
        (float(line.columns[name][-1]), float(line.loss_G[-1]), format_magnitude(line.value, "D"))
        for line in shown
        if constant == "D" and not single
    ]
    scatter_rows(panel, x_P, rows.observed_P, rows, _repeats(rows))
    low, high = positive_range(x_P)
    log_axis(panel, "x", name, low, high, margin=0.06, after=0.3 if labels else 0.0, max_ticks=MAX_PANEL_TICKS)
    if parse_objective(fit.objective).log:
        log_axis(panel, "y", "loss", *positive_range(rows.observed_P), margin=0.08)
    panel.set_xlabel(AXIS_LABELS[name])
    _label_ends(panel, labels)


def _label_ends(panel: "Axes", labels: list[tuple[float, float, str]]) -> None:
    """The constant token count after the end of each gray line, beyond the data."""
    to_axes = panel.transAxes.inverted()
    places = [to_axes.transform(panel.transData.transform((x, loss))) for x, loss, _ in labels]
    inside = [index for index, (_, height) in enumerate(places) if 0.0 <= height <= 1.0]
    heights = spread_labels([float(places[index][1]) for index in inside], 0.055)
    for index, height in zip(inside, heights, strict=True):
        x = float(places[index][0]) + 0.015
        panel.annotate(
            labels[index][2], (x, height), xycoords="axes fraction", va="center", fontsize=7, color=MUTED, zorder=4
        )
