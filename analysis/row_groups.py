"""Rows that are equal in several columns, fast for a million of them.

Legend: P rows, G groups.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
