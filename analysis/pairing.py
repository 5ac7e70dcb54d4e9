"""Which runs of two arms share their noise: the same seed on the same budget draws the same data in the same order.

Legend: P rows of an arm, U units.
"""

import numpy as np
from numpy.typing import NDArray

from analysis.table import Table

# Two arms' runs are a pair when these agree to this (in logarithm); architectures differ a little in N.
CLOSE = {"D": 0.03, "N": 0.15, "C": 0.1}


Pairs = list[tuple[int, int]]


def paired_units(first: Table, second: Table) -> tuple[NDArray[np.intp], NDArray[np.intp], Pairs]:
    """The unit of each row of both arms, and the pairs of rows. A unit holds all that shares noise: a run (or trunk) of
    one arm and what it is paired with in the other.
    """
    clusters, numbers = np.unique(
        np.concatenate([np.char.add("A ", first.run), np.char.add("B ", second.run)]), return_inverse=True
    )
    root = np.arange(len(clusters))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = int(root[node])
        return node

    pairs = _pairs(first, second)
    for one, other in pairs:
        root[find(int(numbers[other + len(first)]))] = find(int(numbers[one]))
    units = np.unique([find(int(number)) for number in numbers], return_inverse=True)[1].reshape(-1)
    return units[: len(first)], units[len(first) :], pairs


def _pairs(first: Table, second: Table) -> Pairs:
    """Rows of equal seed and nearly equal budget, the nearest first, each used once."""
    shared = [
        name
        for name in (("D", "N") if "D" in first.numeric and "D" in second.numeric else ("C",))
        if name in first.numeric and name in second.numeric
    ]
    if not shared:
        return []
    apart = np.zeros((len(first), len(second)))
    for name in shared:
        gap = np.abs(np.log(first.columns[name])[:, None] - np.log(second.columns[name])[None, :]) / CLOSE[name]
        apart = np.maximum(apart, gap)
    apart[apart > 1] = np.inf
    if "seed" in first.columns and "seed" in second.columns:
        apart[first.columns["seed"][:, None] != second.columns["seed"][None, :]] = np.inf
    ones, others = np.nonzero(np.isfinite(apart))
    nearest = np.argsort(apart[ones, others], kind="stable")
    used_first: set[int] = set()
    used_second: set[int] = set()
    found = []
    for one, other in zip(ones[nearest].tolist(), others[nearest].tolist(), strict=True):
        if one not in used_first and other not in used_second:
            used_first.add(one)
            used_second.add(other)
            found.append((one, other))
    return found
