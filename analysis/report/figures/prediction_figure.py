"""Predictions with their intervals, and what the runs came out at."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.prediction.predict import Prediction, describe
from windtunnel.analysis.prediction.score import Score
from windtunnel.analysis.prediction.target import complete
from windtunnel.analysis.report.figures.figure import Drawing, draw
from windtunnel.analysis.report.figures.fitted_rows import FittedRows
from windtunnel.analysis.report.figures.loss_figure import target_label
from windtunnel.analysis.report.figures.style import (
    AXIS_LABELS,
    BLUE,
    MUTED,
    PAPER,
    RED,
    limits,
    log_axis,
    marker_area,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE_BY_SIDE = 1.07  # between the laws at one target


def prediction_figure(
    predictions: Sequence[Prediction], scores: Sequence[Score], rows: FittedRows, target: str
) -> Drawing | None:
    """None where nothing is predicted. A score belongs to the prediction with its seal."""
    if not predictions:
        return None
    score_of = {each.prediction.sealed: each for each in scores if each.prediction.sealed is not None}
    pairs = [(each, score_of.get(each.sealed) if each.sealed else None) for each in predictions]
    axis = next((name for name in ("C", "N", "D") if name in rows.magnitudes and _known(predictions, name)), None)

    def paint(figure: "Figure") -> None:
        if axis is None:
            _errors(figure.subplots(1, 1), pairs)
            return
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        _in_scale(left, axis, pairs, rows, target_label(target))
        _errors(right, pairs)

    height = max(3.0, 1.2 + 0.34 * len(pairs)) if axis is not None else 1.3 + 0.34 * len(pairs)
    inside = [found.mean.inside_90 for _, found in pairs if found is not None]
    caption = f"{len(pairs)} prediction{'s' if len(pairs) > 1 else ''}, {len(inside)} scored"
    caption += f", {sum(inside)} with the outcome in the 90 % interval." if inside else "."
    if len({made.law for made, _ in pairs}) > 1:
        caption += " Laws at one target stand side by side, the first on the left."
    for made, found in pairs:
        caption += f" {made.law} at {describe(made.at)}: {made.loss:.5g}"
        if found is not None:
            caption += f", measured {found.mean.loss:.5g} (error {found.mean.error_percent:+.2g} %)"
        caption += "." if made.sealed else " (not sealed)."
    if inside:
        caption += (
            " The error is predicted / measured - 1; outcomes are drawn against the prediction, as its interval is."
        )
    alt = (
        f"predicted losses of {len(pairs)} targets with 90 % intervals; {len(inside)} with measured losses beside them"
    )
    return draw("predictions", "Predictions and outcomes", alt, caption, paint, height)


def _known(predictions: Sequence[Prediction], axis: str) -> bool:
    return all(axis in complete(each.at) for each in predictions)


def _in_scale(
    panel: "Axes", axis: str, pairs: Sequence[tuple[Prediction, Score | None]], rows: FittedRows, label: str
) -> None:
    x_P = rows.magnitudes[axis]
    panel.scatter(
        x_P,
        rows.observed_P,
        s=marker_area(len(x_P)),
        color=MUTED,
        edgecolor=PAPER,
        linewidth=0.4,
        label="fitted runs",
    )
    losses, scales = [rows.observed_P], [x_P]
    alone = len({made.law for made, _ in pairs}) == 1
    for number, (made, found) in enumerate(pairs):
        x = float(complete(made.at)[axis]) * _beside([each for each, _ in pairs], number)
        low, high = (end if math.isfinite(end) and end > 0 else made.loss for end in made.interval_90)
        panel.plot([x, x], [low, high], color=BLUE, linewidth=2.4, alpha=0.55, zorder=3, solid_capstyle="butt")
        panel.scatter(
            [x],
            [made.loss],
            s=130 if alone else 40,
            marker="_",
            color=BLUE,
            zorder=4,
            label=None if number else "predicted, 90 %",
        )
        if found is not None:
            measured = [each.loss for each in found.runs]
            panel.scatter(
                [x] * len(measured), measured, s=14, marker="D", color=RED, edgecolor=PAPER, linewidth=0.5, zorder=5
            )
            losses.append(np.array(measured))
        losses.append(np.array([made.loss, low, high]))
        scales.append(np.array([x]))
    if any(found is not None for _, found in pairs):
        panel.scatter([], [], s=30, marker="D", color=RED, label="measured")
    log_axis(panel, "x", axis, *limits(*scales))
    log_axis(panel, "y", "loss", *limits(*losses))
    panel.set_xlabel(AXIS_LABELS[axis])
    panel.set_ylabel(label)
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2, handletextpad=0.3)


def _beside(predictions: Sequence[Prediction], number: int) -> float:
    """Several laws at one target stand side by side, about its place on a logarithmic axis."""
    same = [place for place, each in enumerate(predictions) if each.at == predictions[number].at]
    return float(SIDE_BY_SIDE ** (same.index(number) - (len(same) - 1) / 2))


def _errors(panel: "Axes", pairs: Sequence[tuple[Prediction, Score | None]]) -> None:
    """Each target on its own line: the interval and the outcomes, in per cent of the predicted loss."""
    place = list(range(len(pairs)))[::-1]
    names = []
    several = len({made.law for made, _ in pairs}) > 1
    for number, (made, found) in zip(place, pairs, strict=True):
        low, high = (100 * (end / made.loss - 1) for end in made.interval_90)
        panel.plot(
            [max(low, -100), min(high, 100)],
            [number, number],
            color=BLUE,
            linewidth=6,
            alpha=0.35,
            zorder=2,
            solid_capstyle="butt",
        )
        panel.plot([0, 0], [number - 0.2, number + 0.2], color=BLUE, linewidth=1.6, zorder=3)
        names.append(f"{made.law}\n{_name(made, ', ')}" if several else _name(made, "\n"))
        if found is None:
            continue
        measured = [100 * (each.loss / made.loss - 1) for each in found.runs]
        panel.scatter(
            measured, [number] * len(measured), s=30, marker="D", color=RED, edgecolor=PAPER, linewidth=0.5, zorder=4
        )
    panel.set_yticks(place, names)
    panel.set_ylim(-0.7, len(pairs) - 0.3)
    panel.margins(x=0.1)
    panel.grid(False, axis="y")
    panel.set_xlabel("measured / predicted - 1 (%)")


def _name(made: Prediction, between: str) -> str:
    at = complete(made.at)
    shown = [f"{name} {short(float(at[name]), name)}" for name in ("N", "D") if name in at]
    return between.join(shown) if shown else describe(made.at)
