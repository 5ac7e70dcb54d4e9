"""Residuals against the fitted loss, size and data, and by run: structure in them is misfit of the law."""

from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.report.figures.figure import RenderedFigure, render_figure
from windtunnel.analysis.report.figures.fitted_rows import FittedRows
from windtunnel.analysis.report.figures.style import (
    AXIS_LABELS,
    BAND_OPACITY,
    BLUE,
    MUTED,
    PAPER,
    log_axis,
    marker_area,
    positive_range,
)
from windtunnel.analysis.report.figures.table_axes import scatter_rows, size_legend, target_label

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More or longer names than this would not be legible.
MAX_NAMED_RUNS, MAX_NAME_LENGTH = 12, 14


def residual_figure(fit: Fit, rows: FittedRows) -> RenderedFigure | None:
    """None where the fit was refused."""
    if rows.predicted_P is None:
        return None
    predicted_P = rows.predicted_P
    columns = rows.magnitudes
    axes = [("fitted", predicted_P)]
    axes += [(name, columns[name]) for name in ("N", "D") if name in columns]
    axes = [(name, values) for name, values in axes if np.isfinite(values).all() and (values > 0).all()]
    clustered = len(set(rows.table.run.tolist())) < len(rows.table)

    def paint(figure: "Figure") -> None:
        panels = figure.subplots(2, 2, sharey=True).ravel()
        for panel, (name, values) in zip(panels, axes, strict=False):
            _against(panel, name, values, fit, rows)
        for panel in panels[len(axes) : 3]:
            panel.remove()
        _by_run(panels[3], rows) if clustered else _against_normal(panels[3], rows)
        for panel in (panels[0], panels[2]):
            panel.set_ylabel("residual (%)")
        size_legend(figure, panels[0], columns.get("N"))

    spread = float(np.std(rows.residual))
    return render_figure(
        "residuals",
        "Residuals",
        f"residuals of {len(rows.residual)} rows, s.d. {spread:.2g} %, against fitted loss, size, data and "
        + ("run" if clustered else "normal quantiles"),
        _caption(fit, rows, spread, clustered),
        paint,
        5.0,
        f"standard deviation {spread:.2g} %",
    )


def _caption(fit: Fit, rows: FittedRows, spread: float, clustered: bool) -> str:
    worst = int(np.argmax(np.abs(rows.residual)))
    text = f"Residuals (measured / fitted - 1) of {fit.law.name}: standard deviation {spread:.2g} %, largest "
    text += f"{rows.residual[worst]:+.2g} % ({rows.table.label[worst]})."
    if fit.seed_noise is not None:
        text += f" Shaded: the seed noise, ±{100 * fit.seed_noise:.2g} %."
    share = rows.between_share()
    if share is not None:
        text += f" {100 * share:.0f} % of the residual variance lies between runs; lines join the rows of one run."
    elif not clustered:
        text += " No two rows share a run. Last panel: ordered residuals against normal quantiles."
    return text


def _draw_zero(panel: "Axes", seed_noise: float | None) -> None:
    if seed_noise is not None:
        panel.axhspan(-100 * seed_noise, 100 * seed_noise, color=BLUE, alpha=BAND_OPACITY, linewidth=0, zorder=1)
    panel.axhline(0.0, color=MUTED, linewidth=0.9, zorder=1.5)


def _against(panel: "Axes", name: str, x_P: Array, fit: Fit, rows: FittedRows) -> None:
    _draw_zero(panel, fit.seed_noise)
    if name != "N":
        for run in sorted(set(rows.table.run.tolist())):
            members = np.flatnonzero(rows.table.run == run)
            if len(members) > 1:
                members = members[np.argsort(x_P[members], kind="stable")]
                panel.plot(x_P[members], rows.residual[members], color=MUTED, linewidth=0.5, alpha=0.5, zorder=2)
    scatter_rows(panel, x_P, rows.residual, rows)
    log_axis(panel, "x", name, *positive_range(x_P))
    panel.set_xlabel(AXIS_LABELS.get(name, f"fitted {target_label(fit.law.target)}"))


def _by_run(panel: "Axes", rows: FittedRows) -> None:
    """The residuals of each run, with runs in the order of their mean."""
    runs, which = np.unique(rows.table.run, return_inverse=True)
    which = which.reshape(-1)
    mean_U = np.bincount(which, weights=rows.residual) / np.bincount(which)
    place_U = np.empty(len(runs), dtype=np.intp)
    place_U[np.argsort(mean_U, kind="stable")] = np.arange(len(runs))
    panel.axhline(0.0, color=MUTED, linewidth=0.9, zorder=1.5)
    for number in range(len(runs)):
        residuals = rows.residual[which == number]
        panel.plot(
            [place_U[number]] * 2, [residuals.min(), residuals.max()], color=MUTED, linewidth=0.7, alpha=0.6, zorder=2
        )
    scatter_rows(panel, place_U[which].astype(np.float64), rows.residual, rows)
    names = [str(runs[number]) for number in np.argsort(place_U)]
    if len(names) <= MAX_NAMED_RUNS and max(map(len, names)) <= MAX_NAME_LENGTH:
        panel.set_xticks(range(len(names)), names, rotation=45, ha="right")
        panel.set_xlabel("run, by mean residual")
    else:
        panel.set_xticks([])
        panel.set_xlabel(f"{len(names)} runs, by mean residual")
    panel.grid(False, axis="x")


def _against_normal(panel: "Axes", rows: FittedRows) -> None:
    from scipy.special import ndtri  # slow to import

    ordered_P = np.sort(rows.residual)
    normal_P = ndtri((np.arange(len(ordered_P)) + 0.5) / len(ordered_P))
    # The line of a normal sample with the same quartiles, which outliers do not move.
    low, high = np.quantile(ordered_P, [0.25, 0.75])
    slope = (high - low) / 1.349
    ends = np.array([normal_P[0], normal_P[-1]])
    panel.plot(ends, 0.5 * (low + high) + slope * ends, color=MUTED, linewidth=0.9)
    panel.scatter(normal_P, ordered_P, s=marker_area(len(ordered_P)), c=BLUE, edgecolor=PAPER, linewidth=0.4, zorder=3)
    panel.set_xlabel("normal quantile (s.d.)")
