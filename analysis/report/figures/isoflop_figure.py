"""Curves of equal compute with their minima, and the power laws of the optimal size and data."""

import math
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.compute_optimal.isoflop import IsoflopFit, group_nearby
from windtunnel.analysis.compute_optimal.isoflop_curve import MinimumRefusal, isoflop_curve
from windtunnel.analysis.report.figures.figure import RenderedFigure, render_figure
from windtunnel.analysis.report.figures.style import (
    AXIS_LABELS,
    BLUE,
    INK,
    MUTED,
    PAPER,
    RED,
    log_axis,
    positive_range,
    size_colors,
    spread_labels,
)
from windtunnel.analysis.report.number_format import format_magnitude
from windtunnel.analysis.tables.table import Table

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LABELS = 9  # budgets labeled beside their curve, evenly spaced where there are more
CURVE_POINTS = 80
REASONS: dict[MinimumRefusal, str] = {
    "few_sizes": "fewer than 5 sizes",
    "edge": "the lowest loss at an edge of its sizes",
    "maximum": "a maximum",
    "noise": "a minimum hidden by noise",
}


def explain_no_minima(fitted: IsoflopFit) -> str | None:
    """Why there is nothing to draw; None where at least one budget has a minimum."""
    refusals = [minimum.refusal for minimum in fitted.minima]
    if None in refusals:
        return None
    counts = {name: refusals.count(name) for name in REASONS}
    listed = ", ".join(f"{count} with {REASONS[name]}" for name, count in counts.items() if count)
    return f"no budget of {len(refusals)} has a minimum in size ({listed}), so there is no curve of equal compute"


def isoflop_figure(fitted: IsoflopFit, table: Table) -> RenderedFigure | None:
    """None where no budget has a minimum (see `explain_no_minima`)."""
    if explain_no_minima(fitted) is not None:
        return None
    accepted = [minimum for minimum in fitted.minima if minimum.refusal is None]

    def paint(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
        _draw_curves(left, fitted, table)
        _draw_law(right, fitted)

    caption = (
        f"{len(accepted)} of {len(fitted.minima)} budgets have a minimum in size (noise {100 * fitted.noise:.2g} % of "
        f"the loss, from {fitted.noise_from}). Left: loss against size at each budget, with the {fitted.form} near "
        "each minimum; pale points: budgets without a minimum. "
    )
    summary = f"{len(accepted)} of {len(fitted.minima)} budgets have a minimum"
    if fitted.size is not None and fitted.tokens is not None:
        low, high = fitted.size.interval
        caption += (
            f"Right: the optimal size grows as C^{fitted.size.exponent:.3f} (95 % interval {low:.3f} to {high:.3f}), "
            f"the optimal data as C^{fitted.tokens.exponent:.3f}."
        )
        summary = f"optimal size grows as C^{fitted.size.exponent:.3f}"
    else:
        caption += f"Right: the optimal sizes; no exponent ({fitted.reason})."
    ends = [f"{format_magnitude(budget.N)} parameters at {format_magnitude(budget.C, 'C')}" for budget in accepted]
    alt = f"loss against model size at {len(fitted.minima)} budgets; optimal sizes from {ends[0]} to {ends[-1]} FLOPs"
    return render_figure("isoflop", "Curves of equal compute", alt, caption, paint, 3.5, summary)


def _draw_curves(panel: "Axes", fitted: IsoflopFit, table: Table) -> None:
    columns = table.require("C", "N", "loss")
    log_N, log_loss = np.log(columns["N"]), np.log(columns["loss"])
    budgets = group_nearby(np.log(columns["C"]))
    colors = size_colors(np.array([minimum.C for minimum in fitted.minima]), columns["C"])
    labels: list[tuple[float, str]] = []
    log_axis(panel, "x", "N", *positive_range(columns["N"]), after=0.18)
    log_axis(panel, "y", "loss", *positive_range(columns["loss"]))
    for rows, minimum, color in zip(budgets, fitted.minima, colors, strict=True):
        pale = minimum.refusal is not None
        panel.scatter(
            columns["N"][rows],
            columns["loss"][rows],
            s=11,
            color=color,
            alpha=0.35 if pale else 1.0,
            edgecolor="none" if pale else PAPER,
            linewidth=0.3,
            zorder=2,
        )
        last = rows[np.argmax(log_N[rows])]
        labels.append((float(columns["loss"][last]), format_magnitude(minimum.C, "C")))
        if pale:
            continue
        curve = isoflop_curve(log_N[rows], log_loss[rows])
        window = log_N[rows][curve.rows_Q]
        along = np.linspace(window.min(), window.max(), CURVE_POINTS)
        if fitted.form == "cubic":
            value = np.vander(along - curve.center, 4, increasing=True) @ (
                curve.cubic_4Q @ curve.log_loss[curve.rows_Q]
            )
            panel.plot(np.exp(along), np.exp(value), color=color, linewidth=1.2, zorder=2.5)
        panel.scatter(minimum.N, minimum.loss, s=30, marker="D", color=RED, edgecolor=PAPER, linewidth=0.6, zorder=4)
    panel.set_xlabel(AXIS_LABELS["N"])
    panel.set_ylabel("validation loss (nats per token)")
    _label_budgets(panel, float(columns["N"].max()), labels)
    panel.set_title("budgets in FLOPs; minima in red", fontsize=8)


def _label_budgets(panel: "Axes", x: float, labels: list[tuple[float, str]]) -> None:
    """The budgets, to the right of all sizes, each at the height of its largest model."""
    chosen = labels[::-1][:: math.ceil(len(labels) / MAX_LABELS)]
    places = [panel.transAxes.inverted().transform(panel.transData.transform((x, y))) for y, _ in chosen]
    heights = spread_labels([float(height) for _, height in places], 0.05)
    for (_, text), (start, _), height in zip(chosen, places, heights, strict=True):
        at = (float(start) + 0.02, height)
        panel.annotate(text, at, xycoords="axes fraction", va="center", fontsize=6.5, color=MUTED)


def _draw_law(panel: "Axes", fitted: IsoflopFit) -> None:
    minima = [minimum for minimum in fitted.minima if minimum.refusal is None]
    budgets, sizes, tokens = (np.array([getattr(minimum, name) for minimum in minima]) for name in ("C", "N", "D"))
    ends = np.geomspace(budgets.min() / 1.6, budgets.max() * 1.6, 2)
    series = (("parameters", "o", BLUE, fitted.size, sizes), ("tokens", "s", INK, fitted.tokens, tokens))
    for quantity, marker, color, law, values in series:
        panel.scatter(budgets, values, s=20, color=color, marker=marker, edgecolor=PAPER, linewidth=0.4, zorder=3)
        slope = ""
        if law is not None:
            panel.plot(ends, [law.at(budget) for budget in ends.tolist()], color=color, linewidth=1.1, zorder=2)
            slope = f" ∝ C^{law.exponent:.2f}"
        panel.plot([], [], color=color, marker=marker, markersize=4, label=f"optimal {quantity}{slope}")
    for minimum in minima:
        panel.plot([minimum.C, minimum.C], minimum.N_interval, color=BLUE, linewidth=1.0, zorder=2.5)
    intervals = np.array([minimum.N_interval for minimum in minima])
    log_axis(panel, "x", "C", *positive_range(ends))
    log_axis(panel, "y", "N", *positive_range(sizes, tokens, intervals))
    panel.set_xlabel(AXIS_LABELS["C"])
    panel.set_ylabel("parameters, tokens")
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, handlelength=1.6)
