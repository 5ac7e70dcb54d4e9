"""Conventions of counting: the columns of a table that count parameters (N, N_non_embedding, ...) or FLOPs (C, ...).

Legend: P rows.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from windtunnel.analysis.tables.columns import Array
from windtunnel.analysis.tables.selection import parse_columns
from windtunnel.analysis.tables.table import Table


def count_columns(table: Table, letter: str) -> list[str]:
    """The columns that count what `letter` (N or C) counts, the column `letter` itself first."""
    names = [name for name in table.numeric if name == letter or name.startswith(f"{letter}_")]
    return sorted(names, key=lambda name: name != letter)


def distinct_columns(columns: Mapping[str, Array]) -> dict[str, Array]:
    """The columns without those that equal an earlier one."""
    distinct: dict[str, Array] = {}
    for name, values in columns.items():
        if not any(np.allclose(values, other, rtol=1e-6, equal_nan=True) for other in distinct.values()):
            distinct[name] = values
    return distinct


def describe_size_convention(table: Table) -> str:
    """A sentence on what N counts in a table of run records: all parameters unless a column was named N."""
    size_P = table.columns["N"]
    others = [name for name in count_columns(table, "N") if name not in ("N", "N_active")]
    equal = [name for name in others if np.array_equal(table.columns[name], size_P)]
    chosen = parse_columns(table.column_mapping or None).get("N", "N")
    if equal or chosen != "N":
        return f"N is {equal[0] if equal else chosen}"
    return "N counts all parameters, embeddings and head included"


def with_convention(table: Table, size_P: Array, cost_P: Array) -> Table:
    """The table with these values of N and C, and M = D / N."""
    with np.errstate(all="ignore"):
        return replace(table, columns={**table.columns, "N": size_P, "C": cost_P, "M": table.columns["D"] / size_P})
