"""Residuals against the fitted loss, size and data, and run by run: structure in them is what the law does not say."""

from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.report.figures.figure import Drawing, draw
from windtunnel.analysis.report.figures.fitted_rows import FittedRows
from windtunnel.analysis.report.figures.loss_figure import size_legend, target_label
from windtunnel.analysis.report.figures.style import (
    AXIS_LABELS,
    BAND_OPACITY,
    BLUE,
    INK,
    MUTED,
    PAPER,
    limits,
    log_axis,
    marker_area,
    size_colours,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Runs are named where there are no more than this, with names no longer: others would not be read.
NAMED_RUNS, LONGEST_NAME = 12, 14


def residual_figure(fit: Fit, rows: FittedRows) -> Drawing | None:
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
        if "N" in columns:
            size_legend(figure, panels[0], columns["N"])

    spread, worst = float(np.std(rows.residual)), int(np.argmax(np.abs(rows.residual)))
    caption = (
        f"Residuals, measured / fitted - 1: s.d. {spread:.2g} %, largest {rows.residual[worst]:+.2g} % "
        f"({rows.table.label[worst]})."
    )
    if fit.seed_noise is not None:
        caption += f" Shaded: ± the seed noise, {100 * fit.seed_noise:.2g} %."
    share = rows.between_share()
    if share is not None:
        caption += (
            f" Between runs lies {100 * share:.0f} % of the variance of the residuals: rows of one run are joined."
        )
    elif not clustered:
        caption += " No two rows share a run. Last panel: ordered residuals against normal ones (a straight line)."
    return draw(
        "residuals",
        "Residuals",
        f"residuals of {len(rows.residual)} rows, s.d. {spread:.2g} %, against fitted loss, size, data and "
        + ("run" if clustered else "normal quantiles"),
        caption,
        paint,
        5.0,
    )


def _zero(panel: "Axes", fit_noise: float | None) -> None:
    if fit_noise is not None:
        panel.axhspan(-100 * fit_noise, 100 * fit_noise, color=BLUE, alpha=BAND_OPACITY, linewidth=0, zorder=1)
    panel.axhline(0.0, color=MUTED, linewidth=0.9, zorder=1.5)


def _against(panel: "Axes", name: str, x_P: Array, fit: Fit, rows: FittedRows) -> None:
    _zero(panel, fit.seed_noise)
    if name != "N":
        for run in sorted(set(rows.table.run.tolist())):
            own = np.flatnonzero(rows.table.run == run)
            if len(own) > 1:
                own = own[np.argsort(x_P[own], kind="stable")]
                panel.plot(x_P[own], rows.residual[own], color=MUTED, linewidth=0.5, alpha=0.5, zorder=2)
    sizes = rows.magnitudes.get("N")
    panel.scatter(
        x_P,
        rows.residual,
        s=marker_area(len(x_P)),
        c=[INK] * len(x_P) if sizes is None else size_colours(sizes, sizes),
        edgecolor=PAPER,
        linewidth=0.4,
        zorder=3,
    )
    log_axis(panel, "x", name, *limits(x_P))
    panel.set_xlabel(AXIS_LABELS.get(name, f"fitted {target_label(fit.law.target)}"))


def _by_run(panel: "Axes", rows: FittedRows) -> None:
    """Every run's residuals, runs in the order of their mean."""
    runs, which = np.unique(rows.table.run, return_inverse=True)
    which = which.reshape(-1)
    mean_U = np.bincount(which, weights=rows.residual) / np.bincount(which)
    place_U = np.empty(len(runs), dtype=np.intp)
    place_U[np.argsort(mean_U, kind="stable")] = np.arange(len(runs))
    panel.axhline(0.0, color=MUTED, linewidth=0.9, zorder=1.5)
    for number in range(len(runs)):
        own = rows.residual[which == number]
        panel.plot([place_U[number]] * 2, [own.min(), own.max()], color=MUTED, linewidth=0.7, alpha=0.6, zorder=2)
    sizes = rows.magnitudes.get("N")
    panel.scatter(
        place_U[which],
        rows.residual,
        s=marker_area(len(which)),
        c=[INK] * len(which) if sizes is None else size_colours(sizes, sizes),
        edgecolor=PAPER,
        linewidth=0.4,
        zorder=3,
    )
    names = [str(runs[number]) for number in np.argsort(place_U)]
    if len(names) <= NAMED_RUNS and max(map(len, names)) <= LONGEST_NAME:
        panel.set_xticks(range(len(names)), names, rotation=45, ha="right")
        panel.set_xlabel("run, by its mean residual")
    else:
        panel.set_xticks([])
        panel.set_xlabel(f"{len(names)} runs, by their mean residual")
    panel.grid(False, axis="x")


def _against_normal(panel: "Axes", rows: FittedRows) -> None:
    from scipy.special import ndtri

    ordered_P = np.sort(rows.residual)
    normal_P = ndtri((np.arange(len(ordered_P)) + 0.5) / len(ordered_P))
    # The line of a normal sample with these quartiles: outliers do not move it.
    low, high = np.quantile(ordered_P, [0.25, 0.75])
    slope = (high - low) / 1.349
    ends = np.array([normal_P[0], normal_P[-1]])
    panel.plot(ends, 0.5 * (low + high) + slope * ends, color=MUTED, linewidth=0.9)
    panel.scatter(normal_P, ordered_P, s=marker_area(len(ordered_P)), c=BLUE, edgecolor=PAPER, linewidth=0.4, zorder=3)
    panel.set_xlabel("normal quantile (s.d.)")
