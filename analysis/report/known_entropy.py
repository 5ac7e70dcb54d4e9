"""Text has a floor that nobody knows; a synthetic source has an entropy that is known, and the fitted floor is held
against it.
"""

import math

import numpy as np

from analysis.fit_document import Fit
from analysis.table import Table

FLOOR = "E"  # what the laws call the irreducible loss


def known_entropy(table: Table, fit: Fit) -> float | None:
    """Nats per token; None where the runs have no source of one known entropy, or the law no floor."""
    if FLOOR not in fit.intervals or "entropy" not in table.columns or len(table) == 0:
        return None
    entropy_P = np.asarray(table.columns["entropy"], dtype=np.float64)
    found = float(entropy_P[0])
    return found if math.isfinite(found) and bool(np.all(entropy_P == found)) else None


def compared(fit: Fit, entropy: float) -> str:
    """One sentence: whether the interval of the floor contains the entropy."""
    low, high = fit.intervals[FLOOR]
    where = "inside" if low <= entropy <= high else "OUTSIDE"
    end = "unbounded" if math.isinf(high) else f"{high:.5g}"
    fitted = "not identified" if FLOOR in fit.not_identified else f"{fit.parameters[FLOOR]:.5g}"
    return (
        f"The entropy of the source is {entropy:.6f} nats per token: {where} the 95 % interval of {fit.law.name}'s "
        f"{FLOOR}, [{low:.5g}, {end}] ({fitted})."
    )
