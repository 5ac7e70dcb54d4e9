"""Expands the blocks of a study into the settings of each run: the product of grids, rows and fixed settings."""

import itertools
from collections.abc import Iterator
from typing import Any

from windtunnel.sweeps.study.schema import Block, LogRange

Settings = dict[str, Any]  # by full key: {"size": "25k", "optimizer.rate": 0.01}


def block_settings(block: Block) -> Iterator[Settings]:
    """The settings of each run of a block, without the fixed ones, in the order of the file. The last list varies
    fastest.
    """
    names = list(block.grid)
    lists = [_values(values) for values in block.grid.values()]
    for row in block.rows or [{}]:
        for point in itertools.product(*lists):
            yield {**row, **dict(zip(names, point, strict=True))}


def count_runs(block: Block) -> int:
    """The number of runs of a block, without expanding it."""
    number = len(block.rows or [{}])
    for values in block.grid.values():
        number *= len(_values(values))
    return number


def _values(values: Any) -> list[Any]:
    if isinstance(values, LogRange):
        return values.values()
    return values if isinstance(values, list) else [values]
