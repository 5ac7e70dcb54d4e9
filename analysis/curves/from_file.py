"""A CSV or Parquet file with the columns step, lr and loss to a curve, in any logging interval.

A row's loss is that after `step` updates, before the update that its rate belongs to. Between rows the rate is linear;
where it is constant on both sides of one change, it jumps, at the row that first has the new rate. A file that begins
late, at its peak, is taken to follow a linear warm-up from 0. Rows of the warm-up give rates and no points.

Legend: P rows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.tables.expressions import compute_column
from windtunnel.analysis.tables.from_file import read_file
from windtunnel.analysis.tables.selection import parse_columns
from windtunnel.train.errors import InputError, did_you_mean

COLUMNS = ("step", "lr", "loss")
GIVEN = {"N": "size", "B": "batch"}  # columns that say the same in every row
LATE = 1.5  # intervals before the first row: a file that begins later than this has left its warm-up out
LEAST_POINTS = 4
GUESSED = "taken for the end of a linear warm-up from 0"


def read_curve(
    path: Path,
    columns: str | None = None,
    warmup: int | None = None,
    given: Mapping[str, float] | None = None,
    *,
    schedule_only: bool = False,
) -> Curve:
    """The curve of a file. `columns` is as `--columns` takes it, `warmup` the updates of its warm-up where it does not
    follow from the rates, `given` the size N and batch B where no column has them. `schedule_only`: its losses, which
    are NaN then, are not read. Raises InputError naming file, row and column.
    """
    table = read_file(Path(path)).table
    mapping = parse_columns(columns)
    for name in set(mapping) - {*COLUMNS, *GIVEN}:
        raise InputError(f"--columns {name}: a curve has {', '.join((*COLUMNS, *GIVEN))}{did_you_mean(name, COLUMNS)}")
    found: dict[str, Array] = {}
    for name in (*COLUMNS, *GIVEN):
        if name in mapping or name in table.columns:
            found[name] = _numbers(path, name, mapping.get(name, name), table.columns, len(table))
        elif name in COLUMNS and not (schedule_only and name == "loss"):
            raise InputError(
                f"{path}: no column {name}; it has {', '.join(table.columns)}: name it with --columns {name}=COLUMN"
                f"{did_you_mean(name, table.columns)}"
            )
    step_P, rate_P = found["step"], found["lr"]
    loss_P = np.full(len(table), np.nan) if schedule_only else found["loss"]
    _refuse_bad_rows(path, step_P, rate_P, loss_P)
    known = {GIVEN[name]: _one_value(path, name, found[name]) for name in GIVEN if name in found}
    known |= {GIVEN[name]: value for name, value in (given or {}).items()}
    least = 2 if schedule_only else LEAST_POINTS
    if len(table) < least:
        raise InputError(
            f"{path}: {len(table)} row{'s' * (len(table) != 1)}, and {least} or more are needed: name another file"
        )
    rates, notes = _rates(step_P, rate_P, warmup)
    guessed = any(GUESSED in note for note in notes)
    logged_P = np.isfinite(loss_P) | schedule_only
    after_P, trained_P = step_P >= max(rates.warmup, 1), rates.sum(step_P) > 0
    used_P = logged_P & after_P & trained_P
    for left_out, why in (
        (int(np.sum(~logged_P)), "without a loss"),
        (int(np.sum(step_P < rates.warmup)), f"in the warm-up (before step {rates.warmup})"),
        (int(np.sum(after_P & ~trained_P)), "before the first rate above 0"),
    ):
        if left_out:
            notes.append(f"{left_out} rows {why} left out")
    if used_P.sum() < least:
        raise InputError(
            f"{path}: {int(used_P.sum())} losses after the warm-up, which ends at step {rates.warmup}; a curve needs "
            f"{LEAST_POINTS} or more: name another file, or say --warmup"
        )
    told = tuple(f"{path}: {note}" for note in notes)
    time_P, logged_loss_P = step_P[used_P], loss_P[used_P]
    size, batch = known.get("size"), known.get("batch")
    return Curve(str(path), rates, time_P, logged_loss_P, size, batch, notes=told, warmup_is_guessed=guessed)


def _numbers(path: Path, name: str, expression: str, columns: Mapping[str, NDArray[Any]], rows: int) -> Array:
    values = compute_column(expression, columns, rows)
    if values.dtype.kind != "f":
        from windtunnel.analysis.tables.columns import is_number

        bad = next(row for row in range(rows) if not is_number(str(values[row])))
        raise InputError(f"{path}: row {bad + 1}, column {expression}: {values[bad]!s:.40} is no number; correct it")
    return np.asarray(values, dtype=np.float64)


def _refuse_bad_rows(path: Path, step_P: Array, rate_P: Array, loss_P: Array) -> None:
    def refuse(bad_P: NDArray[np.bool_], name: str, value_P: Array, what: str) -> None:
        if bad_P.any():
            row = int(np.flatnonzero(bad_P)[0])
            raise InputError(f"{path}: row {row + 1}, column {name}: {value_P[row]:g} {what}")

    refuse(~np.isfinite(step_P) | (step_P < 0) | (step_P != np.floor(step_P)), "step", step_P, "is no whole number")
    refuse(
        np.concatenate([[False], np.diff(step_P) <= 0]),
        "step",
        step_P,
        "does not come after the row before; sort the file, and keep one row of each step",
    )
    refuse(~np.isfinite(rate_P) | (rate_P < 0), "lr", rate_P, "is no rate; give a number of at least 0 in every row")
    refuse(np.isinf(loss_P) | (loss_P <= 0), "loss", loss_P, "is no loss; it must be a number above 0, or empty")
    if not rate_P.max() > 0:
        raise InputError(f"{path}: column lr: every rate is 0; give the learning rate of each step")


def _one_value(path: Path, name: str, value_P: Array) -> float:
    bad = np.flatnonzero(~((value_P == value_P[0]) & np.isfinite(value_P) & (value_P > 0)))
    if len(bad):
        raise InputError(
            f"{path}: row {bad[0] + 1}, column {name}: {value_P[bad[0]]:g} where a curve has one {name} above 0"
        )
    return float(value_P[0])


def _rates(step_P: Array, rate_P: Array, warmup: int | None) -> tuple[Rates, list[str]]:
    """Knots at the rows, at the jumps, and at the beginning."""
    notes: list[str] = []
    change_P = np.diff(rate_P) != 0
    alone_P = change_P & ~np.append(False, change_P[:-1]) & ~np.append(change_P[1:], False)
    # The first and the last change have only one side that is known.
    alone_P[[0, -1]] = False
    jump = np.flatnonzero(alone_P & (np.diff(step_P) > 1))
    knot_J = np.concatenate([step_P, step_P[jump + 1] - 1])
    order = np.argsort(knot_J, kind="stable")
    knot_J, rate_J = knot_J[order], np.concatenate([rate_P, rate_P[jump]])[order]
    first, rising = step_P[0], rate_P[1] > rate_P[0]
    interval = float(np.median(np.diff(step_P)))
    if first > 0:
        if rising:
            before = [max(0.0, rate_P[0] - first * (rate_P[1] - rate_P[0]) / (step_P[1] - first))]
            begin = [0.0]
        elif warmup is not None and 0 < warmup <= first:
            begin, before = [0.0, float(warmup)][: 2 if warmup < first else 1], [0.0, rate_P[0]]
        elif warmup is None and first > LATE * interval and rate_P[0] > 0:
            begin, before, warmup = [0.0], [0.0], int(first)
            notes.append(
                f"begins at step {first:g} at its highest rate: {GUESSED} "
                "(--warmup STEPS says otherwise, 0 that there was none)"
            )
        else:
            begin, before = [0.0], [rate_P[0]]
        knot_J = np.concatenate([begin, knot_J])
        rate_J = np.concatenate([before[: len(begin)], rate_J])
    return Rates.of_knots(knot_J, rate_J, warmup), notes
