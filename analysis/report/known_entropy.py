"""The known entropy of a synthetic source, for comparison with the fitted irreducible loss.

A model that reads windows cannot reach the entropy rate, since the first predictions of a window lack context. The
bound for its losses is the entropy of windows, the column `entropy` of run records.

Legend: P rows.
"""

import math
from dataclasses import dataclass

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.report.number_format import format_interval, format_loss
from windtunnel.analysis.tables.table import Table

IRREDUCIBLE_LOSS = "E"  # name of the parameter in every law that has it


@dataclass(frozen=True)
class KnownEntropy:
    """Entropy of a source in nats per token, for windows of `window` tokens; None for the entropy rate."""

    nats: float
    window: int | None = None

    def __str__(self) -> str:
        windows = "" if self.window is None else f", read in windows of {self.window:,} tokens,"
        return f"entropy of the source{windows}"


def known_entropy(table: Table, fit: Fit) -> KnownEntropy | None:
    """None where the rows do not share one known entropy, or the law has no irreducible loss."""
    nats = _common_value(table, "entropy")
    if IRREDUCIBLE_LOSS not in fit.intervals or nats is None:
        return None
    # Without the column `entropy_rate`, `entropy` is the rate itself (see `windtunnel.analysis.tables.run_row`).
    window = _common_value(table, "sequence_length") if _common_value(table, "entropy_rate") is not None else None
    return KnownEntropy(nats, None if window is None else int(window))


def _common_value(table: Table, column: str) -> float | None:
    """The value of a column that is the same in every row; None where there is none."""
    if column not in table.columns or len(table) == 0:
        return None
    value_P = np.asarray(table.columns[column], dtype=np.float64)
    first = float(value_P[0])
    return first if math.isfinite(first) and bool(np.all(value_P == first)) else None


def compare_entropy(fit: Fit, entropy: KnownEntropy) -> str:
    """One sentence: whether the interval of the irreducible loss contains the entropy."""
    low, high = fit.intervals[IRREDUCIBLE_LOSS]
    position = "inside" if low <= entropy.nats <= high else "OUTSIDE"
    not_identified = IRREDUCIBLE_LOSS in fit.not_identified
    fitted = "not identified," if not_identified else format_loss(fit.parameters[IRREDUCIBLE_LOSS])
    return (
        f"The {entropy} is {entropy.nats:.6f} nats per token: {position} the 95 % interval of {fit.law.name}'s "
        f"{IRREDUCIBLE_LOSS}, {fitted} {format_interval(low, high, format_loss)}."
    )
