"""The errors of every law on every held-out curve, a dot each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.curves.laws import is_baseline
from windtunnel.analysis.curves.score import LawOutcome
from windtunnel.analysis.report.curve_headline import LARGEST, off
from windtunnel.analysis.report.figures.figure import Drawing, draw
from windtunnel.analysis.report.figures.loss_figure import size_legend
from windtunnel.analysis.report.figures.style import BAND_OPACITY, INK, MUTED, PAPER, log_axis, size_colours
from windtunnel.analysis.report.schedule_labels import HeldOut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from windtunnel.analysis.report.curve_report import CurveReport

# Per cent: below it an error is rounding, and a logarithmic axis has no room for it; above it a law says nothing.
SMALLEST_ERROR, LARGEST_ERROR = 1e-3, 100 * LARGEST
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
LANES = 0.68  # of a law's row, which schedules share


def curve_errors_figure(report: "CurveReport") -> Drawing | None:
    """None where nothing is scored."""
    laws, schedules = report.outcomes, report.schedules
    if not laws:
        return None
    size_of = {run: target.size for held in schedules for target in held.targets for run in target.runs}
    place_of = {run: number for number, held in enumerate(schedules) for run in held.runs}
    sizes = np.array([size_of[each.run] for law in laws for each in law.curves])
    errors = np.array([_shown(each.mean_abs_relative_error) for law in laws for each in law.curves])

    def paint(figure: "Figure") -> None:
        panel = figure.subplots(1, 1)
        for row, law in enumerate(reversed(laws)):
            if is_baseline(law.asked):
                panel.axhspan(row - 0.5, row + 0.5, color=MUTED, alpha=BAND_OPACITY, linewidth=0, zorder=0.5)
            _row(panel, row, law, size_of, place_of, sizes)
        log_axis(panel, "x", "error", float(errors.min()), float(errors.max()), margin=0.05)
        names = [f"{law.asked}\n(baseline)" if is_baseline(law.asked) else law.asked for law in reversed(laws)]
        panel.set_yticks(range(len(laws)), names)
        for label, law in zip(panel.get_yticklabels(), reversed(laws), strict=True):
            label.set_color(INK)
            label.set_fontweight("bold" if law.asked == report.own else "normal")
        panel.set_ylim(-0.5, len(laws) - 0.5)
        panel.grid(False, axis="y")
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel("mean relative error of a held-out curve (%)")
        _key(figure, panel, schedules)
        size_legend(figure, panel, sizes)

    best = min(laws, key=lambda each: each.mean_abs_relative_error)
    caption = (
        f"A dot is a held-out run, {len(laws[0].curves)} for each law; the bar is their mean. Of the laws {best.asked} "
        f"has the smallest, {off(best.mean_abs_relative_error)}. Shaded: laws that know of no memory or of no "
        "schedule, to be beaten."
    )
    alt = "mean relative errors by law: " + ", ".join(f"{law.asked} {off(law.mean_abs_relative_error)}" for law in laws)
    if errors.max() == LARGEST_ERROR:
        caption += f" Errors of over {LARGEST_ERROR:,.0f} % are drawn there."
    return draw("curve-errors", "Errors of the held-out curves", alt, caption, paint, 1.5 + 0.5 * len(laws))


def _shown(error: float) -> float:
    """In per cent, with a place on the axis."""
    return min(max(SMALLEST_ERROR, 100 * error), LARGEST_ERROR)


def _row(
    panel: "Axes",
    row: int,
    law: LawOutcome,
    size_of: Mapping[str, float],
    place_of: Mapping[str, int],
    sizes: "np.ndarray[tuple[int], np.dtype[np.float64]]",
) -> None:
    """Each schedule in a lane of its own, the first on top."""
    lanes = max(place_of.values()) + 1
    for place in range(lanes):
        own = [each for each in law.curves if place_of[each.run] == place]
        if not own:
            continue
        height = row + LANES * (0.5 - (place + 0.5) / lanes)
        panel.scatter(
            [_shown(each.mean_abs_relative_error) for each in own],
            [height] * len(own),
            s=15,
            marker=MARKERS[place % len(MARKERS)],
            c=size_colours(np.array([size_of[each.run] for each in own]), sizes),
            edgecolor=PAPER,
            linewidth=0.3,
            zorder=3,
        )
    mean = _shown(law.mean_abs_relative_error)
    panel.plot([mean, mean], [row - 0.42, row + 0.42], color=INK, linewidth=1.6, zorder=2.5)


def _key(figure: "Figure", panel: "Axes", schedules: tuple[HeldOut, ...]) -> None:
    """The marks of the schedules, above."""
    handles = [
        panel.scatter([], [], s=18, marker=MARKERS[place % len(MARKERS)], color=MUTED, label=held.name)
        for place, held in enumerate(schedules)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, handletextpad=0.2, columnspacing=1.4)
