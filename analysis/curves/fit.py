"""Fits a curve law to curves: starts, the optimum, a certificate, or the status that says why not.

Legend: P points, R starts, K parameters, U curves.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.curves.problem import CurveProblem, Pull, fitted_points
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.objective import Objective, parse_objective
from windtunnel.train.errors import InputError

CurveStatus = Literal["converged", "edge", "not_identified", "not_converged", "too_few_points"]
OBJECTIVE = "log-huber:1e-3"
KEPT = 4
# Two starts agree when their objectives do to this share; the gradient is small when a Newton step gains less.
AGREEMENT, DECREMENT = 1e-6, 1e-6
ROUNDING = 1e-18  # of the objective, for each point: residuals of rounding alone
AT_BOUND = 1e-6
# A parameter whose standard deviation, in its logarithm or as a share of its size, is above this has no number. Points
# of a curve are not independent: the deviation is taken as if each curve were worth `INDEPENDENT` points.
UNKNOWN = 1.0
INDEPENDENT = 20


@dataclass(frozen=True)
class CurveFit:
    """`parameters` is empty where the fit was refused. `deviations` are standard deviations in internal coordinates."""

    law: CurveLaw
    objective: str
    parameters: dict[str, float]
    value: float
    status: CurveStatus
    reason: str
    not_identified: tuple[str, ...]
    num_points: int
    starts: int
    starts_agreeing: int
    newton_decrement: float
    seconds: float
    problem: CurveProblem | None = field(default=None, repr=False)
    members: "tuple[CurveFit, ...]" = field(default=(), repr=False)  # of a combination of laws

    def predict(self, curve: Curve) -> Array:
        """The loss at the logged times of a curve: (P,). Raises InputError where the fit was refused."""
        if not self.parameters:
            raise InputError(f"the fit of {self.law.name} was refused ({self.status}): {self.reason}")
        return np.asarray(self.law.predict(self.parameters, curve), dtype=np.float64)


def curve_objective(objective: str | Objective | None) -> Objective:
    """The default where none is named. Raises InputError where it is one that curves are not fitted with."""
    aim = parse_objective(objective or OBJECTIVE)
    if aim.noise_column is not None or aim.kind == "lad":
        raise InputError(f"objective {aim.name}: curves are fitted with log-huber:DELTA, log-mse, huber:DELTA or mse")
    return aim


def fit_curves(law: CurveLaw, curves: Sequence[Curve], objective: str | Objective | None = None) -> CurveFit:
    """The fit of a law to all the curves. Raises InputError where there is none, or an objective of another kind."""
    began = time.perf_counter()
    if not curves:
        raise InputError("no curve to fit: name one or more")
    aim = curve_objective(objective)
    sizes = {curve.size for curve in curves if curve.size is not None}
    if len(sizes) > 1 and law.specialise is None:
        raise InputError(f"curves of {len(sizes)} sizes: {law.name} is a law of one size; name {law.name}:N")
    law = law.specialise(curves) if law.specialise is not None else law
    used = fitted_points(law, curves)
    num_points, num_parameters = sum(curve.num_points for curve in used), len(law.names)
    if num_points < num_parameters + 2:
        reason = f"{num_points} points for the {num_parameters} parameters of {law.name}; it needs {law.runs}"
        seconds = time.perf_counter() - began
        return CurveFit(law, aim.name, {}, math.nan, "too_few_points", reason, (), num_points, 0, 0, math.nan, seconds)
    problem = CurveProblem.of(law, used, aim)
    starts_RK = problem.starts(KEPT)
    if not len(starts_RK):
        raise InputError(f"law {law.name} has no finite value on these curves: look at their rates and losses")
    found = problem.from_starts(starts_RK)
    if law.expectations is not None:
        best_1K = found.internal_RK[[np.argmin(found.value_R)]]
        problem = pulled(problem, best_1K[0])
        found = problem.from_starts(np.concatenate([best_1K, starts_RK]))
    value_R = np.array([problem.value(internal_K) for internal_K in found.internal_RK])
    best = int(np.argmin(value_R))
    internal_K, value = found.internal_RK[best], float(value_R[best])
    floor = ROUNDING * num_points
    agreeing = int(np.sum(value_R <= value * (1 + AGREEMENT) + floor))
    decrement = float(found.decrement_R[best]) / max(value, floor)
    values = problem.natural(internal_K)
    bound_K = (internal_K <= problem.lower_K + AT_BOUND) | (internal_K >= problem.upper_K - AT_BOUND)
    at_bound = tuple(name for name, bound in zip(law.names, bound_K, strict=True) if bound)
    unknown = unidentified(problem, internal_K)
    status, reason = _verdict(len(value_R), agreeing, decrement, at_bound, unknown)
    return CurveFit(
        law,
        aim.name,
        values,
        value,
        status,
        reason,
        unknown,
        num_points,
        len(value_R),
        agreeing,
        decrement,
        time.perf_counter() - began,
        problem,
    )


def pulled(problem: CurveProblem, internal_K: Array) -> CurveProblem:
    """The problem held by what its law expects, as strongly as the noise around the optimum without says."""
    residual_P, _ = problem.residual(internal_K)
    variance = float(np.median(np.abs(residual_P)) / 0.6745) ** 2
    inflation = max(1.0, len(residual_P) / (INDEPENDENT * len(problem.curves)))
    return replace(problem, pull=Pull.of(problem.law, problem.curves, variance * inflation))


def unidentified(problem: CurveProblem, internal_K: Array) -> tuple[str, ...]:
    """Parameters that the curves do not tell, by the curvature of the objective (`UNKNOWN`)."""
    residual_P, jacobian_KP = problem.residual(internal_K)
    size_K = np.maximum(np.sqrt(np.sum(jacobian_KP**2, axis=1)), 1e-300)
    _, singular, right = np.linalg.svd((jacobian_KP / size_K[:, None]).T, full_matrices=False)
    variance = float(np.median(np.abs(residual_P)) / 0.6745) ** 2
    inflation = max(1.0, len(residual_P) / (INDEPENDENT * len(problem.curves)))
    far_K = np.sqrt(np.sum((right / np.maximum(singular, 1e-12)[:, None]) ** 2, axis=0)) * math.sqrt(
        variance * inflation
    )
    spread_K = far_K / np.maximum(size_K, 1e-150)
    scale_K = np.where(problem.positive_K, 1.0, np.maximum(np.abs(internal_K), 0.5))
    return tuple(name for name, each in zip(problem.law.names, spread_K / scale_K, strict=True) if each > UNKNOWN)


def _verdict(
    starts: int, agreeing: int, decrement: float, at_bound: tuple[str, ...], unknown: tuple[str, ...]
) -> tuple[CurveStatus, str]:
    if agreeing < 2 and starts > 1:
        return "not_converged", f"of {starts} independent starts only one reached this value"
    if decrement > DECREMENT:
        return "not_converged", f"the gradient is not small (relative decrement {decrement:.1e})"
    if at_bound:
        return "edge", f"{', '.join(at_bound)} ended at a bound"
    if unknown:
        return "not_identified", f"the curves hardly depend on {', '.join(unknown)}: no number is known for it"
    return "converged", ""
