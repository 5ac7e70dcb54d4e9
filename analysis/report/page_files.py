"""A page and its figures as files of one folder; equal pages give equal bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.report.drawing import Drawing
from train.errors import InputError
from train.records import write_atomically

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
