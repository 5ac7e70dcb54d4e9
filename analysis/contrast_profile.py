"""Intervals of what two fitted arms say together, by profile likelihood: both laws are refitted with a quantity (the
loss of an arm, the difference of the two, how much compute makes them equal) held at a value, and the values it may
have are those with which the points are fitted no worse than noise allows, by Student's t. Percentiles of refits to
simulated noise are not that: they carry the skewness of an estimate to the wrong side.

Refits are least squares of the residuals as the matched Huber threshold leaves them, of which the fits are the optimum;
what rows share (runs, pairs of runs) changes how far the optimum strays, not how it is found: weighting by a covariance
that a handful of residuals show would be bolder than they warrant.

Legend: P points of both arms, S refits, K parameters of both arms (or of the law with a common floor).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.law import Array
from analysis.levenberg_marquardt import NormalEquations, Solution, minimise
from analysis.problem import Problem
from analysis.residual_noise import ResidualNoise

STEP = 1e-4  # of derivatives, in internal coordinates
# Distances of the held values, in half-widths of the interval a linear law would have: the far ones only where the near
# ones do not reach the end.
NEAR, FAR = np.array([0.4, 0.7, 0.9, 1.1, 1.4, 2.0]), np.array([2.0, 3.0, 5.0, 9.0, 20.0])
STIFF = 1e4  # weight of the held value relative to the points'
REACHED = 0.05  # of a linear standard deviation: a value farther off than this cannot be had
# How far the arms' natural parameters (S, K of A), (S, K of B) are from giving a quantity these values (S,): (S,).
Gap = Callable[[Array, Array, Array], Array]
# Parameters (S, K) and which refits they are of, to residuals (S, P) and their derivatives (S, K, P).
Residual = Callable[[Array, NDArray[np.intp]], tuple[Array, Array]]


@dataclass(frozen=True)
class Joint:
    """Two arms as one least-squares problem.

    problems and fitted: of A and B, or one of the law with a common floor. covariance_PP: of the residuals of all rows,
    A's first. arms: natural parameters of `problems` to those of each arm.
    """

    problems: tuple[Problem, ...]
    fitted: tuple[ResidualNoise, ...]
    covariance_PP: Array
    arms: Callable[[Sequence[Array]], tuple[Array, Array]]

    @cached_property
    def root_weight(self) -> Array:
        """What each row's residual is multiplied by to have variance 1."""
        variance_P = np.diag(self.covariance_PP)
        return np.asarray(np.maximum(variance_P, 1e-8 * variance_P.max()) ** -0.5)

    def parts(self, internal_SK: Array) -> list[Array]:
        return np.split(internal_SK, np.cumsum([each.law.num_parameters for each in self.problems])[:-1], axis=1)

    def natural(self, internal_SK: Array) -> tuple[Array, Array]:
        """The natural parameters of A and of B."""
        parts = zip(self.problems, self.parts(internal_SK), strict=True)
        return self.arms([problem.coordinates.to_natural(part) for problem, part in parts])

    def residual(self, internal_SK: Array) -> tuple[Array, Array]:
        """Residuals of variance 1 (S, P) and their derivatives (S, K, P)."""
        residuals = []
        jacobian_SKP = np.zeros((*internal_SK.shape, len(self.root_weight)))
        row = column = 0
        for problem, fit, part_SK in zip(self.problems, self.fitted, self.parts(internal_SK), strict=True):
            moved_SP, own_SKP = problem.residual(part_SK, np.zeros(len(part_SK), dtype=np.intp))
            there_1P, _ = problem.residual(fit.internal_RK, np.zeros(1, dtype=np.intp))
            residuals.append(moved_SP - there_1P + fit.pseudo_RP / np.sqrt(np.asarray(problem.weights)))
            jacobian_SKP[:, column : column + own_SKP.shape[1], row : row + own_SKP.shape[2]] = own_SKP
            row, column = row + own_SKP.shape[2], column + own_SKP.shape[1]
        return np.concatenate(residuals, axis=1) * self.root_weight, jacobian_SKP * self.root_weight


class Profile:
    """The joint optimum, and refits with a quantity held."""

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        coordinates = [problem.coordinates for problem in joint.problems]
        self.lower_K = np.concatenate([each.lower_K for each in coordinates])
        self.upper_K = np.concatenate([each.upper_K for each in coordinates])
        start_1K = np.concatenate([fit.internal_RK for fit in joint.fitted], axis=1)
        free = self._solve(start_1K, lambda internal_SK, _: joint.residual(internal_SK))
        self.centre_K, self.value = free.internal_RK[0], float(free.value_R[0])
        self.correlation_PP = joint.covariance_PP * joint.root_weight * joint.root_weight[:, None]

    def interval(self, gap: Gap, centre: float, degrees: float, level: float) -> tuple[float, float]:
        """Low and high of the quantity whose fitted value is `centre`; an end that the data leave open is infinite."""
        quantile = _quantile(degrees, level)
        _, _, deviation_1, widen_1 = self._linear(gap, self.centre_K[None], np.array([centre]))
        slope = self._slope(gap, centre)
        half_width = quantile * float(deviation_1[0] * widen_1[0]) / slope if slope > 0 else math.inf
        if not 0 < half_width < math.inf:
            return -math.inf, math.inf
        low, high = self.accepted(
            gap, centre + half_width * np.concatenate([-NEAR[::-1], NEAR]), centre, degrees, level
        )
        if low == -math.inf:
            low, _ = self.accepted(gap, centre - half_width * FAR[::-1], centre, degrees, level)
        if high == math.inf:
            _, high = self.accepted(gap, centre + half_width * FAR, centre, degrees, level)
        return low, high

    def accepted(self, gap: Gap, value_S: Array, centre: float, degrees: float, level: float) -> tuple[float, float]:
        """The ends of the values about `centre` that the points allow, from roots at increasing values; infinite where
        the outermost one is allowed too.
        """
        quantile = _quantile(degrees, level)
        root_S = self.root(gap, value_S, centre)
        return _end(value_S, root_S, centre, quantile, -1.0), _end(value_S, root_S, centre, quantile, 1.0)

    def probability_below_zero(self, gap: Gap, centre: float, degrees: float) -> float:
        """The confidence that the quantity, whose fitted value is `centre`, is below 0."""
        from scipy.special import stdtr

        root = float(self.root(gap, np.zeros(1), centre)[0])
        return float(stdtr(degrees, math.copysign(root, -centre)))

    def root(self, gap: Gap, value_S: Array, centre: float) -> Array:
        """How much worse the points are fitted with the quantity held at each value, in standard deviations: (S,),
        infinite where it cannot be had. Values increase. Where a refit went astray (roots grow away from the centre),
        each is tried again from its neighbour nearer to the centre.
        """
        centre_SK = np.tile(self.centre_K, (len(value_S), 1))
        gap_S, toward_SK, deviation_S, _ = self._linear(gap, centre_SK, value_S)
        held_SK, held_S = self._held(gap, value_S, self.centre_K - toward_SK * gap_S[:, None], deviation_S)
        above_S = value_S > centre
        one_side_S = above_S[1:] == above_S[:-1]
        with np.errstate(invalid="ignore"):
            rising_S = np.diff(held_S) * np.where(above_S[1:], 1.0, -1.0) >= 0
        if not (np.isfinite(held_S).all() and rising_S[one_side_S].all()):
            place_S = np.arange(len(value_S))
            inner_S = np.clip(np.where(above_S, place_S - 1, place_S + 1), 0, len(value_S) - 1)
            again_SK, again_S = self._held(gap, value_S, held_SK[inner_S], deviation_S)
            held_SK = np.where((held_S <= again_S)[:, None], held_SK, again_SK)
            held_S = np.minimum(held_S, again_S)
        *_, widen_S = self._linear(gap, held_SK, value_S)
        return np.asarray(held_S / widen_S)

    def _linear(self, gap: Gap, internal_SK: Array, value_S: Array) -> tuple[Array, Array, Array, Array]:
        """At these parameters: the gap to each value (S,), the first-order refit per unit of it (S, K), its standard
        deviation (S,) if rows were independent, infinite where they do not bear on it, and how many times that it is.
        """
        gap_S, gradient_SK = self._of(gap, internal_SK, value_S)
        at_bound_SK = (internal_SK <= self.lower_K + 1e-6) | (internal_SK >= self.upper_K - 1e-6)
        _, jacobian_SKP = self.joint.residual(internal_SK)
        jacobian_SKP = np.where(at_bound_SK[:, :, None], 0.0, jacobian_SKP)
        scale_SK = np.maximum(np.sqrt(np.sum(jacobian_SKP**2, axis=2)), 1e-100)
        scaled_SKP = jacobian_SKP / scale_SK[:, :, None]
        gram_SKK = np.matmul(scaled_SKP, np.swapaxes(scaled_SKP, 1, 2))
        inverse_SKK = np.linalg.pinv(gram_SKK, rcond=1e-13, hermitian=True)
        move_SK = np.einsum("skj,sj->sk", inverse_SKK, gradient_SK / scale_SK * ~at_bound_SK)
        influence_SP = np.einsum("skp,sk->sp", scaled_SKP, move_SK)
        unit_S = np.sum(influence_SP**2, axis=1)
        shared_S = np.einsum("sp,pq,sq->s", influence_SP, self.correlation_PP, influence_SP)
        known_S = np.isfinite(unit_S) & (unit_S > 0)
        unit_S = np.where(known_S, unit_S, np.inf)
        widen_S = np.sqrt(np.maximum(np.where(known_S, shared_S / unit_S, 1.0), 1e-12))
        toward_SK = np.where(known_S[:, None], move_SK / scale_SK, 0.0) / unit_S[:, None]
        return gap_S, toward_SK, np.sqrt(unit_S), widen_S

    def _slope(self, gap: Gap, centre: float) -> float:
        """How fast the gap closes with the value held, per unit of it."""
        natural = self.joint.natural(np.tile(self.centre_K, (2, 1)))
        low, high = gap(*natural, centre + STEP * np.array([-1.0, 1.0]))
        return abs(float(high - low)) / (2 * STEP)

    def _of(self, gap: Gap, internal_SK: Array, value_S: Array) -> tuple[Array, Array]:
        """The gap (S,) and its derivatives in internal coordinates (S, K)."""
        size, num_parameters = internal_SK.shape
        shift_KK = STEP * np.eye(num_parameters)
        around = [internal_SK, *(internal_SK + row for row in shift_KK), *(internal_SK - row for row in shift_KK)]
        natural = self.joint.natural(np.concatenate(around))
        found = gap(*natural, np.tile(value_S, len(around))).reshape(len(around), size)
        return found[0], (found[1 : num_parameters + 1] - found[num_parameters + 1 :]).T / (2 * STEP)

    def _held(self, gap: Gap, value_S: Array, start_SK: Array, deviation_S: Array) -> tuple[Array, Array]:
        """Refits with the quantity held: parameters (S, K) and roots (S,)."""
        stiff_S = math.sqrt(STIFF) / deviation_S

        def residual(internal_SK: Array, refits: NDArray[np.intp]) -> tuple[Array, Array]:
            residual_SP, jacobian_SKP = self.joint.residual(internal_SK)
            gap_S, gradient_SK = self._of(gap, internal_SK, value_S[refits])
            return (
                np.concatenate([residual_SP, (stiff_S[refits] * gap_S)[:, None]], axis=1),
                np.concatenate([jacobian_SKP, (stiff_S[refits, None] * gradient_SK)[:, :, None]], axis=2),
            )

        # A linear guess far out goes astray.
        step_SK = start_SK - self.centre_K
        step_SK = step_SK * np.minimum(1.0, 2.0 / np.maximum(np.abs(step_SK).max(axis=1, keepdims=True), 1e-300))
        found = self._solve(self.centre_K + step_SK, residual)
        gap_S, _ = self._of(gap, found.internal_RK, value_S)
        off_S = np.abs(gap_S) / deviation_S
        root_S = np.sqrt(np.maximum(2 * (found.value_R - self.value) - STIFF * off_S**2, 0.0))
        return found.internal_RK, np.where(off_S <= REACHED * (1 + root_S), root_S, np.inf)

    def _solve(self, start_SK: Array, residual: Residual) -> Solution:
        def evaluate(internal_SK: Array, refits: NDArray[np.intp]) -> NormalEquations:
            return NormalEquations.of(*residual(internal_SK, refits), np.ones((1, 1)), np.full((1, 1), np.inf))

        return minimise(evaluate, start_SK, self.lower_K, self.upper_K, max_iterations=30, tolerance=1e-6)


def _quantile(degrees: float, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + level / 2))


def _end(value_S: Array, root_S: Array, centre: float, quantile: float, sign: float) -> float:
    """Where roots going outward from the centre first pass the quantile."""
    outward = np.flatnonzero(sign * (value_S - centre) > 0)[:: int(sign)]
    passed = [place for place in outward.tolist() if root_S[place] >= quantile]
    if not passed:
        return sign * math.inf
    place = passed[0]
    before = [other for other in outward.tolist() if sign * (value_S[place] - value_S[other]) > 0]
    inner, inner_root = (float(value_S[before[-1]]), float(root_S[before[-1]])) if before else (centre, 0.0)
    if not math.isfinite(inner):  # the fitted value is beyond every one that was tried
        return centre
    if not math.isfinite(root_S[place]):
        return float(value_S[place])
    share = (quantile - inner_root) / (float(root_S[place]) - inner_root)
    return inner + share * (float(value_S[place]) - inner)
