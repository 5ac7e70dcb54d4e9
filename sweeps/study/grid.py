"""From the blocks of a study to the settings of each run: the product of lists, rows and fixed settings."""

import itertools
from collections.abc import Iterator
from typing import Any

from windtunnel.sweeps.study.schema import Block, LogRange

Settings = dict[str, Any]  # by full key: {"size": "25k", "optimizer.rate": 0.01}


def block_cells(block: Block) -> Iterator[Settings]:
    """The settings that each run of a block adds to the fixed ones, in the order of the file: the last list varies
    fastest.
    """
    names = list(block.grid)
    lists = [_values(values) for values in block.grid.values()]
    for row in block.rows or [{}]:
        for chosen in itertools.product(*lists):
            yield {**row, **dict(zip(names, chosen, strict=True))}


def count_cells(block: Block) -> int:
    """How many there are, without making them."""
    number = len(block.rows or [{}])
    for values in block.grid.values():
        number *= len(_values(values))
    return number


def _values(values: Any) -> list[Any]:
    if isinstance(values, LogRange):
        return values.values()
    return values if isinstance(values, list) else [values]
