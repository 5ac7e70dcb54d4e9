"""From the losses of single steps to the lines of a training curve, and the verdict of divergence.

Shapes: S steps.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A run whose mean loss over this many steps exceeds this many times ln(vocabulary), the loss of knowing nothing, has
# exploded: no schedule brings it back to a result worth fitting, and waiting costs compute.
EXPLOSION_FACTOR = 2.0
EXPLOSION_STEPS = 10  # judged at multiples of it, whatever the interval of logging: divergence is science


@dataclass
class Curve:
    """One member's curve. Lines stand at multiples of `every_steps` and average the steps since the last one.

    `pending_S2` holds (loss, gradient norm) of steps whose line is not complete; a checkpoint carries it, so that a run
    stopped inside a line continues it exactly.
    """

    every_steps: int
    tokens_per_step: int
    vocabulary_size: int
    rates_S: NDArray[np.float32]
    step: int = 0
    pending_S2: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    recent_S: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    diverged_at: int | None = None  # the first step (counted from 1) whose loss or gradient was not finite or exploded

    def absorb(self, values_S2: NDArray[np.float32]) -> list[dict[str, Any]]:
        """Take the next steps' (loss, gradient norm); returns completed lines. Nothing is taken after divergence."""
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
                rows.append(self._line())
                self.pending_S2 = self.pending_S2[:0]
        return rows

    def close(self) -> list[dict[str, Any]]:
        """The last, incomplete line of a finished run, if there is one. Its steps stay pending: a branch may go on from
        here.
        """
        return [self._line()] if len(self.pending_S2) else []

    def _has_exploded(self) -> bool:
        if self.step % EXPLOSION_STEPS:
            return False
        return float(self.recent_S.astype(np.float64).mean()) > EXPLOSION_FACTOR * math.log(self.vocabulary_size)

    def _line(self) -> dict[str, Any]:
        loss, norm = (float(x) for x in self.pending_S2.astype(np.float64).mean(axis=0))
        return {
            "kind": "train",
            "step": self.step,
            "tokens": self.step * self.tokens_per_step,
            "loss": loss if math.isfinite(loss) else None,  # JSON has no NaN
            "rate": float(self.rates_S[self.step - 1]),
            "gradient_norm": norm if math.isfinite(norm) else None,
        }
