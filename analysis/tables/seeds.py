"""Seed replicates: which rows differ by their seed alone, the seed noise they measure, and what is odd about them.

Legend: P rows, G groups of rows.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.table import UNITS, Table

# Residuals of a law above this many times the seed noise are misfit, not noise.
MISFIT_RATIO = 3.0
# A seed replicate further than this from the others of its cell, in standard deviations of the other cells, is noted.
OUTLIER_DEVIATIONS = 6.0
# With fewer degrees of freedom that standard deviation is not known well enough.
MIN_DEGREES_OF_FREEDOM = 5


def is_outcome(name: str) -> bool:
    """Whether a column is an outcome rather than a setting, by its name."""
    return name.startswith("loss") or name == "bits_per_byte"


def setting_columns(table: Table, outcomes: Collection[str]) -> list[str]:
    """The columns that are settings, the seed included: all but outcomes by their names and those in `outcomes`."""
    return [name for name in table.columns if not is_outcome(name) and name not in outcomes]


def group_rows(columns: Sequence[NDArray[Any]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Groups of rows that are equal in all columns, each (P,): the first row (G,) of each group, and the group (P,) of
    each row. Fast for a million rows.
    """
    first, group_P = _codes(columns[0])
    for column in columns[1:]:
        if len(first) == len(group_P):  # no two rows are equal in the columns so far
            break
        values, code_P = _codes(column)
        first, group_P = _codes(group_P * len(values) + code_P)
    return first, group_P


def _codes(column: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    _, first, code_P = np.unique(column, return_index=True, return_inverse=True)
    return first, code_P.reshape(-1)


def seed_cells(columns: Mapping[str, NDArray[Any]], num_rows: int) -> NDArray[np.str_]:
    """The cell (P,) of each row of a table with a column `seed`: equal for rows that agree in every column of scale and
    rate. "" where the cell is not known: a cell with the same seed twice differs in something else too.
    """
    names = [name for name in (*UNITS, "epochs", "rate", "schedule") if name in columns and not is_outcome(name)]
    if "seed" not in columns or not names:
        return np.full(num_rows, "")
    first, cell_P = group_rows([columns[name] for name in names])
    values = [columns[name][first].tolist() for name in names]
    cells = np.array(["|".join(map(repr, key)) for key in zip(*values, strict=True)], dtype=np.str_)
    first_of_pair, pair_P = group_rows([cell_P, columns["seed"]])
    repeated = np.bincount(pair_P) > 1
    cells[cell_P[first_of_pair[repeated]]] = ""
    return cells[cell_P]


def seed_noise(table: Table, target: str = "loss") -> float | None:
    """The standard deviation of the log of `target` among seed replicates, pooled over all cells; None without seed
    replicates.
    """
    squares, degrees = _pooled_variance(table, target)
    return math.sqrt(squares / degrees) if degrees else None


def seed_degrees_of_freedom(table: Table, target: str = "loss") -> int:
    """The degrees of freedom of `seed_noise`."""
    return _pooled_variance(table, target)[1]


def _pooled_variance(table: Table, target: str) -> tuple[float, int]:
    """The sum of squared deviations of log `target` from the means of its cells, and its degrees of freedom."""
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


def seed_notes(table: Table, target: str = "loss") -> list[str]:
    """Notes on seed replicates: outliers, or that no seed noise can be measured because all of a cell are one run."""
    groups = table.seed_groups()
    cells, counts = np.unique(table.cell[table.cell != ""], return_counts=True)
    if len(cells) and not groups and (counts > 1).any():
        row = int(np.flatnonzero(table.cell == cells[np.argmax(counts > 1)])[0])
        return [
            f"rows that differ by their seed alone are of one run ({table.run[row]}): the seed noise is not known; "
            "give each run its own name"
        ]
    values_P = table.columns.get(target)
    if values_P is None or values_P.dtype.kind != "f":
        return []
    groups = [group for group in groups if (values_P[group] > 0).all() and len(group) > 2]
    logs = [np.log(values_P[group]) for group in groups]
    squares = np.array([np.var(log) * len(log) for log in logs])
    degrees = np.array([len(log) - 1 for log in logs])
    notes = []
    for index, (group, log) in enumerate(zip(groups, logs, strict=True)):
        other_degrees = float(degrees.sum() - degrees[index])
        if other_degrees < MIN_DEGREES_OF_FREEDOM:
            continue
        noise = math.sqrt(max(float(squares.sum() - squares[index]), 0.0) / other_degrees)
        deviation = np.abs(log - (log.sum() - log) / (len(log) - 1))
        worst = int(np.argmax(deviation))
        distance = float(deviation[worst]) / math.sqrt(1 + 1 / (len(log) - 1))
        if noise > 0 and distance > OUTLIER_DEVIATIONS * noise:
            notes.append(
                f"{table.label[group[worst]]} ({target} {values_P[group[worst]]:.4g}) is {distance / noise:.3g} "
                "standard deviations from the other seeds of its cell"
            )
    return notes
