"""Predicted and measured curves: a panel for each held-out schedule, with its learning rate along the bottom.

Legend: P points, S updates, T targets.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.curves.seal import PredictedCurve
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.report.curve_report import CurveReport
from windtunnel.analysis.report.figures.figure import RenderedFigure, render_figure
from windtunnel.analysis.report.figures.style import BAND_OPACITY, INK, MUTED, log_axis, positive_range, size_colors
from windtunnel.analysis.report.figures.table_axes import size_legend
from windtunnel.analysis.report.number_format import format_magnitude
from windtunnel.analysis.report.schedule_labels import HeldOutSchedule, tokens_per_update
from windtunnel.train.schedules import multiplier

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS, COLUMNS = 12, 3
MAX_POINTS = 24  # of a curve, evenly spaced, with the last
RATE_HEIGHT = 0.16  # of the peak rate, as a share of the panel
ROOM_FOR_RATE = 0.24  # below the losses, as a share of their range (in logarithm)
SHARED_AXIS = 3.0  # schedules whose lengths are within this factor share one axis
MAX_RATE_POINTS = 400
SIZE_CONVENTION = "Sizes are parameters with the head and without embeddings."


def curves_figure(report: CurveReport) -> RenderedFigure | None:
    """None where nothing was sealed."""
    shown = report.schedules[:MAX_PANELS]
    if not shown:
        return None
    targets = [target for schedule in shown for target in schedule.targets]
    batch = tokens_per_update(targets, report.measured)
    scale = batch or 1.0
    sizes_T = np.array([target.size for target in targets])
    measured = {target.runs: _mean_curve(target, report) for target in targets}
    columns = COLUMNS if len(shown) > 4 else min(len(shown), 2 if len(shown) == 4 else COLUMNS)
    rows = math.ceil(len(shown) / columns)
    ends = [scale * _updates(target) for target in targets]
    low, high = positive_range(
        *(np.array(target.loss) for target in targets), *(loss_P for _, loss_P in measured.values() if len(loss_P))
    )
    errors = {curve.run: curve.mean_abs_relative_error for curve in report.score.curves} if report.score else {}

    def paint(figure: "Figure") -> None:
        shared = max(ends) < SHARED_AXIS * min(ends)
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False, sharex=shared).ravel()
        for panel in panels[len(shown) :]:
            panel.remove()
        for number, (panel, schedule) in enumerate(zip(panels, shown, strict=False)):
            _draw_schedule(panel, schedule, measured, sizes_T, scale)
            log_axis(panel, "y", "loss", low / (high / low) ** ROOM_FOR_RATE, high, margin=0.05)
            _set_x_axis(panel, max(ends) if shared else max(scale * _updates(target) for target in schedule.targets))
            own_errors = [errors[run] for run in schedule.runs if run in errors]
            if own_errors:
                corner = {"transform": panel.transAxes, "ha": "right", "va": "top", "fontsize": 7.5, "color": MUTED}
                panel.text(0.97, 0.95, f"mean error {100 * np.mean(own_errors):.2g} %", **corner)
            if number % columns == 0:
                panel.set_ylabel("loss (nats per token)")
            if not shared or number + columns >= len(shown):
                panel.set_xlabel(f"{'tokens' if batch else 'updates'} after warm-up")
                panel.tick_params(labelbottom=True)
        _legend(figure, panels[0])
        size_legend(figure, panels[0], sizes_T)

    has_measured = any(len(loss_P) for _, loss_P in measured.values())
    caption = _caption(report, shown, has_measured)
    alt = f"{len(shown)} panels, one for each held-out schedule, with predicted lines and measured points by size"
    return render_figure("curves", "Predicted and measured curves", alt, caption, paint, 1.1 + 1.75 * rows)


def _caption(report: CurveReport, shown: Sequence[HeldOutSchedule], has_measured: bool) -> str:
    prediction = report.prediction
    assert prediction is not None
    seeds = max((len(target.runs) for schedule in shown for target in schedule.targets), default=1)
    text = f"Lines: {report.losses} losses predicted by {report.main_law}, sealed {prediction.time}. "
    text += "Points: measured losses"
    text += f", means over up to {seeds} seeds" if seeds > 1 else ""
    text += f", at most {MAX_POINTS} a curve. Shaded: the learning rate as a share of its peak. {SIZE_CONVENTION}"
    if not has_measured:
        text += " No target has been measured yet."
    if len(report.schedules) > len(shown):
        text += f" The first {len(shown)} of {len(report.schedules)} schedules."
    return text


def _updates(target: PredictedCurve) -> float:
    """Updates after the warm-up."""
    return float(target.step[-1] - target.schedule["warmup_steps"])


def _mean_curve(target: PredictedCurve, report: CurveReport) -> tuple[Array, Array]:
    """Steps and mean of the log losses over seeds where all seeds were logged, at most `MAX_POINTS`: (P,) each."""
    curves = [report.measured[run] for run in target.runs if run in report.measured]
    if not curves:
        return np.empty(0), np.empty(0)
    step_P = curves[0].time_P
    for curve in curves[1:]:
        step_P = np.intersect1d(step_P, curve.time_P)
    log_losses = [np.log(curve.loss_P[np.isin(curve.time_P, step_P)]) for curve in curves]
    loss_P = np.exp(np.mean(log_losses, axis=0))
    stride = math.ceil(len(step_P) / MAX_POINTS)
    return step_P[::-stride], loss_P[::-stride]


def _draw_schedule(
    panel: "Axes",
    schedule: HeldOutSchedule,
    measured: dict[tuple[str, ...], tuple[Array, Array]],
    sizes_T: Array,
    scale: float,
) -> None:
    colors = size_colors(np.array([target.size for target in schedule.targets]), sizes_T)
    for target, color in zip(schedule.targets, colors, strict=True):
        step_P, loss_P = measured[target.runs]
        x_P = scale * (step_P - target.schedule["warmup_steps"])
        panel.scatter(x_P, loss_P, s=9, facecolor="none", edgecolor=color, linewidth=0.8, zorder=3)
        x_P = scale * (np.array(target.step) - target.schedule["warmup_steps"])
        panel.plot(x_P, target.loss, color=color, linewidth=1.0, zorder=2)
    _draw_rate(panel, schedule, scale)
    panel.set_title(schedule.name)


def _draw_rate(panel: "Axes", held_out: HeldOutSchedule, scale: float) -> None:
    """The learning rate as a share of its peak, from the end of the warm-up."""
    schedule = held_out.schedule
    step_S = np.arange(schedule.warmup_steps, schedule.total_steps + 1)
    shown = np.linspace(0, len(step_S) - 1, min(MAX_RATE_POINTS, len(step_S))).round().astype(np.intp)
    step_S = step_S[np.unique(shown)]
    panel.fill_between(
        scale * (step_S - schedule.warmup_steps),
        0.0,
        RATE_HEIGHT * multiplier(schedule, step_S),
        transform=panel.get_xaxis_transform(),
        color=MUTED,
        alpha=BAND_OPACITY,
        linewidth=0,
        zorder=1,
    )


def _set_x_axis(panel: "Axes", end: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # slow to import

    panel.set_xlim(-0.02 * end, 1.02 * end)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_magnitude(value, "D")))


def _legend(figure: "Figure", panel: "Axes") -> None:
    """Point, line and shade, above all panels."""
    handles = [
        panel.scatter([], [], s=14, facecolor="none", edgecolor=INK, linewidth=0.8, label="measured"),
        panel.plot([], [], color=INK, linewidth=1.1, label="predicted")[0],
        panel.fill_between([], [], [], color=MUTED, alpha=BAND_OPACITY, linewidth=0, label="learning rate"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, handlelength=1.4, columnspacing=1.2)
