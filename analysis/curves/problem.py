"""One fit of a curve law as the solver sees it: residuals of all curves and their derivatives in internal coordinates
(logarithms of positive parameters).

Legend: P points of all curves, R starts or replicates, K parameters, U curves.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.coordinates import OUTSIDE_GRID, ZERO_AMPLITUDE
from windtunnel.analysis.solver.levenberg_marquardt import NormalEquations, Solution, minimise
from windtunnel.analysis.solver.objective import Objective

LARGEST_DERIVATIVE = 1e100
CONTINUATION = (0.1, 0.01)
MET = 1e-3  # starts this close in every internal coordinate, after the few points, have met
ROUNDING = 1e-13  # residuals as small as this are none
COARSE_POINTS = 48  # of each curve: what starts are compared on


@dataclass(frozen=True)
class Pull:
    """Squares of deviations from what the law expects, added to the Huber sum: weight/2 times those of
    (share_MK @ internal_K - centre_M), M of them, in units of their deviations.
    """

    share_MK: Array
    centre_M: Array
    weight: float

    @classmethod
    def of(cls, law: CurveLaw, curves: Sequence[Curve], weight: float) -> "Pull | None":
        found = law.expectations(curves) if law.expectations is not None else ()
        if not found or not weight > 0:
            return None
        share_MK = np.array([[each.shares.get(name, 0.0) / each.deviation for name in law.names] for each in found])
        return cls(share_MK, np.array([each.centre / each.deviation for each in found]), weight)

    def value(self, internal_K: Array) -> float:
        return 0.5 * self.weight * float(np.sum((self.share_MK @ internal_K - self.centre_M) ** 2))

    def normal_equations(self, internal_RK: Array) -> NormalEquations:
        apart_RM = internal_RK @ self.share_MK.T - self.centre_M
        curvature_KK = self.weight * self.share_MK.T @ self.share_MK
        curvature_RKK = np.repeat(curvature_KK[None], len(internal_RK), axis=0)
        value_R = 0.5 * self.weight * np.sum(apart_RM**2, axis=1)
        return NormalEquations(value_R, self.weight * apart_RM @ self.share_MK, curvature_RKK, curvature_RKK)


def fitted_points(law: CurveLaw, curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """The curves that have points which the law is fitted to, with those alone, thinned."""
    used = ((curve.points(law.fitted(curve)) if law.fitted is not None else curve).thinned() for curve in curves)
    return tuple(curve for curve in used if curve.num_points)


@dataclass(frozen=True)
class CurveProblem:
    """Curves hold the fitted points only. `weights_P` are those of the objective."""

    law: CurveLaw
    curves: tuple[Curve, ...]
    weights_P: Array
    objective: Objective
    positive_K: NDArray[np.bool_]
    lower_K: Array
    upper_K: Array
    pull: "Pull | None" = None

    @classmethod
    def of(cls, law: CurveLaw, used: Sequence[Curve], objective: Objective) -> "CurveProblem":
        """Of curves as `fitted_points` gives them; each weighs as much as it has points."""
        scale = math.log(float(np.median(np.concatenate([curve.loss_P for curve in used]))))
        grid = law.start_grid(used)
        lower, upper = [], []
        for parameter in law.parameters:
            low, high = parameter.minimum, parameter.upper
            if parameter.positive:
                named = grid.get(parameter.name)
                outer = (scale - ZERO_AMPLITUDE, 700.0)
                if named is not None:
                    outer = (math.log(min(named)) - OUTSIDE_GRID, math.log(max(named)) + OUTSIDE_GRID)
                low = math.log(low) if low > 0 else outer[0]
                high = math.log(high) if high < math.inf else outer[1]
            lower.append(low)
            upper.append(high)
        positive_K = np.array([parameter.positive for parameter in law.parameters])
        weights_P = np.ones(sum(curve.num_points for curve in used))
        return cls(law, tuple(used), weights_P, objective, positive_K, np.array(lower), np.array(upper))

    @cached_property
    def unlike(self) -> dict[tuple[bytes, float | None, float | None], Curve]:
        """One curve of each kind: what a law says is worked out once for all twins."""
        return {curve.kind: curve for curve in self.curves}

    def of_each(self, what: Callable[[Curve], Any]) -> list[Any]:
        """In the order of the curves."""
        alike = {kind: what(curve) for kind, curve in self.unlike.items()}
        return [alike[curve.kind] for curve in self.curves]

    @property
    def losses(self) -> Array:
        return np.concatenate([curve.loss_P for curve in self.curves])

    @property
    def curve_of_point(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.curves)), [curve.num_points for curve in self.curves])

    def natural(self, internal_K: Array) -> dict[str, float]:
        values_K = np.where(self.positive_K, np.exp(np.where(self.positive_K, internal_K, 0.0)), internal_K)
        return {name: float(value) for name, value in zip(self.law.names, values_K, strict=True)}

    def internal(self, values: dict[str, float]) -> Array:
        place_K = [values[each.name] for each in self.law.parameters]
        logs_K = np.log(np.where(self.positive_K, np.maximum(place_K, 1e-300), 1.0))
        return np.asarray(np.clip(np.where(self.positive_K, logs_K, place_K), self.lower_K, self.upper_K))

    def deltas(self) -> tuple[float, ...]:
        """Huber thresholds from easy to the objective's own, in the unit of the residuals."""
        unit = 1.0 if self.objective.log else float(np.median(self.losses))
        target = self.objective.delta
        if not math.isfinite(target):
            return (math.inf,)
        return (*(unit * step for step in CONTINUATION if unit * step > 1.5 * target), target)

    def residual(self, internal_K: Array) -> tuple[Array, Array]:
        """Residuals (P,) and their derivatives in internal coordinates (K, P); not finite where the law overflows."""
        values = self.natural(internal_K)
        with np.errstate(all="ignore"):
            parts = self.of_each(partial(self.law.predict_with_jacobian, values))
            predicted_P = np.concatenate([part[0] for part in parts])
            jacobian_KP = np.concatenate([part[1] for part in parts], axis=1)
            own_K = np.where(self.positive_K, [values[name] for name in self.law.names], 1.0)
            jacobian_KP = jacobian_KP * own_K[:, None]
            if self.objective.log:
                jacobian_KP = jacobian_KP / predicted_P
        jacobian_KP = np.clip(np.nan_to_num(jacobian_KP), -LARGEST_DERIVATIVE, LARGEST_DERIVATIVE)
        return self.objective.residual(predicted_P, self.losses), jacobian_KP

    def value(self, internal_K: Array, weights_P: Array | None = None) -> float:
        """The objective, infinite where the law overflows."""
        values = self.natural(internal_K)
        with np.errstate(all="ignore"):
            predicted_P = np.concatenate(self.of_each(partial(self.law.predict, values)))
        weights_P = self.weights_P if weights_P is None else weights_P
        value = float(self.objective.value(predicted_P[None], self.losses[None], weights_P[None])[0])
        half = 2.0 if self.objective.kind == "mse" else 1.0  # the solver's squares are half of the objective's
        return value if self.pull is None else value + half * self.pull.value(internal_K)

    def starts(self, kept: int) -> Array:
        """The best of the grid's places, their linear parameters in closed form: internal coordinates (R, K)."""
        few = self.coarse()
        loss_P = few.losses
        found: list[tuple[float, Array]] = []
        grid = self.law.start_grid(self.curves)
        for place in product(*grid.values()):
            values = dict(zip(grid, place, strict=True))
            with np.errstate(all="ignore"):
                terms_PL = np.concatenate(few.of_each(partial(self.law.terms, values)))
            if np.isfinite(terms_PL).all():
                internal_K = self.internal({**values, **few.projected(terms_PL, loss_P)})
                found.append((few.easy_value(internal_K), internal_K))
        found = sorted((each for each in found if math.isfinite(each[0])), key=lambda each: each[0])
        return np.array([internal_K for _, internal_K in found[:kept]])

    def projected(self, terms_PL: Array, loss_P: Array) -> dict[str, float]:
        """The linear parameters, not negative, that fit the terms best; relative where the objective is."""
        names = self.law.linear
        if not names:
            return {}
        weight_P1 = 1 / loss_P[:, None] if self.objective.log else np.ones_like(loss_P[:, None])
        alone_P = loss_P - terms_PL[:, len(names) :].sum(axis=1)
        scaled_PL = terms_PL[:, : len(names)] * weight_P1
        size_L = np.maximum(np.sqrt(np.sum(scaled_PL**2, axis=0)), 1e-300)
        found_L, _ = nnls(scaled_PL / size_L, alone_P * weight_P1[:, 0])
        return dict(zip(names, (found_L / size_L).tolist(), strict=True))

    def easy_value(self, internal_K: Array) -> float:
        easy = Objective("huber", self.objective.log, self.deltas()[0])
        return replace(self, objective=easy if math.isfinite(self.deltas()[0]) else self.objective).value(internal_K)

    def coarse(self) -> "CurveProblem":
        """With every few points only, to compare starts by."""
        few = tuple(
            curve.points(np.arange(curve.num_points) % -(-curve.num_points // COARSE_POINTS) == 0)
            for curve in self.curves
        )
        return replace(self, curves=few, weights_P=np.ones(sum(curve.num_points for curve in few)))

    def from_starts(self, start_RK: Array) -> Solution:
        """Each start solved on few points, and then on all points once for those that met there."""
        few = self.coarse().solve(start_RK, self.deltas(), tolerance=1e-9)
        met_RR = (np.abs(few.internal_RK[:, None] - few.internal_RK) < MET).all(axis=2)
        meetings, place_R = np.unique(np.argmax(met_RR, axis=1), return_inverse=True)
        found = self.solve(few.internal_RK[meetings], self.deltas()[-1:])
        return Solution(
            found.internal_RK[place_R],
            found.value_R[place_R],
            found.decrement_R[place_R],
            few.iterations + found.iterations,
        )

    def solve(
        self,
        start_RK: Array,
        deltas: Sequence[float],
        weights_RP: Array | None = None,
        *,
        tolerance: float = 1e-13,
        max_iterations: int = 300,
    ) -> Solution:
        """Each start through the thresholds; each with weights of its own where they are given."""
        if weights_RP is None:
            weights_RP = np.broadcast_to(self.weights_P, (len(start_RK), len(self.weights_P)))
        weighted_RP = weights_RP
        place_RK, iterations = start_RK, 0
        for number, delta in enumerate(deltas):
            last = number == len(deltas) - 1

            def evaluate(internal_RK: Array, rows: NDArray[np.intp], delta: float = delta) -> NormalEquations:
                parts = [self.residual(internal_K) for internal_K in internal_RK]
                residual_RP = np.stack([part[0] for part in parts])
                jacobian_RKP = np.stack([part[1] for part in parts])
                found = NormalEquations.of(residual_RP, jacobian_RKP, weighted_RP[rows], np.array([[delta]]))
                found.value_R[found.value_R < ROUNDING**2 * residual_RP.shape[1]] = 0.0  # nothing is left to gain
                return found if self.pull is None else found.plus(self.pull.normal_equations(internal_RK))

            found = minimise(
                evaluate,
                place_RK,
                self.lower_K,
                self.upper_K,
                max_iterations=max_iterations if last else 40,
                tolerance=tolerance if last else 1e-4,
            )
            place_RK, iterations = found.internal_RK, iterations + found.iterations
        return Solution(place_RK, found.value_R, found.decrement_R, iterations)
