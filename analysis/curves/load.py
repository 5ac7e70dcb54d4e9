"""Loss curves and schedules from files, run folders, folders of runs and DataFrames.

Legend: P points, S updates.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve, LossKind
from windtunnel.analysis.curves.from_file import CONSTANTS, curve_from_file
from windtunnel.analysis.curves.from_runs import curve_from_run
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.tables.from_dataframe import DataFrame
from windtunnel.train.errors import InputError
from windtunnel.train.records import find_runs

CurveSource = str | Path | LossCurve | DataFrame
ScheduleSource = CurveSource | Sequence[float] | Array  # a sequence has the learning rate of every update

SCHEDULE_POINTS = 200  # times at which the loss under a sequence of rates is predicted


def load_curves(
    sources: CurveSource | Sequence[CurveSource],
    *,
    columns: str | Mapping[str, str] | None = None,
    warmup: int | None = None,
    losses: LossKind = "training",
) -> list[LossCurve]:
    """The loss curves of the sources, in their order.

    sources: CSV or Parquet files, run folders, folders of runs, DataFrames (pandas or polars), or curves;
        "FILE@N=25e6,B=4e5" gives the parameters and the tokens per update of a file.
    columns: columns of the files for step, lr, loss, N and B, or expressions of them: "step=it,lr=rate".
    warmup: updates of the warm-up of the files, where their rates do not show it.
    losses: which losses of run folders to read.

    Raises InputError where a source cannot be read, and where one is named twice.
    """
    (curves,) = load_curve_groups([sources], columns=columns, warmup=warmup, losses=losses)
    return curves


def load_curve_groups(
    groups: Sequence[CurveSource | Sequence[CurveSource]],
    *,
    columns: str | Mapping[str, str] | None = None,
    warmup: int | None = None,
    losses: LossKind = "training",
) -> list[list[LossCurve]]:
    """Groups of curves, such as those to fit and those to test on, that have no curve in common; arguments and errors
    as of `load_curves`. If every curve is of a file that begins at its peak, and all begin within one logging interval
    of each other, they get the warm-up of the earliest.
    """

    def read(warmup: int | None) -> list[list[LossCurve]]:
        return [
            [curve for source in _as_list(group) for curve in _load(source, columns, warmup, losses)]
            for group in groups
        ]

    loaded = read(warmup)
    curves = [curve for group in loaded for curve in group]
    _check_no_duplicates(curves)
    if curves and all(curve.warmup_inferred for curve in curves):
        begins = [curve.rates.warmup for curve in curves]
        interval = min(float(np.median(np.diff(curve.time_P))) for curve in curves)
        if 0 < max(begins) - min(begins) < interval:
            return read(min(begins))
    return loaded


def load_schedule(
    source: ScheduleSource,
    *,
    columns: str | Mapping[str, str] | None = None,
    warmup: int | None = None,
    size: float | None = None,
    batch: float | None = None,
) -> LossCurve:
    """A schedule whose loss curve is to be predicted, as a curve without losses.

    source: a CSV or Parquet file or a DataFrame with the columns step and lr, the learning rate of every update, or a
        curve. columns, warmup: as in `load_curves`.
    size, batch: parameters and tokens per update, instead of those of the source.

    Raises InputError.
    """
    if isinstance(source, LossCurve):
        if size is None and batch is None:
            return source
        return replace(source, size=size or source.size, batch=batch or source.batch)
    if isinstance(source, str | Path):
        path, own_size, own_batch = _split_constants(str(source))
        size, batch = size or own_size, batch or own_batch
        return curve_from_file(path, columns, warmup, size=size, batch=batch, schedule_only=True)
    if _is_dataframe(source):
        return curve_from_file(source, columns, warmup, size=size, batch=batch, schedule_only=True)
    rate_S = np.asarray(source, dtype=np.float64)
    if rate_S.ndim != 1 or len(rate_S) < 2 or not (rate_S >= 0).all() or not 0 < rate_S.max() < math.inf:
        raise InputError("a schedule needs the learning rate of every update: two or more numbers of at least 0")
    rates = LearningRates.from_updates(rate_S, warmup)
    time_P = np.unique(np.linspace(max(rates.warmup, 1), len(rate_S), SCHEDULE_POINTS).round())
    return LossCurve.query("schedule", rates, time_P, size, batch)


def _is_dataframe(source: object) -> TypeGuard[DataFrame]:
    return hasattr(source, "__arrow_c_stream__") and hasattr(source, "columns")


def _as_list(sources: CurveSource | Sequence[CurveSource]) -> Sequence[CurveSource]:
    return sources if isinstance(sources, list | tuple) else [sources]  # type: ignore[list-item]


def _load(
    source: CurveSource, columns: str | Mapping[str, str] | None, warmup: int | None, losses: LossKind
) -> list[LossCurve]:
    if isinstance(source, LossCurve):
        return [source]
    if _is_dataframe(source):
        return [curve_from_file(source, columns, warmup)]
    if not isinstance(source, str | Path):
        raise InputError(f"no curve can be read from {type(source).__name__}; give a path, a DataFrame or a curve")
    path, size, batch = _split_constants(str(source))
    if (path / "run.json").exists():
        return [curve_from_run(path, losses)]
    if path.is_dir():
        runs = find_runs(path)
        if not runs:
            raise InputError(f"{path}: no runs in this folder; name CSV files, run folders or a folder of runs")
        return [curve_from_run(run, losses) for run in runs]
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; name a CSV file with step, lr and loss, or a run")
    return [curve_from_file(path, columns, warmup, size=size, batch=batch)]


def _check_no_duplicates(curves: Sequence[LossCurve]) -> None:
    """Raises InputError where a curve is named twice: a fitted curve cannot test the fit."""
    seen: set[Path] = set()
    for curve in curves:
        path = Path(curve.name).resolve()
        if path in seen and path.exists():
            raise InputError(f"{curve.name}: named twice; name each curve once, to fit it or to test on it")
        seen.add(path)


def _split_constants(source: str) -> tuple[Path, float | None, float | None]:
    """`FILE@N=25e6,B=4e5` as FILE, size and batch size. Raises InputError."""
    match = re.fullmatch(r"(.+)@((?:[A-Za-z]+=[^,=@]+,?)+)", source)
    if match is None or Path(source).exists():
        return Path(source), None, None
    constants: dict[str, float] = {}
    for part in match[2].split(","):
        name, _, text = part.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if name not in CONSTANTS or not 0 < value < math.inf:
            raise InputError(f"{source}: {part}: give N (parameters) or B (tokens per update), a number above 0")
        constants[name] = value
    return Path(match[1]), constants.get("N"), constants.get("B")
