"""The counts of parameters and of FLOPs that a table has: columns N, N_non_embedding, ..., and C, C_exact, ...

Legend: P rows.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.tables.selection import parse_columns
from windtunnel.analysis.tables.table import Table


def counts(table: Table, letter: str) -> list[str]:
    """The columns that count what `letter` does, the plain one first."""
    names = [name for name in table.numeric if name == letter or name.startswith(f"{letter}_")]
    return sorted(names, key=lambda name: name != letter)


def distinct(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Without those that are another one under a second name."""
    found: dict[str, Array] = {}
    for name, values in columns.items():
        if not any(np.allclose(values, other, rtol=1e-6, equal_nan=True) for other in found.values()):
            found[name] = values
    return found


def what_size_counts(table: Table) -> str:
    """What N is in a table of run records, as a sentence: all parameters unless another count was named N."""
    size = table.columns["N"]
    others = [name for name in counts(table, "N") if name not in ("N", "N_active")]
    same = [name for name in others if np.array_equal(table.columns[name], size)]
    named = parse_columns(table.named or None).get("N", "N")
    if same or named != "N":
        return f"N is {same[0] if same else named}"
    return "N counts all parameters, embeddings and head included"


def under(table: Table, size_P: Array, cost_P: Array) -> Table:
    """The table with N and C counted so, and M = D / N."""
    with np.errstate(all="ignore"):
        return replace(table, columns={**table.columns, "N": size_P, "C": cost_P, "M": table.columns["D"] / size_P})
