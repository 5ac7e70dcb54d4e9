"""The mean error of every law on every held-out curve, a point each.

Legend: T tested runs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.curves.laws import is_baseline
from windtunnel.analysis.curves.score import LawScore
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.report.curve_headline import MAX_ERROR, format_error
from windtunnel.analysis.report.curve_report import CurveReport
from windtunnel.analysis.report.figures.figure import RenderedFigure, render_figure
from windtunnel.analysis.report.figures.style import BAND_OPACITY, INK, MUTED, PAPER, log_axis, size_colors
from windtunnel.analysis.report.figures.table_axes import size_legend
from windtunnel.analysis.report.schedule_labels import HeldOutSchedule

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST_ERROR, LARGEST_ERROR = 1e-3, 100 * MAX_ERROR  # per cent: errors beyond are drawn here
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
LANES_HEIGHT = 0.68  # share of the row of a law that the lanes of its schedules take


def curve_errors_figure(report: CurveReport) -> RenderedFigure | None:
    """None where nothing is scored."""
    scores, schedules = report.scores, report.schedules
    if not scores:
        return None
    size_of = {run: target.size for schedule in schedules for target in schedule.targets for run in target.runs}
    lane_of = {run: lane for lane, schedule in enumerate(schedules) for run in schedule.runs}
    sizes_T = np.array([size_of[curve.run] for score in scores for curve in score.curves])
    errors_T = np.array([_clip(curve.mean_abs_relative_error) for score in scores for curve in score.curves])

    def paint(figure: "Figure") -> None:
        panel = figure.subplots(1, 1)
        for row, score in enumerate(reversed(scores)):
            if is_baseline(score.requested):
                panel.axhspan(row - 0.5, row + 0.5, color=MUTED, alpha=BAND_OPACITY, linewidth=0, zorder=0.5)
            _draw_law(panel, row, score, size_of, lane_of, sizes_T)
        log_axis(panel, "x", "error", float(errors_T.min()), float(errors_T.max()), margin=0.05)
        suffixes = ["\n(baseline)" if is_baseline(score.requested) else "" for score in scores]
        names = [f"{score.requested}{suffix}" for score, suffix in zip(scores, suffixes, strict=True)]
        panel.set_yticks(range(len(scores)), names[::-1])
        for label, score in zip(panel.get_yticklabels(), reversed(scores), strict=True):
            label.set_color(INK)
            label.set_fontweight("bold" if score.requested == report.main_law else "normal")
        panel.set_ylim(-0.5, len(scores) - 0.5)
        panel.grid(False, axis="y")
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel("mean relative error of a held-out curve (%)")
        _schedule_legend(figure, panel, schedules)
        size_legend(figure, panel, sizes_T)

    best = min(scores, key=lambda score: score.mean_abs_relative_error)
    caption = (
        f"A point for each held-out run, {len(scores[0].curves)} for each law; the bar is their mean. The smallest "
        f"is {format_error(best.mean_abs_relative_error)}, that of {best.requested}. Shaded: the baselines."
    )
    if errors_T.max() == LARGEST_ERROR:
        caption += f" Errors over {LARGEST_ERROR:,.0f} % are drawn there."
    listed = [f"{score.requested} {format_error(score.mean_abs_relative_error)}" for score in scores]
    alt = f"mean relative errors by law: {', '.join(listed)}"
    summary = f"smallest mean: {best.requested}, {format_error(best.mean_abs_relative_error)}"
    title = "Errors of the held-out curves"
    return render_figure("curve-errors", title, alt, caption, paint, 1.5 + 0.5 * len(scores), summary)


def _clip(error: float) -> float:
    """A share in per cent, within the axis."""
    return min(max(SMALLEST_ERROR, 100 * error), LARGEST_ERROR)


def _draw_law(
    panel: "Axes",
    row: int,
    score: LawScore,
    size_of: Mapping[str, float],
    lane_of: Mapping[str, int],
    sizes_T: Array,
) -> None:
    """The curves of each schedule in a lane of its own, the first schedule on top."""
    num_lanes = max(lane_of.values()) + 1
    for lane in range(num_lanes):
        curves = [curve for curve in score.curves if lane_of[curve.run] == lane]
        if not curves:
            continue
        height = row + LANES_HEIGHT * (0.5 - (lane + 0.5) / num_lanes)
        panel.scatter(
            [_clip(curve.mean_abs_relative_error) for curve in curves],
            [height] * len(curves),
            s=15,
            marker=MARKERS[lane % len(MARKERS)],
            c=size_colors(np.array([size_of[curve.run] for curve in curves]), sizes_T),
            edgecolor=PAPER,
            linewidth=0.3,
            zorder=3,
        )
    mean = _clip(score.mean_abs_relative_error)
    panel.plot([mean, mean], [row - 0.42, row + 0.42], color=INK, linewidth=1.6, zorder=2.5)


def _schedule_legend(figure: "Figure", panel: "Axes", schedules: tuple[HeldOutSchedule, ...]) -> None:
    """The marker of each schedule, above the panel."""
    handles = [
        panel.scatter([], [], s=18, marker=MARKERS[lane % len(MARKERS)], color=MUTED, label=schedule.name)
        for lane, schedule in enumerate(schedules)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, handletextpad=0.2, columnspacing=1.4)
