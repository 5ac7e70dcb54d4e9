"""Loss curves from tables: CSV and Parquet files and DataFrames with the columns step, lr and loss, at any interval.

The loss of a row is the loss after `step` updates, before the update that uses the rate of the row. Between rows the
rate is linear; where it is constant on both sides of a single change, it jumps, at the first row with the new rate. A
file that begins late and at its peak is assumed to follow a linear warm-up from 0. Rows of the warm-up give rates but
no points.

Legend: P rows, J knots of the rate.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from windtunnel.analysis.curves.curve import MIN_POINTS, LossCurve
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.tables.columns import is_number
from windtunnel.analysis.tables.expressions import compute_column
from windtunnel.analysis.tables.from_dataframe import DataFrame, read_dataframe
from windtunnel.analysis.tables.from_file import read_file
from windtunnel.analysis.tables.selection import parse_columns
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError, did_you_mean

COLUMNS = ("step", "lr", "loss")
CONSTANTS = ("N", "B")  # parameters and tokens per update: columns with one value in every row
LATE_INTERVALS = 1.5  # a file that begins after more logging intervals than this has left out its warm-up


def curve_from_file(
    source: str | Path | DataFrame,
    columns: str | Mapping[str, str] | None = None,
    warmup: int | None = None,
    *,
    size: float | None = None,
    batch: float | None = None,
    schedule_only: bool = False,
) -> LossCurve:
    """The loss curve of a CSV or Parquet file or a DataFrame.

    columns: columns of the source, or expressions of them, for step, lr, loss, N and B: "step=it,lr=rate".
    warmup: updates of the warm-up, where the rates do not show it.
    size, batch: parameters and tokens per update, instead of the columns N and B.
    schedule_only: losses are not read; they are NaN.

    Raises InputError with the file, the row and the column.
    """
    table = read_file(Path(source)).table if isinstance(source, str | Path) else read_dataframe(source).table
    mapping = parse_columns(columns) if columns is None or isinstance(columns, str) else columns
    values = _read_columns(table, mapping, optional=("loss",) if schedule_only else ())
    step_P, rate_P = values["step"], values["lr"]
    loss_P = np.full(len(table), np.nan) if schedule_only else values["loss"]
    _check_rows(table.source, step_P, rate_P, loss_P)
    constants = {name: _constant(table.source, name, values[name]) for name in CONSTANTS if name in values}
    minimum = 2 if schedule_only else MIN_POINTS
    if len(table) < minimum:
        rows = f"{len(table)} row{'s' * (len(table) != 1)}"
        raise InputError(f"{table.source}: {rows}; a curve needs {minimum} or more")
    rates, inferred = _learning_rates(step_P, rate_P, warmup)
    notes = [_warmup_note(step_P[0])] if inferred else []
    logged_P = np.isfinite(loss_P) | schedule_only
    after_P, trained_P = step_P >= max(rates.warmup, 1), rates.rate_sum(step_P) > 0
    used_P = logged_P & after_P & trained_P
    for count, which in (
        (int(np.sum(~logged_P)), "without a loss"),
        (int(np.sum(step_P < rates.warmup)), f"in the warm-up (before step {rates.warmup})"),
        (int(np.sum(after_P & ~trained_P)), "before the first rate above 0"),
    ):
        if count:
            notes.append(f"{count} rows {which} left out")
    if used_P.sum() < minimum:
        raise InputError(
            f"{table.source}: {int(used_P.sum())} losses after the warm-up, which ends at step {rates.warmup}; a curve "
            f"needs {MIN_POINTS} or more: name another file, or pass warmup=..."
        )
    return LossCurve(
        name=table.source,
        rates=rates,
        time_P=step_P[used_P],
        loss_P=loss_P[used_P],
        size=constants.get("N") if size is None else size,
        batch=constants.get("B") if batch is None else batch,
        notes=tuple(f"{table.source}: {note}" for note in notes),
        warmup_inferred=inferred,
    )


def _read_columns(table: Table, mapping: Mapping[str, str], optional: tuple[str, ...]) -> dict[str, Array]:
    for name in set(mapping) - {*COLUMNS, *CONSTANTS}:
        names = (*COLUMNS, *CONSTANTS)
        raise InputError(f"columns=... names {name}: a curve has {', '.join(names)}{did_you_mean(name, names)}")
    values: dict[str, Array] = {}
    for name in (*COLUMNS, *CONSTANTS):
        if name in mapping or name in table.columns:
            values[name] = _numbers(table, mapping.get(name, name))
        elif name in COLUMNS and name not in optional:
            raise InputError(
                f"{table.source}: no column {name}; it has {', '.join(table.columns)}: pass columns=... with "
                f"{name}=COLUMN{did_you_mean(name, table.columns)}"
            )
    return values


def _numbers(table: Table, expression: str) -> Array:
    values = compute_column(expression, table.columns, len(table))
    if values.dtype.kind != "f":
        row = next(row for row in range(len(table)) if not is_number(str(values[row])))
        raise InputError(
            f"{table.source}: row {row + 1}, column {expression}: {values[row]!s:.40} is not a number; correct it"
        )
    return np.asarray(values, dtype=np.float64)


def _check_rows(source: str, step_P: Array, rate_P: Array, loss_P: Array) -> None:
    repeated_P = np.concatenate([[False], np.diff(step_P) <= 0])
    for bad_P, name, value_P, problem in (
        (~np.isfinite(step_P) | (step_P < 0) | (step_P != np.floor(step_P)), "step", step_P, "is not a whole number"),
        (repeated_P, "step", step_P, "does not follow the row before; sort the file, and keep one row of each step"),
        (~np.isfinite(rate_P) | (rate_P < 0), "lr", rate_P, "is not a learning rate; give 0 or more in every row"),
        (np.isinf(loss_P) | (loss_P <= 0), "loss", loss_P, "is not a loss; give a number above 0, or leave it empty"),
    ):
        if bad_P.any():
            row = int(np.flatnonzero(bad_P)[0])
            raise InputError(f"{source}: row {row + 1}, column {name}: {value_P[row]:g} {problem}")
    if not rate_P.max() > 0:
        raise InputError(f"{source}: column lr: every rate is 0; give the learning rate of each step")


def _constant(source: str, name: str, value_P: Array) -> float:
    bad = np.flatnonzero(~((value_P == value_P[0]) & np.isfinite(value_P) & (value_P > 0)))
    if len(bad):
        raise InputError(
            f"{source}: row {bad[0] + 1}, column {name}: {value_P[bad[0]]:g}; a curve has one {name}, above 0"
        )
    return float(value_P[0])


def _learning_rates(step_P: Array, rate_P: Array, warmup: int | None) -> tuple[LearningRates, bool]:
    """The rates with knots at the rows, at jumps and at the beginning, and whether the warm-up was inferred."""
    change_P = np.diff(rate_P) != 0
    isolated_P = change_P & ~np.append(False, change_P[:-1]) & ~np.append(change_P[1:], False)
    isolated_P[[0, -1]] = False  # only one side of the first and the last change is known
    jump = np.flatnonzero(isolated_P & (np.diff(step_P) > 1))
    knot_J = np.concatenate([step_P, step_P[jump + 1] - 1])
    order = np.argsort(knot_J, kind="stable")
    knot_J, rate_J = knot_J[order], np.concatenate([rate_P, rate_P[jump]])[order]
    first, inferred = step_P[0], False
    if first > 0:
        if rate_P[1] > rate_P[0]:
            slope = (rate_P[1] - rate_P[0]) / (step_P[1] - first)
            steps, rates = [0.0], [max(0.0, rate_P[0] - first * slope)]
        elif warmup is not None and 0 < warmup < first:
            steps, rates = [0.0, float(warmup)], [0.0, rate_P[0]]
        elif warmup is not None and warmup == first:
            steps, rates = [0.0], [0.0]
        elif warmup is None and first > LATE_INTERVALS * float(np.median(np.diff(step_P))) and rate_P[0] > 0:
            steps, rates, warmup, inferred = [0.0], [0.0], int(first), True
        else:
            steps, rates = [0.0], [rate_P[0]]
        knot_J, rate_J = np.concatenate([steps, knot_J]), np.concatenate([rates, rate_J])
    return LearningRates.from_knots(knot_J, rate_J, warmup), inferred


def _warmup_note(step: float) -> str:
    return (
        f"begins at step {step:g} at its highest rate, taken as the end of a linear warm-up from 0 "
        "(warmup=... sets the length of the warm-up; 0: there was none)"
    )
