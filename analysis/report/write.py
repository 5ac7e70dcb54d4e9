"""Writes reports: the page, and each figure as SVG and PNG. Equal reports give equal bytes."""

from collections.abc import Callable
from pathlib import Path

from windtunnel.analysis.report.curve_page import render_curve_report
from windtunnel.analysis.report.curve_report import CurveReport
from windtunnel.analysis.report.figures.backtest_figure import backtest_figure
from windtunnel.analysis.report.figures.curve_errors_figure import curve_errors_figure
from windtunnel.analysis.report.figures.curves_figure import curves_figure
from windtunnel.analysis.report.figures.figure import RenderedFigure
from windtunnel.analysis.report.figures.fitted_rows import fitted_rows
from windtunnel.analysis.report.figures.headline_figure import headline_figure
from windtunnel.analysis.report.figures.isoflop_figure import isoflop_figure
from windtunnel.analysis.report.figures.loss_figure import loss_figure
from windtunnel.analysis.report.figures.prediction_figure import prediction_figure
from windtunnel.analysis.report.figures.profile_figure import profile_figure
from windtunnel.analysis.report.figures.residual_figure import residual_figure
from windtunnel.analysis.report.files import CURVE_FIGURE_NAMES, CURVES_PAGE, FIGURE_NAMES, PAGE, write_files
from windtunnel.analysis.report.known_entropy import known_entropy
from windtunnel.analysis.report.page import render_report
from windtunnel.analysis.report.report import Report

Log = Callable[[str], None]


def write_report(report: Report, folder: Path, log: Log = lambda message: None) -> list[Path]:
    """Writes `report.html` and `figures/*` into `folder`. Returns their paths, the page first.

    Figures of an earlier report that this one does not have are removed. Raises InputError where the folder cannot be
    written, ValueError where the fit is of another table.
    """
    figures = draw_figures(report, log)
    return write_files(Path(folder), PAGE, render_report(report, figures), figures, FIGURE_NAMES)


def write_curve_report(report: CurveReport, folder: Path, page: str = CURVES_PAGE) -> list[Path]:
    """Writes the page under that name and `figures/*` into `folder`. Returns their paths, the page first.

    Raises InputError where the folder cannot be written.
    """
    drawn = (curves_figure(report), curve_errors_figure(report))
    figures = {figure.name: figure for figure in drawn if figure is not None}
    return write_files(Path(folder), page, render_curve_report(report, figures), figures, CURVE_FIGURE_NAMES)


def draw_figures(report: Report, log: Log) -> dict[str, RenderedFigure]:
    """The figures of a report by name; those that it cannot have are left out."""
    fit, ranking, isoflop = report.fit, report.ranking, report.isoflop
    rows = fitted_rows(report.table, fit)
    predictions = report.scored_predictions
    shown = [pair for pair in predictions if pair[0].law == fit.law.name] or predictions
    if report.outlook is not None:
        shown = [(report.outlook, None)]
    steps: list[tuple[str, Callable[[], RenderedFigure | None]]] = [
        ("runs, law and target", lambda: headline_figure(fit, rows, shown)),
        ("predictions and outcomes", lambda: prediction_figure(predictions)),
        ("loss against size, data and compute", lambda: loss_figure(fit, rows)),
        ("backtest", lambda: None if ranking is None else backtest_figure(ranking, fit.law.name)),
        ("residuals", lambda: residual_figure(fit, rows)),
        ("profile likelihoods", lambda: profile_figure(fit, known_entropy(report.table, fit))),
        ("curves of equal compute", lambda: None if isoflop is None else isoflop_figure(isoflop, report.table)),
    ]
    figures = {}
    for name, draw in steps:
        log(f"drawing {name}")
        figure = draw()
        if figure is not None:
            figures[figure.name] = figure
    return figures
