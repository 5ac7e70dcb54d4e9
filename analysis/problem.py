"""One fitting problem: a law, its columns, an objective, and the batch of targets and weights to fit it to.

Legend: P points, R replicates, K parameters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from analysis.coordinates import Coordinates
from analysis.law import Array, Columns, Law
from analysis.levenberg_marquardt import Solution, minimise
from analysis.objective import Objective

# Replicates are solved in chunks of about this many numbers, so that a chunk's Jacobian stays in the cache.
CHUNK = 300_000
# Derivatives beyond this are those of a law that overflows; their squares still have a value.
LARGEST_DERIVATIVE = 1e100
CONTINUATION = (0.1, 0.01)


@dataclass(frozen=True)
class Problem:
    """Shared columns; targets and weights are (P,), or (R, P) where each replicate has its own."""

    law: Law
    columns: Columns
    target: Array
    weights: Array
    objective: Objective
    coordinates: Coordinates

    @classmethod
    def of(cls, law: Law, columns: Columns, target: Array, weights: Array, objective: Objective) -> "Problem":
        used = {name: np.asarray(columns[name], dtype=np.float64) for name in law.columns}
        flat = np.atleast_2d(target)[0]
        return cls(law, used, target, weights, objective, Coordinates.of(law, used, flat))

    def rows(self, array: Array, replicates: NDArray[np.intp]) -> Array:
        return array[replicates] if array.ndim == 2 else array[None, :]

    @property
    def stage_tolerance(self) -> float:
        """How far each threshold before the last is solved."""
        return 1e-8 if self.objective.kind == "lad" else 1e-4

    def deltas(self) -> tuple[float, ...]:
        """Huber thresholds from easy to the target's: 0.1, 0.01, ..., in the unit of the residuals."""
        target = self.objective.delta
        if not math.isfinite(target):
            return (math.inf,)
        unit = 1.0 if self.objective.log else float(np.median(np.abs(self.target)))
        steps = [unit * step for step in CONTINUATION if unit * step > 1.5 * target]
        # Absolute deviations: one decade at a time, since each threshold's active set starts the next.
        last = steps[-1] if steps else target
        while self.objective.kind == "lad" and last > 3 * target * unit:
            last /= 10.0
            steps.append(last)
        return (*steps, target * (unit if self.objective.kind == "lad" else 1.0))

    def predict(self, internal_RK: Array) -> Array:
        return self.coordinates.predict(internal_RK, self.columns)

    def value(self, internal_RK: Array) -> Array:
        """The objective itself, of the first target and weights: (R,)."""
        everyone = np.zeros(len(internal_RK), dtype=np.intp)
        target_RP, weights_RP = self.rows(self.target, everyone), self.rows(self.weights, everyone)
        return self.objective.value(self.predict(internal_RK), target_RP, weights_RP)

    def solve(
        self,
        start_RK: Array,
        deltas: Sequence[float | Array],
        *,
        free_RK: NDArray[np.bool_] | None = None,
        max_iterations: int = 200,
        tolerance: float = 1e-13,
        damping: float = 1e-2,
    ) -> Solution:
        """Each replicate from its start (internal coordinates) through the thresholds. The value is the Huber sum at
        the last one (half the sum of squares where it is infinite). A threshold may be an array, (R, 1) or (R, P).
        """
        num_replicates = len(start_RK)
        num_points = np.shape(self.target)[-1]
        per_chunk = max(1, CHUNK // (num_points * self.law.num_parameters))
        internal_RK = np.array(start_RK)
        value_R, decrement_R = np.empty(num_replicates), np.empty(num_replicates)
        iterations = 0
        for first in range(0, num_replicates, per_chunk):
            chunk = np.arange(first, min(first + per_chunk, num_replicates))
            free = None if free_RK is None else free_RK[chunk]
            for number, delta in enumerate(deltas):
                last = number == len(deltas) - 1
                found = minimise(
                    partial(self._residual_of, chunk),
                    internal_RK[chunk],
                    self.rows(self.weights, chunk),
                    delta[chunk] if isinstance(delta, np.ndarray) else np.full((len(chunk), 1), delta),
                    self.coordinates.lower_K,
                    self.coordinates.upper_K,
                    free_RK=free,
                    max_iterations=max_iterations if last else 40,
                    tolerance=tolerance if last else self.stage_tolerance,
                    damping=damping,
                )
                internal_RK[chunk] = found.internal_RK
                iterations += found.iterations
            value_R[chunk], decrement_R[chunk] = found.value_R, found.decrement_R
        return Solution(internal_RK, value_R, decrement_R, iterations)

    def _residual_of(
        self, chunk: NDArray[np.intp], internal_RK: Array, replicates: NDArray[np.intp]
    ) -> tuple[Array, Array]:
        return self.residual(internal_RK, chunk[replicates])

    def residual(self, internal_RK: Array, replicates: NDArray[np.intp]) -> tuple[Array, Array]:
        """Residuals (R, P) of those replicates and their derivatives in internal coordinates (R, K, P)."""
        prediction_RP, jacobian_RKP = self.coordinates.predict_with_jacobian(internal_RK, self.columns)
        residual_RP = self.objective.residual(prediction_RP, self.rows(self.target, replicates))
        if self.objective.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                jacobian_RKP = jacobian_RKP / prediction_RP[:, None, :]
        # Where the law overflows the value is infinite and the step refused; only the solves must not see it.
        if not (jacobian_RKP.min() > -LARGEST_DERIVATIVE and jacobian_RKP.max() < LARGEST_DERIVATIVE):
            jacobian_RKP = np.clip(np.nan_to_num(jacobian_RKP), -LARGEST_DERIVATIVE, LARGEST_DERIVATIVE)
        return residual_RP, jacobian_RKP
