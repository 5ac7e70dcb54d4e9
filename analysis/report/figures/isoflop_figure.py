"""Curves of equal compute with their minima, and the power law of the optimal size; or why there are none."""

import math
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.compute_optimal.isoflop import Isoflop, split_budgets
from windtunnel.analysis.compute_optimal.isoflop_curve import prepare
from windtunnel.analysis.report.figures.figure import Drawing, draw
from windtunnel.analysis.report.figures.style import (
    AXIS_LABELS,
    BLUE,
    INK,
    MUTED,
    PAPER,
    RED,
    limits,
    log_axis,
    short,
    size_colours,
    spread_labels,
)
from windtunnel.analysis.tables.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELLED = 9  # budgets that are named beside their curve; of more, evenly spread ones are
CURVE_POINTS = 80


def why_no_minima(fitted: Isoflop) -> str | None:
    """Why there is nothing to draw; None where at least one budget has a minimum."""
    if any(each.refusal is None for each in fitted.minima):
        return None
    reasons = {
        "few_sizes": "fewer than 5 sizes",
        "edge": "the lowest loss at an edge of its sizes",
        "maximum": "a maximum",
        "noise": "a minimum hidden by noise",
    }
    counts = {name: sum(each.refusal == name for each in fitted.minima) for name in reasons}
    told = ", ".join(f"{count} with {reasons[name]}" for name, count in counts.items() if count)
    return f"no budget of {len(fitted.minima)} has a minimum in size ({told}): the runs do not line up by compute"


def isoflop_figure(fitted: Isoflop, table: Table) -> Drawing | None:
    """None where no budget has a minimum (`why_no_minima` says why)."""
    if why_no_minima(fitted) is not None:
        return None
    kept = [each for each in fitted.minima if each.refusal is None]

    def paint(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
        _curves(left, fitted, table)
        _law(right, fitted)

    caption = (
        f"{len(kept)} of {len(fitted.minima)} budgets have a minimum in size (noise {100 * fitted.noise:.2g} % of the "
        f"loss, from {fitted.noise_from}). Left: loss against size at each budget; curves are the {fitted.form} near "
        "each minimum, faint points are of budgets without one. "
    )
    if fitted.size is not None and fitted.tokens is not None:
        low, high = fitted.size.interval
        caption += (
            f"Right: the optimal size grows as C^{fitted.size.exponent:.3f} (95 % interval {low:.3f} to {high:.3f}), "
            f"the optimal data as C^{fitted.tokens.exponent:.3f}."
        )
    else:
        caption += f"Right: the optimal sizes; no exponent ({fitted.reason})."
    at = f"{short(kept[0].N)} parameters at {short(kept[0].C, 'C')} to {short(kept[-1].N)} at {short(kept[-1].C, 'C')}"
    alt = f"loss against model size at {len(fitted.minima)} budgets; optimal sizes from {at} FLOPs"
    return draw("isoflop", "Curves of equal compute", alt, caption, paint, 3.5)


def _curves(panel: "Axes", fitted: Isoflop, table: Table) -> None:
    columns = table.require("C", "N", "loss")
    log_N, log_loss = np.log(columns["N"]), np.log(columns["loss"])
    budgets = split_budgets(np.log(columns["C"]))
    colours = size_colours(np.array([each.C for each in fitted.minima]), columns["C"])
    labels: list[tuple[float, str]] = []
    log_axis(panel, "x", "N", *limits(columns["N"]), after=0.18)
    log_axis(panel, "y", "loss", *limits(columns["loss"]))
    for rows, found, colour in zip(budgets, fitted.minima, colours, strict=True):
        faint = found.refusal is not None
        panel.scatter(
            columns["N"][rows],
            columns["loss"][rows],
            s=11,
            color=colour,
            alpha=0.35 if faint else 1.0,
            edgecolor="none" if faint else PAPER,
            linewidth=0.3,
            zorder=2,
        )
        last = rows[np.argmax(log_N[rows])]
        labels.append((float(columns["loss"][last]), short(found.C, "C")))
        if faint:
            continue
        curve = prepare(log_N[rows], log_loss[rows])
        window = log_N[rows][curve.rows_Q]
        along = np.linspace(window.min(), window.max(), CURVE_POINTS)
        if fitted.form == "cubic":
            value = np.vander(along - curve.centre, 4, increasing=True) @ (curve.pull_4Q @ curve.log_loss[curve.rows_Q])
            panel.plot(np.exp(along), np.exp(value), color=colour, linewidth=1.2, zorder=2.5)
        panel.scatter(found.N, found.loss, s=30, marker="D", color=RED, edgecolor=PAPER, linewidth=0.6, zorder=4)
    panel.set_xlabel(AXIS_LABELS["N"])
    panel.set_ylabel("validation loss (nats per token)")
    _label_budgets(panel, float(columns["N"].max()), labels)
    panel.set_title("budgets in FLOPs; minima in red", fontsize=8)


def _label_budgets(panel: "Axes", x: float, labels: list[tuple[float, str]]) -> None:
    """The budgets to the right of all sizes, each at the height of its largest model."""
    chosen = labels[::-1][:: math.ceil(len(labels) / LABELLED)]
    places = [panel.transAxes.inverted().transform(panel.transData.transform((x, y))) for y, _ in chosen]
    heights = spread_labels([float(height) for _, height in places], 0.05)
    for (_, text), (start, _), height in zip(chosen, places, heights, strict=True):
        at = (float(start) + 0.02, height)
        panel.annotate(text, at, xycoords="axes fraction", va="center", fontsize=6.5, color=MUTED)


def _law(panel: "Axes", fitted: Isoflop) -> None:
    kept = [each for each in fitted.minima if each.refusal is None]
    budgets = np.array([each.C for each in kept])
    ends = np.geomspace(budgets.min() / 1.6, budgets.max() * 1.6, 2)
    series = (("N", fitted.size, [each.N for each in kept], BLUE), ("D", fitted.tokens, [each.D for each in kept], INK))
    for name, law, values, colour in series:
        marker = "o" if name == "N" else "s"
        panel.scatter(budgets, values, s=20, color=colour, marker=marker, edgecolor=PAPER, linewidth=0.4, zorder=3)
        slope = ""
        if law is not None:
            panel.plot(ends, [law.at(each) for each in ends.tolist()], color=colour, linewidth=1.1, zorder=2)
            slope = f" ∝ C^{law.exponent:.2f}"
        what = "parameters" if name == "N" else "tokens"
        panel.plot([], [], color=colour, marker=marker, markersize=4, label=f"optimal {what}{slope}")
    for each, budget in zip(kept, budgets, strict=True):
        panel.plot([budget, budget], each.N_interval, color=BLUE, linewidth=1.0, zorder=2.5)
    every = [each.N for each in kept] + [each.D for each in kept] + [end for each in kept for end in each.N_interval]
    log_axis(panel, "x", "C", *limits(ends))
    log_axis(panel, "y", "N", *limits(np.array(every)))
    panel.set_xlabel(AXIS_LABELS["C"])
    panel.set_ylabel("parameters, tokens")
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, handlelength=1.6)
