"""A page and its figures as files of one folder; equal pages give equal bytes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.analysis.report.figures.backtest_figure import backtest_figure
from windtunnel.analysis.report.figures.figure import Drawing
from windtunnel.analysis.report.figures.fitted_rows import fitted_rows
from windtunnel.analysis.report.figures.isoflop_figure import isoflop_figure
from windtunnel.analysis.report.figures.loss_figure import loss_figure
from windtunnel.analysis.report.figures.prediction_figure import prediction_figure
from windtunnel.analysis.report.figures.profile_figure import profile_figure
from windtunnel.analysis.report.figures.residual_figure import residual_figure
from windtunnel.analysis.report.known_entropy import known_entropy
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

if TYPE_CHECKING:
    from windtunnel.analysis.report.report import Report


PAGE, CURVES_PAGE = "report.html", "curves.html"
FIGURES = "figures"


def write_page(folder: Path, page: str, text: str, drawings: Mapping[str, Drawing], names: Sequence[str]) -> list[Path]:
    """Writes the page and `figures/*.svg`, `figures/*.png` into `folder` and returns their paths, the page first.
    names: the figures that such a page can have; those of an earlier one that this one has not are removed. Raises
    InputError where the folder cannot be written.
    """
    make_folder(folder / FIGURES)
    written = []
    try:
        for name in names:
            for suffix in ("svg", "png"):
                path = folder / FIGURES / f"{name}.{suffix}"
                if name not in drawings:
                    path.unlink(missing_ok=True)
                    continue
                drawing = drawings[name]
                write_atomically(path, drawing.svg.encode() if suffix == "svg" else drawing.png)
                written.append(path)
        write_atomically(folder / page, text.encode())
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}; name another folder with --out") from None
    return [folder / page, *written]


def make_folder(folder: Path) -> None:
    """Raises InputError where it cannot be made or is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: no folder can be made here: {error.strerror}; name another with --out") from None


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
