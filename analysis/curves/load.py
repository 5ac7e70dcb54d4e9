"""From the words of a command line to curves: files, run folders, folders of runs; `FILE@N=25e6` says a size."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.from_file import GIVEN, read_curve
from windtunnel.analysis.curves.from_runs import Losses, run_curve
from windtunnel.train.errors import InputError
from windtunnel.train.records import find_runs


def read_curves(
    words: Sequence[str], columns: str | None = None, warmup: int | None = None, losses: Losses = "training"
) -> list[Curve]:
    """The curves that the words name, in their order. Raises InputError, also where one is named twice."""
    found: list[Curve] = []
    for word in words:
        name, given = _given(word)
        path = Path(name)
        if (path / "run.json").exists():
            found.append(run_curve(path, losses))
        elif path.is_dir():
            runs = find_runs(path)
            if not runs:
                raise InputError(f"{path}: no runs in this folder; name CSV files, run folders or a folder of runs")
            found += [run_curve(run, losses) for run in runs]
        elif path.is_file():
            found.append(read_curve(path, columns, warmup, given))
        else:
            raise InputError(f"{path}: no such file or folder; name a CSV file with step, lr and loss, or a run")
    refuse_twice(found)
    return found


def refuse_twice(curves: Sequence[Curve]) -> None:
    """Raises InputError where one file or run is there twice: a curve that was fitted is no test."""
    seen: set[Path] = set()
    for curve in curves:
        path = Path(curve.name).resolve()
        if path in seen:
            raise InputError(f"{curve.name}: named twice; a curve is fitted or tested, once")
        seen.add(path)


def _given(word: str) -> tuple[str, dict[str, float]]:
    """`FILE@N=25e6,B=4e5` -> FILE and the numbers."""
    match = re.fullmatch(r"(.+)@((?:[A-Za-z]+=[^,=@]+,?)+)", word)
    if match is None or Path(word).exists():
        return word, {}
    given: dict[str, float] = {}
    for part in match[2].split(","):
        name, _, text = part.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if name not in GIVEN or not 0 < value < math.inf:
            raise InputError(f"{word}: {part}: say N (parameters) or B (tokens of an update), a number above 0")
        given[name] = value
    return match[1], given
