"""All figures of a report that its data allow."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from analysis.report.backtest_figure import backtest_figure
from analysis.report.drawing import Drawing
from analysis.report.fitted_rows import fitted_rows
from analysis.report.isoflop_figure import isoflop_figure
from analysis.report.known_entropy import known_entropy
from analysis.report.loss_figure import loss_figure
from analysis.report.prediction_figure import prediction_figure
from analysis.report.profile_figure import profile_figure
from analysis.report.residual_figure import residual_figure

if TYPE_CHECKING:
    from analysis.report.report import Report


def drawings(report: "Report", progress: Callable[[str], None]) -> dict[str, Drawing]:
    """By name, in the order of the page."""
    fit = report.fit
    rows = fitted_rows(report.table, fit)
    ranking, isoflop = report.ranking, report.isoflop
    steps: list[tuple[str, Callable[[], Drawing | None]]] = [
        (
            "predictions and outcomes",
            lambda: prediction_figure(report.predictions, report.scores, rows, fit.law.target),
        ),
        ("loss and the band of the fit", lambda: loss_figure(fit, rows)),
        ("back-test", lambda: None if ranking is None else backtest_figure(ranking, fit.law.name)),
        ("residuals", lambda: residual_figure(fit, rows)),
        ("profiles of the parameters", lambda: profile_figure(fit, known_entropy(report.table, fit))),
        ("curves of equal compute", lambda: None if isoflop is None else isoflop_figure(isoflop, report.table)),
    ]
    found = {}
    for what, make in steps:
        progress(f"drawing {what}")
        drawing = make()
        if drawing is not None:
            found[drawing.name] = drawing
    return found
