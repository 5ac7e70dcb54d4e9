"""Predicted and measured curves: a panel for each held-out schedule, with its learning rate along the bottom.

Legend: P points, S updates.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.curves.seal import PredictedCurve
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.report.figures.figure import Drawing, draw
from windtunnel.analysis.report.figures.loss_figure import size_legend
from windtunnel.analysis.report.figures.style import BAND_OPACITY, INK, MUTED, limits, log_axis, short, size_colours
from windtunnel.analysis.report.schedule_labels import HeldOut, tokens_per_update
from windtunnel.train.schedules import multiplier

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from windtunnel.analysis.report.curve_report import CurveReport

MOST_PANELS, COLUMNS = 12, 3
SHOWN_POINTS = 24  # of a curve, evenly, its last among them
RATE_HEIGHT = 0.16  # of a panel, at the peak rate
ROOM_BELOW = 0.24  # of the range of losses (in their logarithm), for the rate
ALIKE = 3.0  # lengths no further apart than this share one axis


def curves_figure(report: "CurveReport") -> Drawing | None:
    """None where nothing was sealed."""
    shown = report.schedules[:MOST_PANELS]
    if not shown:
        return None
    targets = [target for each in shown for target in each.targets]
    batch = tokens_per_update(targets, report.trained)
    scale = batch or 1.0
    sizes_T = np.array([target.size for target in targets])
    measured = {target.runs: _measured(target, report) for target in targets}
    columns = COLUMNS if len(shown) > 4 else min(len(shown), 2 if len(shown) == 4 else COLUMNS)
    rows = math.ceil(len(shown) / columns)
    ends = [scale * _updates(target) for target in targets]
    low, high = limits(
        *(np.array(target.loss) for target in targets), *(loss_P for _, loss_P in measured.values() if len(loss_P))
    )
    errors = {each.run: each.mean_abs_relative_error for each in report.outcome.curves} if report.outcome else {}

    def paint(figure: "Figure") -> None:
        shared = max(ends) < ALIKE * min(ends)
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False, sharex=shared).ravel()
        for panel in panels[len(shown) :]:
            panel.remove()
        for number, (panel, held) in enumerate(zip(panels, shown, strict=False)):
            for target, colour in zip(held.targets, size_colours(_sizes(held), sizes_T), strict=True):
                step_P, loss_P = measured[target.runs]
                x_P = scale * (step_P - target.schedule["warmup_steps"])
                panel.scatter(x_P, loss_P, s=9, facecolor="none", edgecolor=colour, linewidth=0.8, zorder=3)
                x_P = scale * (np.array(target.step) - target.schedule["warmup_steps"])
                panel.plot(x_P, target.loss, color=colour, linewidth=1.0, zorder=2)
            _rate(panel, held, scale)
            log_axis(panel, "y", "loss", low / (high / low) ** ROOM_BELOW, high, margin=0.05)
            _along(panel, max(ends) if shared else max(scale * _updates(target) for target in held.targets))
            panel.set_title(held.name)
            told = [errors[run] for run in held.runs if run in errors]
            if told:
                panel.text(0.97, 0.95, f"{100 * np.mean(told):.2g} % off", **_corner(panel))
            if number % columns == 0:
                panel.set_ylabel("loss (nats per token)")
            if not shared or number + columns >= len(shown):
                panel.set_xlabel(f"{'tokens' if batch else 'updates'} after warm-up")
                panel.tick_params(labelbottom=True)
        _key(figure, panels[0])
        size_legend(figure, panels[0], sizes_T)

    caption = _caption(report, shown, measured)
    alt = f"{len(shown)} panels, one a held-out schedule, with predicted lines and measured points of each size"
    return draw("curves", "Predicted and measured curves", alt, caption, paint, 1.1 + 1.75 * rows)


def _caption(
    report: "CurveReport", shown: Sequence[HeldOut], measured: dict[tuple[str, ...], tuple[Array, Array]]
) -> str:
    sealed = report.prediction
    assert sealed is not None
    seeds = max((len(target.runs) for held in shown for target in held.targets), default=1)
    text = (
        f"Lines: what {report.own} said, sealed {sealed.time}. Points: {report.losses} losses that were measured since"
    )
    text += f", means over up to {seeds} seeds" if seeds > 1 else ""
    text += f", at most {SHOWN_POINTS} a curve"
    text += ". Shaded, along the bottom: the learning rate as a share of its peak. In the corner: the mean error."
    text += " Sizes are parameters with the head and without embeddings."
    if not any(len(loss_P) for _, loss_P in measured.values()):
        text += " No target has a curve yet."
    if len(report.schedules) > len(shown):
        text += f" The first {len(shown)} of {len(report.schedules)} schedules."
    return text


def _sizes(held: HeldOut) -> Array:
    return np.array([target.size for target in held.targets])


def _updates(target: PredictedCurve) -> float:
    """After the warm-up."""
    return float(target.step[-1] - target.schedule["warmup_steps"])


def _measured(target: PredictedCurve, report: "CurveReport") -> tuple[Array, Array]:
    """Steps and losses: of the mean of log losses over seeds where all were logged, at most `SHOWN_POINTS` of them."""
    curves = [report.trained[run] for run in target.runs if run in report.trained]
    if not curves:
        return np.empty(0), np.empty(0)
    step_P = curves[0].time_P
    for curve in curves[1:]:
        step_P = np.intersect1d(step_P, curve.time_P)
    losses = [np.log(curve.loss_P[np.isin(curve.time_P, step_P)]) for curve in curves]
    loss_P = np.exp(np.mean(losses, axis=0))
    stride = math.ceil(len(step_P) / SHOWN_POINTS)
    return step_P[::-stride], loss_P[::-stride]


def _rate(panel: "Axes", held: HeldOut, scale: float) -> None:
    """The multiplier of the peak rate from the end of the warm-up on."""
    schedule = held.schedule
    step_S = np.arange(schedule.warmup_steps, schedule.total_steps + 1)
    step_S = step_S[np.unique(np.linspace(0, len(step_S) - 1, min(400, len(step_S))).round().astype(np.intp))]
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


def _along(panel: "Axes", end: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    panel.set_xlim(-0.02 * end, 1.02 * end)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value, "D")))


def _corner(panel: "Axes") -> dict[str, object]:
    return {"transform": panel.transAxes, "ha": "right", "va": "top", "fontsize": 7.5, "color": MUTED}


def _key(figure: "Figure", panel: "Axes") -> None:
    """What a point, a line and the shade are, above all panels."""
    handles = [
        panel.scatter([], [], s=14, facecolor="none", edgecolor=INK, linewidth=0.8, label="measured"),
        panel.plot([], [], color=INK, linewidth=1.1, label="predicted")[0],
        panel.fill_between([], [], [], color=MUTED, alpha=BAND_OPACITY, linewidth=0, label="learning rate"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, handlelength=1.4, columnspacing=1.2)
