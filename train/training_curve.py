"""The training curve of one run: rows of averaged losses, and the detection of divergence.

Shapes: S steps.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A run has diverged if its mean loss over this many steps exceeds this multiple of ln(vocabulary), the loss of a
# uniform prediction. No schedule brings such a run back to a result worth fitting.
EXPLOSION_FACTOR = 2.0
EXPLOSION_STEPS = 10  # tested at multiples of it whatever the logging interval, because divergence is a result


@dataclass
class TrainingCurve:
    """One member's curve. It has a row at each multiple of `every_steps`: the mean over the steps since the last row.

    pending_S2: (loss, gradient norm) of the steps after the last row. A checkpoint stores them, so that a run stopped
        between two rows continues exactly.
    recent_S: the losses of the last EXPLOSION_STEPS steps.
    diverged_at: the first step (counted from 1) whose loss or gradient was not finite or exploded, or None.
    """

    every_steps: int
    tokens_per_step: int
    vocabulary_size: int
    rates_S: NDArray[np.float32]
    step: int = 0
    pending_S2: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    recent_S: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    diverged_at: int | None = None

    def extend(self, values_S2: NDArray[np.float32]) -> list[dict[str, Any]]:
        """Add (loss, gradient norm) of the next steps. Returns completed rows; nothing is added after divergence."""
        rows = []
        for value in values_S2:
            if self.diverged_at is not None:
                break
            self.step += 1
            self.pending_S2 = np.concatenate([self.pending_S2, value[None]])
            self.recent_S = np.append(self.recent_S, value[0])[-EXPLOSION_STEPS:]
            if not np.isfinite(value).all() or self._has_exploded():
                self.diverged_at = self.step
            if self.diverged_at is not None or self.step % self.every_steps == 0:
                rows.append(self._row())
                self.pending_S2 = self.pending_S2[:0]
        return rows

    def incomplete_row(self) -> list[dict[str, Any]]:
        """The row of the pending steps, for the end of a run; empty if there are none.

        The steps stay pending, because a branch may continue from here.
        """
        return [self._row()] if len(self.pending_S2) else []

    def _has_exploded(self) -> bool:
        if self.step % EXPLOSION_STEPS:
            return False
        return float(self.recent_S.astype(np.float64).mean()) > EXPLOSION_FACTOR * math.log(self.vocabulary_size)

    def _row(self) -> dict[str, Any]:
        loss, norm = (float(x) for x in self.pending_S2.astype(np.float64).mean(axis=0))
        return {
            "kind": "train",
            "step": self.step,
            "tokens": self.step * self.tokens_per_step,
            "loss": loss if math.isfinite(loss) else None,  # JSON has no NaN
            "rate": float(self.rates_S[self.step - 1]),
            "gradient_norm": norm if math.isfinite(norm) else None,
        }
