"""Huber regression of many replicates as one batch: Levenberg-Marquardt with tiny dense solves.

The curvature of a step mixes that of the points inside the Huber threshold (Newton: fast, but possibly singular) and
that of reweighted least squares (a majorizer: safe, but it converges linearly). The damping is the share of the second,
so that every replicate moves from safe to fast by itself.

Legend: P points, R replicates, S active replicates, K parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array

LARGEST_STEP = 2.0  # in any internal coordinate: a factor of e**2 for a positive parameter
LARGEST_DAMPING = 1e10
SMALLEST_DAMPING = 1e-12
# A Newton step (a step with little damping) with a predicted decrease below this share of the tolerance is not tried.
NEGLIGIBLE_PROMISE, NEWTON_DAMPING = 0.1, 2e-2


@dataclass
class NormalEquations:
    """The Huber sum of each replicate and what a step needs: the gradient, the curvature of the points inside the
    threshold, and that of reweighted least squares. The sum is infinite where the law overflows. Equations of different
    points add up.
    """

    value_R: Array
    gradient_RK: Array
    inner_RKK: Array
    whole_RKK: Array

    @classmethod
    def from_residuals(
        cls, residual_RP: Array, jacobian_RKP: Array, weights_RP: Array, delta_RP: Array
    ) -> "NormalEquations":
        size_RP = np.abs(residual_RP)
        inside_RP = size_RP <= delta_RP
        clipped_RP = np.clip(residual_RP, -delta_RP, delta_RP)
        gradient_RK = np.matmul(jacobian_RKP, (weights_RP * clipped_RP)[:, :, None])[:, :, 0]
        transposed_RPK = np.swapaxes(jacobian_RKP, 1, 2)
        value_R = huber_sum(residual_RP, weights_RP, delta_RP)
        if inside_RP.all():
            inner_RKK = np.matmul(jacobian_RKP * weights_RP[:, None, :], transposed_RPK)
            return cls(value_R, gradient_RK, inner_RKK, inner_RKK)
        inner_RKK = np.matmul(jacobian_RKP * (weights_RP * inside_RP)[:, None, :], transposed_RPK)
        reweight_RP = weights_RP * np.where(inside_RP, 0.0, delta_RP / np.maximum(size_RP, 1e-300))
        outer_RKK = np.matmul(jacobian_RKP * reweight_RP[:, None, :], transposed_RPK)
        return cls(value_R, gradient_RK, inner_RKK, inner_RKK + outer_RKK)

    def plus(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(
            self.value_R + other.value_R,
            self.gradient_RK + other.gradient_RK,
            self.inner_RKK + other.inner_RKK,
            self.whole_RKK + other.whole_RKK,
        )

    def rows(self, chosen: NDArray[Any]) -> "NormalEquations":
        return NormalEquations(
            self.value_R[chosen], self.gradient_RK[chosen], self.inner_RKK[chosen], self.whole_RKK[chosen]
        )

    def put(self, chosen: NDArray[np.bool_], other: "NormalEquations") -> None:
        """Takes the chosen replicates from another."""
        self.value_R[chosen], self.gradient_RK[chosen] = other.value_R[chosen], other.gradient_RK[chosen]
        self.inner_RKK[chosen], self.whole_RKK[chosen] = other.inner_RKK[chosen], other.whole_RKK[chosen]


# (internal_RK, replicates) -> the normal equations of these replicates at these parameters
Evaluate = Callable[[Array, NDArray[np.intp]], NormalEquations]


@dataclass
class Solution:
    """Where each replicate ended. `decrement_R` is g'H^-1 g, twice the predicted decrease of a further Newton step."""

    internal_RK: Array
    value_R: Array
    decrement_R: Array
    iterations: int


def huber_sum(residual_RP: Array, weights_RP: Array, delta_RP: Array) -> Array:
    """The Huber sum of each replicate, infinite where the law overflows: (R,)."""
    size_RP = np.abs(residual_RP)
    inner_RP = np.minimum(size_RP, delta_RP)
    with np.errstate(invalid="ignore"):
        share_RP = inner_RP * (size_RP - 0.5 * inner_RP) * weights_RP
    value_R = share_RP.sum(axis=1)
    return np.where(np.isfinite(value_R), value_R, np.inf)


def minimize(
    evaluate: Evaluate,
    start_RK: Array,
    lower_K: Array,
    upper_K: Array,
    *,
    free_RK: NDArray[np.bool_] | None = None,
    max_iterations: int = 200,
    tolerance: float | Array = 1e-13,
    damping: float = 1e-2,
) -> Solution:
    """Minimizes the Huber sum of each replicate from its start, within bounds, which may be (R, K).

    free_RK: the parameters that move; default: all. tolerance: a replicate stops when a step no longer lowers its value
    by this share, a number or (R,).
    """
    num_replicates = len(start_RK)
    lower_RK, upper_RK = np.broadcast_to(lower_K, start_RK.shape), np.broadcast_to(upper_K, start_RK.shape)
    internal_RK = np.clip(start_RK, lower_RK, upper_RK)
    tolerance_R = np.broadcast_to(tolerance, num_replicates)
    free_RK = np.ones(start_RK.shape, dtype=bool) if free_RK is None else free_RK
    replicates = np.arange(num_replicates)
    here = evaluate(internal_RK, replicates)
    value_R = here.value_R.copy()
    decrement_R = np.full(num_replicates, np.inf)
    damping_R = np.full(num_replicates, damping)
    quiet_R = np.zeros(num_replicates, dtype=np.int64)  # consecutive steps with a negligible gain
    active = replicates[np.isfinite(value_R)]
    # The state of the active replicates, in the order of `active`; written back when one stops.
    here_RK, here = internal_RK[active], here.rows(active)
    iterations = 0
    while len(active) and iterations < max_iterations:
        iterations += 1
        low_RK, high_RK, tolerance_S = lower_RK[active], upper_RK[active], tolerance_R[active]
        blocked_RK = ((here_RK <= low_RK) & (here.gradient_RK > 0)) | ((here_RK >= high_RK) & (here.gradient_RK < 0))
        step_RK, promise_R = _damped_step(here, free_RK[active] & ~blocked_RK, damping_R[active])
        decrement_R[active] = np.abs(promise_R)
        settled_R = (promise_R <= NEGLIGIBLE_PROMISE * tolerance_S * here.value_R) & (
            damping_R[active] <= NEWTON_DAMPING
        )
        largest_R1 = np.abs(step_RK).max(axis=1, keepdims=True)
        step_RK = step_RK * np.minimum(1.0, LARGEST_STEP / np.maximum(largest_R1, 1e-300))
        trial_RK = np.clip(here_RK + step_RK, low_RK, high_RK)
        if not settled_R.all():
            trial = evaluate(trial_RK, active)
            gain_R = here.value_R - trial.value_R
            better_R = (gain_R > 0) & ~settled_R
            small_R = (gain_R <= tolerance_S * here.value_R) & (
                promise_R <= 1e3 * tolerance_S * np.abs(here.value_R) + 1e-300
            )
            quiet_R[active] = np.where(better_R & ~small_R, 0, quiet_R[active] + small_R)
            factor_R = np.where(better_R, np.where(gain_R > 0.25 * promise_R, 0.15, 1.0), 6.0)
            damping_R[active] = np.clip(damping_R[active] * factor_R, SMALLEST_DAMPING, LARGEST_DAMPING)
            here_RK[better_R] = trial_RK[better_R]
            here.put(better_R, trial)
        stop_R = settled_R | (quiet_R[active] >= 2) | (damping_R[active] >= LARGEST_DAMPING) | (here.value_R <= 0)
        if stop_R.any():
            internal_RK[active], value_R[active] = here_RK, here.value_R
            active, here_RK, here = active[~stop_R], here_RK[~stop_R], here.rows(~stop_R)
    internal_RK[active], value_R[active] = here_RK, here.value_R
    return Solution(internal_RK, value_R, decrement_R, iterations)


def _damped_step(here: NormalEquations, moving_RK: NDArray[np.bool_], damping_R: Array) -> tuple[Array, Array]:
    """The step of the moving parameters (R, K), and twice its predicted decrease (R,)."""
    identity_KK = np.eye(moving_RK.shape[1])
    diagonal_RK = np.einsum("rkk->rk", here.whole_RKK)
    floor_R1 = 1e-30 + 1e-13 * diagonal_RK.max(axis=1, keepdims=True)
    damping_R11 = damping_R[:, None, None]
    curvature_RKK = here.inner_RKK + damping_R11 * (here.whole_RKK + diagonal_RK[:, :, None] * identity_KK)
    curvature_RKK = curvature_RKK + floor_R1[:, :, None] * identity_KK * np.minimum(1.0, 1e2 * damping_R11 + 1e-3)
    both_RKK = moving_RK[:, :, None] & moving_RK[:, None, :]
    curvature_RKK = np.where(both_RKK, curvature_RKK, identity_KK * np.maximum(floor_R1, 1e-30)[:, :, None])
    force_RK = np.where(moving_RK, here.gradient_RK, 0.0)
    step_RK = -np.linalg.solve(curvature_RKK, force_RK[:, :, None])[:, :, 0]
    return step_RK, -np.einsum("rk,rk->r", step_RK, force_RK)
