"""Compute frontier of a law: the lowest loss that a budget buys, and the size that reaches it, with D = C / (6 N).

Legend: R replicates (each with its own parameters and budget), K parameters, G sizes of a search grid.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.target import FLOPS_PER_PARAMETER_TOKEN, complete
from windtunnel.train.errors import InputError

SIZE_COLUMNS = frozenset({"N", "D", "M"})
COARSE_GRID, FINE_GRID = 49, 9
# Each zoom divides the spacing of the grid by 4. The loss is flat at its minimum: eleven zooms give all its digits.
QUICK_ZOOMS, EXACT_ZOOMS = 6, 12


@dataclass(frozen=True)
class Frontier:
    """log_N: the optimal size; NaN where the loss falls up to an end of what the budget can buy."""

    log_N: Array
    loss: Array


def frontier(
    law: Law,
    natural_RK: NDArray[Any],
    log_flops: Array | float,
    at: Mapping[str, float] | None = None,
    *,
    zooms: int = EXACT_ZOOMS,
) -> Frontier:
    """The optimum of each replicate at its budget, log_flops: (R,) or one number.

    at: values of the law's other columns. A law of C alone gets its loss and no size. Raises InputError where the law
    does not depend on a budget.
    """
    num_replicates = len(natural_RK)
    values = law.values(natural_RK)
    log_C = np.broadcast_to(np.asarray(log_flops, dtype=np.float64), (num_replicates,))[:, None]
    constants = {name: np.full((num_replicates, 1), value) for name, value in (at or {}).items()}
    _check_columns(law, constants)
    if not SIZE_COLUMNS & set(law.columns):
        loss_R1 = law.predict(values, {**constants, "C": np.exp(log_C)})
        return Frontier(np.full(num_replicates, np.nan), np.broadcast_to(loss_R1, (num_replicates, 1))[:, 0])

    def loss_at(log_N_RG: Array) -> Array:
        columns = complete({**constants, "C": np.exp(log_C), "N": np.exp(log_N_RG)})
        loss_RG = np.asarray(law.predict(values, columns), dtype=np.float64)
        return np.where(np.isfinite(loss_RG), loss_RG, np.inf)

    # From one parameter to one token: all that the budget can buy.
    low_R1, high_R1 = np.zeros((num_replicates, 1)), log_C - math.log(FLOPS_PER_PARAMETER_TOKEN)
    rows, interior_R = np.arange(num_replicates), np.ones(num_replicates, dtype=np.bool_)
    for zoom in range(zooms + 1):
        share_G = np.linspace(0.0, 1.0, COARSE_GRID if zoom == 0 else FINE_GRID)
        log_N_RG = low_R1 + (high_R1 - low_R1) * share_G
        loss_RG = loss_at(log_N_RG)
        best_R = np.argmin(loss_RG, axis=1)
        if zoom == 0:
            interior_R = (best_R > 0) & (best_R < len(share_G) - 1)
        low_R1 = log_N_RG[rows, np.maximum(best_R - 1, 0)][:, None]
        high_R1 = log_N_RG[rows, np.minimum(best_R + 1, len(share_G) - 1)][:, None]
    # No interpolation: the last grid is finer than rounding lets the minimum be located.
    return Frontier(np.where(interior_R, log_N_RG[rows, best_R], np.nan), loss_RG[rows, best_R])


def _check_columns(law: Law, constants: Mapping[str, Any]) -> None:
    if not {"N", "D", "C", "M"} & set(law.columns):
        raise InputError(f"law {law.name} reads {', '.join(law.columns)}: it does not depend on a budget C")
    if len(SIZE_COLUMNS & set(law.columns)) == 1 and "C" not in law.columns:
        raise InputError(f"law {law.name} reads {', '.join(law.columns)} alone: use a law of N and D, or of C")
    for name in law.columns:
        if name not in {*SIZE_COLUMNS, "C", *constants}:
            raise InputError(f"law {law.name} also reads {name}: give its value with at=...")
