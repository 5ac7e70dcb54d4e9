"""Text has a floor that nobody knows; a synthetic source has an entropy that is known, and the fitted floor is held
against it.

A reader of windows cannot reach the entropy rate: the first predictions of each lack context. What it can reach is the
column `entropy` of run records, and that is what the floor of their losses is held against.
"""

import math
from dataclasses import dataclass

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.tables.table import Table

FLOOR = "E"  # what the laws call the irreducible loss


@dataclass(frozen=True)
class KnownEntropy:
    """Of a source, in nats per token, as read in windows of so many tokens; `window` is None for an entropy rate."""

    nats: float
    window: int | None = None

    def __str__(self) -> str:
        windows = "" if self.window is None else f", read in windows of {self.window:,} tokens,"
        return f"entropy of the source{windows}"


def known_entropy(table: Table, fit: Fit) -> KnownEntropy | None:
    """None where the runs have no source of one known entropy, or the law no floor."""
    nats = _common(table, "entropy")
    if FLOOR not in fit.intervals or nats is None:
        return None
    # Without a rate beside it, it is the rate: what windows cost beyond it is not known (`table_row`).
    window = _common(table, "sequence_length") if _common(table, "entropy_rate") is not None else None
    return KnownEntropy(nats, None if window is None else int(window))


def _common(table: Table, column: str) -> float | None:
    """The one value that every row has in a column."""
    if column not in table.columns or len(table) == 0:
        return None
    value_P = np.asarray(table.columns[column], dtype=np.float64)
    found = float(value_P[0])
    return found if math.isfinite(found) and bool(np.all(value_P == found)) else None


def compared(fit: Fit, entropy: KnownEntropy) -> str:
    """One sentence: whether the interval of the floor contains the entropy."""
    low, high = fit.intervals[FLOOR]
    where = "inside" if low <= entropy.nats <= high else "OUTSIDE"
    end = "unbounded" if math.isinf(high) else f"{high:.5g}"
    fitted = "not identified" if FLOOR in fit.not_identified else f"{fit.parameters[FLOOR]:.5g}"
    return (
        f"The {entropy} is {entropy.nats:.6f} nats per token: {where} the 95 % interval of {fit.law.name}'s "
        f"{FLOOR}, [{low:.5g}, {end}] ({fitted})."
    )
