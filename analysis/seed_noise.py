"""Seed noise of a table: the pooled standard deviation of log loss among runs equal but for the seed."""

import math

import numpy as np

from analysis.table import Table

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
