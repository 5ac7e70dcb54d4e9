"""The fitting problem of a curve law: residuals of all curves and their derivatives in internal coordinates
(logarithms of positive parameters).

Legend: P points of all curves, R starts or replicates, K parameters, L terms, M priors.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import LawKey, LossCurve
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.coordinates import internal_bounds
from windtunnel.analysis.solver.levenberg_marquardt import NormalEquations, Solution, minimize
from windtunnel.analysis.solver.objective import Objective
from windtunnel.analysis.solver.penalty import ParameterPrior
from windtunnel.analysis.solver.problem import LARGEST_DERIVATIVE, continuation
from windtunnel.analysis.solver.starts import solve_distinct

SAME_OPTIMUM = 1e-3  # solutions on the coarse points this close in every internal coordinate are one
ROUNDING_RESIDUAL = 1e-13  # smaller residuals are rounding
COARSE_POINTS = 48  # of each curve, on which starts are compared


def select_fitted(law: CurveLaw, curves: Sequence[LossCurve]) -> tuple[LossCurve, ...]:
    """The points that the law is fitted to, binned; curves without any are left out."""
    select = law.fitted_points
    fitted = [(curve if select is None else curve.select(select(curve))).binned() for curve in curves]
    return tuple(curve for curve in fitted if curve.num_points)


def parameter_prior(law: CurveLaw, curves: Sequence[LossCurve], weight: float) -> ParameterPrior | None:
    """The priors of a law as a penalty; None where it has none."""
    priors = law.priors(curves) if law.priors is not None else ()
    if not priors or not weight > 0:
        return None
    coefficient_MK = np.array(
        [[prior.weights.get(name, 0.0) / prior.standard_deviation for name in law.names] for prior in priors]
    )
    mean_M = np.array([prior.mean / prior.standard_deviation for prior in priors])
    return ParameterPrior(coefficient_MK, mean_M, weight)


@dataclass(frozen=True)
class CurveProblem:
    """The residuals of a law on the fitted points of curves. `weights_P` are the weights of the points."""

    law: CurveLaw
    curves: tuple[LossCurve, ...]
    weights_P: Array
    objective: Objective
    positive_K: NDArray[np.bool_]
    lower_K: Array
    upper_K: Array
    prior: ParameterPrior | None = None

    @classmethod
    def from_curves(cls, law: CurveLaw, curves: Sequence[LossCurve], objective: Objective) -> "CurveProblem":
        """The problem of curves as `select_fitted` gives them; each weighs as much as it has points."""
        scale = math.log(float(np.median(np.concatenate([curve.loss_P for curve in curves]))))
        grid = law.start_grid(curves)
        bounds = [
            internal_bounds(parameter, None if parameter.name in grid else scale, grid.get(parameter.name))
            for parameter in law.parameters
        ]
        lower_K, upper_K = np.array(bounds).T
        positive_K = np.array([parameter.positive for parameter in law.parameters])
        weights_P = np.ones(sum(curve.num_points for curve in curves))
        return cls(law, tuple(curves), weights_P, objective, positive_K, lower_K, upper_K)

    @cached_property
    def distinct_curves(self) -> dict[LawKey, LossCurve]:
        """One curve for each input of the law: seed replicates share one prediction."""
        return {curve.law_key: curve for curve in self.curves}

    def map_curves(self, function: Callable[[LossCurve], Any]) -> list[Any]:
        """The value of every curve, in their order; `function` must not read the losses."""
        values = {key: function(curve) for key, curve in self.distinct_curves.items()}
        return [values[curve.law_key] for curve in self.curves]

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
        natural_K = [values[name] for name in self.law.names]
        log_K = np.log(np.where(self.positive_K, np.maximum(natural_K, 1e-300), 1.0))
        return np.asarray(np.clip(np.where(self.positive_K, log_K, natural_K), self.lower_K, self.upper_K))

    def deltas(self) -> tuple[float, ...]:
        """Huber thresholds of the continuation, in the unit of the residuals."""
        return continuation(self.objective, self.losses)

    def residual(self, internal_K: Array) -> tuple[Array, Array]:
        """Residuals (P,) and their derivatives in internal coordinates (K, P); not finite where the law overflows."""
        values = self.natural(internal_K)
        with np.errstate(all="ignore"):
            parts = self.map_curves(partial(self.law.predict_with_jacobian, values))
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
            predicted_P = np.concatenate(self.map_curves(partial(self.law.predict, values)))
        weights_P = self.weights_P if weights_P is None else weights_P
        value = float(self.objective.value(predicted_P[None], self.losses[None], weights_P[None])[0])
        half = 2.0 if self.objective.kind == "mse" else 1.0  # the solver's squares are half of the objective's
        return value if self.prior is None else value + half * self.prior.cost(internal_K)

    def starts(self, num_starts: int) -> Array:
        """The best points of the start grid, their linear parameters in closed form: internal coordinates (R, K)."""
        few = self.coarse()
        loss_P = few.losses
        starts: list[tuple[float, Array]] = []
        grid = self.law.start_grid(self.curves)
        for point in product(*grid.values()):
            values = dict(zip(grid, point, strict=True))
            with np.errstate(all="ignore"):
                terms_PL = np.concatenate(few.map_curves(partial(self.law.terms, values)))
            if np.isfinite(terms_PL).all():
                internal_K = self.internal({**values, **few.projected(terms_PL, loss_P)})
                starts.append((few.easy_value(internal_K), internal_K))
        starts = sorted((start for start in starts if math.isfinite(start[0])), key=lambda start: start[0])
        return np.array([internal_K for _, internal_K in starts[:num_starts]])

    def projected(self, terms_PL: Array, loss_P: Array) -> dict[str, float]:
        """The non-negative linear parameters of the least-squares fit, relative where the objective is."""
        from scipy.optimize import nnls  # 0.4 s: start-up time

        names = self.law.linear
        if not names:
            return {}
        weight_P1 = 1 / loss_P[:, None] if self.objective.log else np.ones_like(loss_P[:, None])
        remainder_P = loss_P - terms_PL[:, len(names) :].sum(axis=1)
        scaled_PL = terms_PL[:, : len(names)] * weight_P1
        size_L = np.maximum(np.sqrt(np.sum(scaled_PL**2, axis=0)), 1e-300)
        solution_L, _ = nnls(scaled_PL / size_L, remainder_P * weight_P1[:, 0])
        return dict(zip(names, (solution_L / size_L).tolist(), strict=True))

    def easy_value(self, internal_K: Array) -> float:
        """The objective at the first threshold of the continuation."""
        easy = Objective("huber", self.objective.log, self.deltas()[0])
        return replace(self, objective=easy if math.isfinite(self.deltas()[0]) else self.objective).value(internal_K)

    def coarse(self) -> "CurveProblem":
        """The problem of `COARSE_POINTS` points of each curve, evenly spaced."""
        few = tuple(
            curve.select(np.arange(curve.num_points) % -(-curve.num_points // COARSE_POINTS) == 0)
            for curve in self.curves
        )
        return replace(self, curves=few, weights_P=np.ones(sum(curve.num_points for curve in few)))

    def solve_starts(self, start_RK: Array) -> Solution:
        """Each start solved on the coarse points; then each distinct solution on all points."""
        coarse = self.coarse().solve(start_RK, self.deltas(), tolerance=1e-9)
        return solve_distinct(coarse, lambda start_RK: self.solve(start_RK, self.deltas()[-1:]), SAME_OPTIMUM)

    def solve(
        self,
        start_RK: Array,
        deltas: Sequence[float],
        weights_RP: Array | None = None,
        *,
        tolerance: float = 1e-13,
        max_iterations: int = 300,
    ) -> Solution:
        """Each start solved through the thresholds; `weights_RP` gives each its own weights."""
        if weights_RP is None:
            weights_RP = np.broadcast_to(self.weights_P, (len(start_RK), len(self.weights_P)))
        internal_RK, iterations = start_RK, 0
        for number, delta in enumerate(deltas):
            last = number == len(deltas) - 1
            solution = minimize(
                partial(self._normal_equations, weights_RP, delta),
                internal_RK,
                self.lower_K,
                self.upper_K,
                max_iterations=max_iterations if last else 40,
                tolerance=tolerance if last else 1e-4,
            )
            internal_RK, iterations = solution.internal_RK, iterations + solution.iterations
        return Solution(internal_RK, solution.value_R, solution.decrement_R, iterations)

    def _normal_equations(
        self, weights_RP: Array, delta: float, internal_RK: Array, replicates: NDArray[np.intp]
    ) -> NormalEquations:
        residuals, jacobians = zip(*map(self.residual, internal_RK), strict=True)
        residual_RP, jacobian_RKP = np.stack(residuals), np.stack(jacobians)
        equations = NormalEquations.from_residuals(
            residual_RP, jacobian_RKP, weights_RP[replicates], np.array([[delta]])
        )
        equations.value_R[equations.value_R < ROUNDING_RESIDUAL**2 * residual_RP.shape[1]] = 0.0  # no step gains more
        return equations if self.prior is None else equations.plus(self.prior.normal_equations(internal_RK))
