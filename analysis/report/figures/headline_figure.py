"""The main figure of a report: the runs by size, the law up to the target with its band, the measured losses."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.score import Score
from windtunnel.analysis.report.figures.figure import RenderedFigure, render_figure
from windtunnel.analysis.report.figures.fitted_rows import FittedRows
from windtunnel.analysis.report.figures.loss_lines import FittedLine, compute_of, path_line, plot_line, size_lines
from windtunnel.analysis.report.figures.style import (
    AXIS_LABELS,
    BAND_OPACITY,
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
from windtunnel.analysis.report.figures.table_axes import (
    MAX_LEGEND_SIZES,
    scatter_rows,
    size_legend,
    target_label,
    varying_axes,
)
from windtunnel.analysis.report.number_format import format_loss, format_magnitudes
from windtunnel.analysis.solver.objective import parse_objective

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT_INCHES = 4.1
MAX_LABELED_TARGETS = 4
ROOM_FOR_LABELS = 0.3  # share of the range of the axis, to the right of the targets
SHOWN_INTERVAL = 1.25  # an interval is shown up to this factor beyond all losses
Scored = tuple[Prediction, Score | None]


def headline_figure(fit: Fit, rows: FittedRows, predictions: Sequence[Scored]) -> RenderedFigure | None:
    """None where none of N, D and C varies in the table.

    `predictions` are those to show, each with its score where the target was measured. The law is drawn along the path
    to the target of most compute.
    """
    axes = varying_axes(rows)
    if not axes:
        return None
    single = fit.law.columns[0] if len(fit.law.columns) == 1 else None
    axis = single if single in axes else axes[-1]  # compute, where the table has it
    placed = [(x, pair) for pair in predictions if (x := _place(axis, rows, pair[0])) is not None]
    path = path_line(fit, rows, max(placed, key=lambda pair: pair[0])[1][0].at) if placed else None
    path = path if path is not None and axis in path.columns else None
    by_size = [line for line in size_lines(fit, rows, MAX_LEGEND_SIZES) if axis in line.columns and axis != "N"]

    def paint(figure: "Figure") -> None:
        panel = figure.subplots(1, 1)
        _draw_runs(panel, axis, rows, by_size)
        if path is not None:
            plot_line(panel, path.columns[axis], path, BLUE, 1.6)
        for x, (prediction, score) in placed:
            _draw_target(panel, x, prediction, score)
        _set_limits(panel, axis, rows, path, placed, parse_objective(fit.objective).log)
        panel.set_xlabel(AXIS_LABELS[axis])
        panel.set_ylabel(target_label(fit.law.target))
        _label_targets(panel, placed, fit.law.name)
        _legend(figure, panel, fit, path, placed)
        size_legend(figure, panel, rows.magnitudes.get("N"))

    measured = sum(score is not None for _, (_, score) in placed)
    alt = f"{len(rows.observed_P)} losses of the runs against {AXIS_LABELS[axis]}"
    alt += f", the fit of {fit.law.name} with its 90 % band" if path is not None else ""
    alt += f", {len(placed)} predicted and {measured} measured targets" if placed else ""
    caption = _caption(fit, axis, path, bool(by_size))
    return render_figure("headline", "Runs, law and target", alt, caption, paint, HEIGHT_INCHES)


def _place(axis: str, rows: FittedRows, prediction: Prediction) -> float | None:
    from_target = {name: float(value) for name, value in prediction.at.items()}
    if axis == "C":
        return compute_of(rows, from_target)
    return from_target.get(axis)


def _caption(fit: Fit, axis: str, path: FittedLine | None, has_size_lines: bool) -> str:
    text = "Points: runs, colored by size."
    if not fit.parameters:
        return f"{text} The fit of {fit.law.name} was refused, so no law is drawn."
    if path is not None and axis == "C" and "N" in path.columns:
        text += (
            f" Blue: {fit.law.name} along a straight path in log N and log D from the smallest run to the prediction, "
            "so runs off this path lie off the line."
        )
        text += " Thin lines: the law at one size." if has_size_lines else ""
    elif path is not None:
        text += f" Blue: {fit.law.name}."
    if path is not None:
        text += " Band: the 90 % interval of a new run"
        text += "; dashed where it is unbounded." if np.isnan(path.low_G).any() else "."
    return text


def _draw_runs(panel: "Axes", axis: str, rows: FittedRows, by_size: Sequence[FittedLine]) -> None:
    if by_size:
        colors = size_colors(np.array([line.value for line in by_size]), rows.magnitudes["N"])
        for line, color in zip(by_size, colors, strict=True):
            panel.plot(line.columns[axis], line.loss_G, color=color, linewidth=0.9, alpha=0.8, zorder=1.8)
    scatter_rows(panel, rows.magnitudes[axis], rows.observed_P, rows)


def _draw_target(panel: "Axes", x: float, prediction: Prediction, score: Score | None) -> None:
    low, high = (end if math.isfinite(end) and end > 0 else prediction.loss for end in prediction.interval_90)
    panel.plot([x, x], [low, high], color=BLUE, linewidth=3.2, alpha=0.6, zorder=3.2, solid_capstyle="butt")
    panel.scatter([x], [prediction.loss], s=130, marker="_", color=BLUE, linewidth=1.8, zorder=4)
    if score is not None:
        losses = [run.loss for run in score.runs]
        panel.scatter([x] * len(losses), losses, s=30, marker="D", color=RED, edgecolor=PAPER, linewidth=0.6, zorder=5)


def _set_limits(
    panel: "Axes",
    axis: str,
    rows: FittedRows,
    path: FittedLine | None,
    placed: Sequence[tuple[float, Scored]],
    is_log: bool,
) -> None:
    places = [x for x, _ in placed]
    room = ROOM_FOR_LABELS if 0 < len(placed) <= MAX_LABELED_TARGETS else 0.0
    low, high = positive_range(rows.magnitudes[axis], np.array(places))
    log_axis(panel, "x", axis, low, high, margin=0.04, after=room)
    losses = [rows.observed_P, np.array([prediction.loss for _, (prediction, _) in placed])]
    losses += [np.array([run.loss for run in score.runs]) for _, (_, score) in placed if score is not None]
    ends: list[Array] = [np.array(prediction.interval_90) for _, (prediction, _) in placed]
    if path is not None:
        losses.append(path.loss_G)
        ends += [path.low_G, path.high_G]
    low, high = positive_range(*losses)
    low_end, high_end = positive_range(*ends, np.array([low, high]))
    low, high = max(low_end, low / SHOWN_INTERVAL), min(high_end, high * SHOWN_INTERVAL)
    if is_log:
        log_axis(panel, "y", "loss", low, high)
    else:
        panel.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _label_targets(panel: "Axes", placed: Sequence[tuple[float, Scored]], law: str) -> None:
    """Size, data and losses beside each target, with the law where it is another one."""
    if len(placed) > MAX_LABELED_TARGETS:
        return
    to_axes = panel.transAxes.inverted()
    texts, places = [], []
    for x, (prediction, score) in placed:
        text = "" if prediction.law == law else f"{prediction.law}\n"
        text += f"{format_magnitudes(prediction.at)}\npredicted {format_loss(prediction.loss)}"
        texts.append(text + (f"\nmeasured {format_loss(score.mean.loss)}" if score is not None else ""))
        places.append(to_axes.transform(panel.transData.transform((x, prediction.loss))))
    heights = spread_labels([float(height) for _, height in places], 0.17)
    for text, (x, _), height in zip(texts, places, heights, strict=True):
        at = (float(x) + 0.02, height)
        panel.annotate(text, at, xycoords="axes fraction", va="center", fontsize=8, color=INK, zorder=4)


def _legend(
    figure: "Figure", panel: "Axes", fit: Fit, path: FittedLine | None, placed: Sequence[tuple[float, Scored]]
) -> None:
    handles: list[Any] = [panel.scatter([], [], s=24, color=MUTED)]
    labels = ["run"]
    if path is not None:
        band = panel.fill_between([], [], [], color=BLUE, alpha=BAND_OPACITY, linewidth=0)
        line = panel.plot([], [], color=BLUE, linewidth=1.6)[0]
        handles.append((band, line))
        labels.append(f"{fit.law.name}, 90 % band")
    if placed:
        handles.append(panel.plot([], [], color=BLUE, linewidth=3.2, alpha=0.6)[0])
        labels.append("predicted, 90 % interval")
    if any(score is not None for _, (_, score) in placed):
        handles.append(panel.scatter([], [], s=30, marker="D", color=RED))
        labels.append("measured")
    figure.legend(handles, labels, loc="outside upper left", ncols=len(handles), handlelength=1.6, columnspacing=1.6)
