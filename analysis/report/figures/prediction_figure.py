"""Each prediction on a line of its own: its interval and the measured losses, in per cent of the predicted loss."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.score import Score
from windtunnel.analysis.report.figures.figure import RenderedFigure, render_figure
from windtunnel.analysis.report.figures.style import BLUE, PAPER, RED
from windtunnel.analysis.report.number_format import format_magnitudes

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_ERROR = 100.0  # per cent: intervals are drawn up to here


def prediction_figure(predictions: Sequence[tuple[Prediction, Score | None]]) -> RenderedFigure | None:
    """None where nothing is predicted. Each prediction has its score where the target was measured."""
    if not predictions:
        return None

    def paint(figure: "Figure") -> None:
        _paint(figure.subplots(1, 1), predictions)

    inside = [bool(score.mean.inside_90) for _, score in predictions if score is not None]
    summary = f"{sum(inside)} of {len(inside)} inside the 90 % interval" if inside else "not measured yet"
    caption = (
        "Bar: the 90 % interval of the prediction; diamonds: measured runs. All are relative to the predicted loss; "
        "errors in the tables are relative to the measured loss."
    )
    return render_figure(
        "predictions",
        "Predictions and outcomes",
        f"{len(predictions)} predictions with 90 % intervals; {len(inside)} with measured losses: {summary}",
        caption,
        paint,
        0.9 + 0.42 * len(predictions),
        summary,
    )


def _paint(panel: "Axes", predictions: Sequence[tuple[Prediction, Score | None]]) -> None:
    rows = list(range(len(predictions)))[::-1]
    for row, (prediction, score) in zip(rows, predictions, strict=True):
        low, high = (100 * (end / prediction.loss - 1) for end in prediction.interval_90)
        ends = [max(low, -LARGEST_ERROR), min(high, LARGEST_ERROR)]
        panel.plot(ends, [row, row], color=BLUE, linewidth=6, alpha=0.35, zorder=2, solid_capstyle="butt")
        panel.plot([0, 0], [row - 0.2, row + 0.2], color=BLUE, linewidth=1.6, zorder=3)
        if score is not None:
            errors = [100 * (run.loss / prediction.loss - 1) for run in score.runs]
            panel.scatter(
                errors, [row] * len(errors), s=30, marker="D", color=RED, edgecolor=PAPER, linewidth=0.5, zorder=4
            )
    panel.set_yticks(rows, [f"{prediction.law}\n{format_magnitudes(prediction.at)}" for prediction, _ in predictions])
    panel.set_ylim(-0.7, len(predictions) - 0.3)
    panel.margins(x=0.1)
    panel.grid(False, axis="y")
    panel.set_xlabel("measured / predicted - 1 (%)")
