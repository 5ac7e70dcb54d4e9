"""Names and writing of a report's files: the page, and each of its figures as SVG and PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from windtunnel.analysis.report.figures.figure import RenderedFigure
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

PAGE, CURVES_PAGE = "report.html", "curves.html"
FIGURES = "figures"
FIGURE_NAMES = ("headline", "predictions", "loss", "backtest", "residuals", "profiles", "isoflop")
CURVE_FIGURE_NAMES = ("curves", "curve-errors")


def write_files(
    folder: Path, page: str, text: str, figures: Mapping[str, RenderedFigure], names: Sequence[str]
) -> list[Path]:
    """Writes the page and `figures/*.svg`, `figures/*.png` into `folder`. Returns their paths, the page first.

    `names` are the figures that such a page can have: the files of those not in `figures` are removed.
    Raises InputError where the folder cannot be written.
    """
    make_folder(folder / FIGURES)
    written = []
    try:
        for name in names:
            for suffix in ("svg", "png"):
                path = folder / FIGURES / f"{name}.{suffix}"
                if name not in figures:
                    path.unlink(missing_ok=True)
                    continue
                figure = figures[name]
                write_atomically(path, figure.svg.encode() if suffix == "svg" else figure.png)
                written.append(path)
        write_atomically(folder / page, text.encode())
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); name another folder") from None
    return [folder / page, *written]


def make_folder(folder: Path) -> None:
    """Creates the folder. Raises InputError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror}); name another folder") from None
