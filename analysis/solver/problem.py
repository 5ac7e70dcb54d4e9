"""A fitting problem: a law, its columns, an objective, and a batch of targets and weights.

Legend: P points, R replicates, K parameters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Columns, Law
from windtunnel.analysis.solver.coordinates import Coordinates
from windtunnel.analysis.solver.levenberg_marquardt import NormalEquations, Solution, huber_sum, minimize
from windtunnel.analysis.solver.objective import Objective
from windtunnel.analysis.solver.penalty import PredictionPenalty

# A Jacobian has at most about this many numbers, so that it stays in the cache, but at least this many replicates.
JACOBIAN_SIZE = 100_000
MIN_REPLICATES = 8
# Larger derivatives are those of a law that overflows; squares of this still have a value.
LARGEST_DERIVATIVE = 1e100
CONTINUATION = (0.1, 0.01)  # the easy Huber thresholds, in the unit of the residuals


def continuation(objective: Objective, target: Array) -> tuple[float, ...]:
    """Huber thresholds from easy to the objective's own: 0.1, 0.01, ..., in the unit of the residuals."""
    delta = objective.delta
    if not math.isfinite(delta):
        return (math.inf,)
    unit = 1.0 if objective.log else float(np.median(np.abs(target)))
    steps = [unit * step for step in CONTINUATION if unit * step > 1.5 * delta]
    if objective.kind != "lad":
        return (*steps, delta)
    # Absolute deviations: one decade at a time, since each threshold's active set starts the next.
    last = steps[-1] if steps else delta
    while last > 3 * delta * unit:
        last /= 10.0
        steps.append(last)
    return (*steps, delta * unit)


@dataclass(frozen=True)
class Problem:
    """Columns are shared by all replicates; targets and weights are (P,), or (R, P) where each has its own."""

    law: Law
    columns: Columns
    target: Array
    weights: Array
    objective: Objective
    coordinates: Coordinates

    @classmethod
    def from_points(cls, law: Law, columns: Columns, target: Array, weights: Array, objective: Objective) -> "Problem":
        used = {name: np.asarray(columns[name], dtype=np.float64) for name in law.columns}
        flat = np.atleast_2d(target)[0]
        return cls(law, used, target, weights, objective, Coordinates.from_law(law, used, flat))

    def rows(self, array: Array, replicates: NDArray[np.intp]) -> Array:
        """The rows of some replicates of targets or weights, (1, P) where they are shared."""
        return array[replicates] if array.ndim == 2 else array[None, :]

    @property
    def stage_tolerance(self) -> float:
        """Tolerance of the thresholds before the last."""
        return 1e-8 if self.objective.kind == "lad" else 1e-4

    def deltas(self) -> tuple[float, ...]:
        """Huber thresholds of the continuation, in the unit of the residuals."""
        return continuation(self.objective, self.target)

    def predict(self, internal_RK: Array) -> Array:
        return self.coordinates.predict(internal_RK, self.columns)

    def value(self, internal_RK: Array) -> Array:
        """The objective, of the first target and weights: (R,)."""
        first_R = np.zeros(len(internal_RK), dtype=np.intp)
        value_R = np.zeros(len(internal_RK))
        for block in self._blocks(len(internal_RK)):
            part = self._part(block)
            target_RP, weights_RP = part.rows(part.target, first_R), part.rows(part.weights, first_R)
            value_R += self.objective.value(part.predict(internal_RK), target_RP, weights_RP)
        return value_R

    def huber(self, internal_RK: Array, delta_R1: Array) -> Array:
        """The Huber sum that `solve` minimizes, of all replicates: (R,)."""
        replicates = np.arange(len(internal_RK))
        value_R = np.zeros(len(internal_RK))
        for block in self._blocks(len(internal_RK)):
            part = self._part(block)
            residual_RP = self.objective.residual(part.predict(internal_RK), part.rows(part.target, replicates))
            value_R += huber_sum(residual_RP, part.rows(part.weights, replicates), delta_R1)
        return value_R

    def solve(
        self,
        start_RK: Array,
        deltas: Sequence[float | Array],
        *,
        free_RK: NDArray[np.bool_] | None = None,
        max_iterations: int = 200,
        tolerance: float | Array = 1e-13,
        damping: float = 1e-2,
        penalty: PredictionPenalty | None = None,
    ) -> Solution:
        """Each replicate solved from its start (internal coordinates) through the thresholds.

        The value of the solution is the Huber sum at the last threshold (half the sum of squares where it is infinite),
        with the penalty. A threshold may be an array, (R, 1) or (R, P), and the tolerance (R,).
        """
        num_replicates = len(start_RK)
        internal_RK = np.array(start_RK)
        value_R, decrement_R = np.empty(num_replicates), np.empty(num_replicates)
        iterations = 0
        for chunk in self._chunks(num_replicates):
            coordinates = self.coordinates.rows(chunk)
            free = None if free_RK is None else free_RK[chunk]
            for number, delta in enumerate(deltas):
                last = number == len(deltas) - 1
                delta_R1 = delta[chunk] if isinstance(delta, np.ndarray) else np.full((len(chunk), 1), delta)
                solution = minimize(
                    partial(self._normal_equations, chunk, delta_R1, penalty),
                    internal_RK[chunk],
                    coordinates.lower_K,
                    coordinates.upper_K,
                    free_RK=free,
                    max_iterations=max_iterations if last else 40,
                    tolerance=np.broadcast_to(tolerance, num_replicates)[chunk] if last else self.stage_tolerance,
                    damping=damping,
                )
                internal_RK[chunk] = solution.internal_RK
                iterations += solution.iterations
            value_R[chunk], decrement_R[chunk] = solution.value_R, solution.decrement_R
        return Solution(internal_RK, value_R, decrement_R, iterations)

    def _chunks(self, num_replicates: int) -> list[NDArray[np.intp]]:
        """Replicates to solve together: as many as fit the cache, and several where not even one does, since they share
        work.
        """
        together = max(MIN_REPLICATES, JACOBIAN_SIZE // (np.shape(self.target)[-1] * self.law.num_parameters))
        return [np.arange(first, min(first + together, num_replicates)) for first in range(0, num_replicates, together)]

    def _blocks(self, num_replicates: int) -> list[slice]:
        """Points to evaluate together: the Jacobian of a block stays in the cache."""
        size = max(256, JACOBIAN_SIZE // (max(1, num_replicates) * self.law.num_parameters))
        return [slice(first, first + size) for first in range(0, np.shape(self.target)[-1], size)]

    def _part(self, block: slice) -> "Problem":
        columns = {name: column[block] for name, column in self.columns.items()}
        return replace(self, columns=columns, target=self.target[..., block], weights=self.weights[..., block])

    def _normal_equations(
        self,
        chunk: NDArray[np.intp],
        delta_RP: Array,
        penalty: PredictionPenalty | None,
        internal_RK: Array,
        replicates: NDArray[np.intp],
    ) -> NormalEquations:
        """The equations of some replicates of a chunk, whose thresholds are (R, 1) or (R, P)."""
        delta_RP, numbers = delta_RP[replicates], chunk[replicates]
        parts = (
            [] if penalty is None else [penalty.normal_equations(self.coordinates.rows(numbers), internal_RK, numbers)]
        )
        for block in self._blocks(len(replicates)):
            part = self._part(block)
            residual_RP, jacobian_RKP = part.residual(internal_RK, numbers)
            weights_RP = np.broadcast_to(part.rows(part.weights, numbers), residual_RP.shape)
            delta = delta_RP if delta_RP.shape[1] == 1 else delta_RP[:, block]
            parts.append(NormalEquations.from_residuals(residual_RP, jacobian_RKP, weights_RP, delta))
        return reduce(NormalEquations.plus, parts)

    def residual(self, internal_RK: Array, replicates: NDArray[np.intp]) -> tuple[Array, Array]:
        """Residuals (R, P) of these replicates and their derivatives in internal coordinates (R, K, P)."""
        coordinates = self.coordinates.rows(replicates)
        prediction_RP, jacobian_RKP = coordinates.predict_with_jacobian(internal_RK, self.columns)
        residual_RP = self.objective.residual(prediction_RP, self.rows(self.target, replicates))
        if self.objective.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                jacobian_RKP /= prediction_RP[:, None, :]
        # Where the law overflows, the value is infinite and the step rejected; the linear solves need finite numbers.
        if not (jacobian_RKP.min() > -LARGEST_DERIVATIVE and jacobian_RKP.max() < LARGEST_DERIVATIVE):
            jacobian_RKP = np.clip(np.nan_to_num(jacobian_RKP), -LARGEST_DERIVATIVE, LARGEST_DERIVATIVE)
        return residual_RP, jacobian_RKP
