"""Which rows of somebody else's table differ by their seed alone, and what in such groups cannot be.

Legend: P rows.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.table import UNITS, Table

# A row further than this from the other seeds of its cell, in the standard deviations of the other cells, is told of.
OUTLYING = 6.0
# Fewer degrees of freedom do not say what the standard deviation is.
LEAST_DEGREES = 5


def is_measured(name: str) -> bool:
    """Whether a column is an outcome rather than a setting, by its name."""
    return name.startswith("loss") or name == "bits_per_byte"


def seed_cells(columns: Mapping[str, NDArray[Any]], num_rows: int) -> NDArray[np.str_]:
    """With a column `seed`, a name (P,) for all rows that agree in every column of scale and rate, whatever the source
    called them; "" where that is not known: a cell that holds one seed twice differs by something else too.
    """
    names = [name for name in (*UNITS, "epochs", "rate", "schedule") if name in columns and not is_measured(name)]
    if "seed" not in columns or not names:
        return np.full(num_rows, "")
    first, cell_P = group_rows([columns[name] for name in names])
    shown = [columns[name][first].tolist() for name in names]
    cells = np.array(["|".join(map(repr, key)) for key in zip(*shown, strict=True)], dtype=np.str_)
    once, number_P = group_rows([cell_P, columns["seed"]])
    repeated = np.bincount(number_P) > 1
    cells[cell_P[once[repeated]]] = ""
    return cells[cell_P]


def seed_notes(table: Table, target: str = "loss") -> list[str]:
    """What a reader must know of the rows that differ by their seed: one that is far off the others, and seeds that
    are no noise because all of them are one run.
    """
    groups = table.seed_groups()
    cells, counts = np.unique(table.cell[table.cell != ""], return_counts=True)
    if len(cells) and not groups and (counts > 1).any():
        row = int(np.flatnonzero(table.cell == cells[np.argmax(counts > 1)])[0])
        return [
            f"rows that differ by their seed alone are of one run ({table.run[row]}): no seed noise is known; "
            "give every run its own name"
        ]
    values_P = table.columns.get(target)
    if values_P is None or values_P.dtype.kind != "f":
        return []
    logs = [np.log(values) for group in groups if ((values := values_P[group]) > 0).all() and len(group) > 2]
    kept = [group for group in groups if (values_P[group] > 0).all() and len(group) > 2]
    squares = np.array([np.var(each) * len(each) for each in logs])
    degrees = np.array([len(each) - 1 for each in logs])
    notes = []
    for place, (group, log) in enumerate(zip(kept, logs, strict=True)):
        others = float(degrees.sum() - degrees[place])
        if others < LEAST_DEGREES:
            continue
        noise = math.sqrt(max(float(squares.sum() - squares[place]), 0.0) / others)
        apart = np.abs(log - (log.sum() - log) / (len(log) - 1))
        worst = int(np.argmax(apart))
        distance = float(apart[worst]) / math.sqrt(1 + 1 / (len(log) - 1))
        if noise > 0 and distance > OUTLYING * noise:
            notes.append(
                f"{table.label[group[worst]]} ({target} {values_P[group[worst]]:.4g}) is {distance / noise:.3g} "
                "standard deviations from the other seeds of its cell"
            )
    return notes


def settings(table: Table, measured: Collection[str]) -> list[str]:
    """The columns that say what a run was, seed included: all that are not outcomes, by name or as `measured` says."""
    return [name for name in table.columns if not is_measured(name) and name not in measured]


def group_rows(columns: Sequence[NDArray[Any]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first row (G,) of each group of rows that agree in all columns, (P,) each, and the group (P,) of each row."""
    first, group_P = _codes(columns[0])
    for column in columns[1:]:
        if len(first) == len(group_P):  # no two agree in the columns before
            break
        values, code_P = _codes(column)
        first, group_P = _codes(group_P * len(values) + code_P)
    return first, group_P


def _codes(column: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    _, first, code_P = np.unique(column, return_index=True, return_inverse=True)
    return first, code_P.reshape(-1)


# Residuals of a law that are more than this many times the noise are not noise.
MISFIT = 3.0


def seed_noise(table: Table, target: str = "loss") -> float | None:
    """The pooled standard deviation, or None where no configuration was run with a second seed."""
    squares, degrees = _pooled(table, target)
    return math.sqrt(squares / degrees) if degrees else None


def seed_degrees(table: Table, target: str = "loss") -> int:
    """The degrees of freedom that `seed_noise` is known with."""
    return _pooled(table, target)[1]


def _pooled(table: Table, target: str) -> tuple[float, int]:
    values_P = table.columns.get(target)
    if values_P is None or values_P.dtype.kind != "f":
        return 0.0, 0
    squares, degrees = 0.0, 0
    for group in table.seed_groups():
        positive = values_P[group]
        positive = positive[np.isfinite(positive) & (positive > 0)]
        if len(positive) > 1:
            squares += float(np.var(np.log(positive))) * len(positive)
            degrees += len(positive) - 1
    return squares, degrees
