"""Fits a curve law to loss curves: starts, the optimum, and its certificate, or the status that says why not.

Legend: P points, R starts, K parameters.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.curves.problem import CurveProblem, parameter_prior, select_fitted
from windtunnel.analysis.fitting.certificate import Certificate, certify, verdict
from windtunnel.analysis.fitting.result import FitResult
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.levenberg_marquardt import Solution
from windtunnel.analysis.solver.objective import Objective, parse_objective
from windtunnel.train.errors import InputError

DEFAULT_OBJECTIVE = "log-huber:1e-3"
NUM_STARTS = 4
MIN_EXTRA_POINTS = 2  # points of a fit beyond the number of its parameters
AGREEMENT = 1e-6  # starts agree if their objectives differ by less than this, relatively
ROUNDING_VALUE = 1e-18  # of the objective per point: residuals that are rounding errors
# A parameter is not identified if its standard deviation is larger than this: that of its logarithm, or relative to it.
MAX_DEVIATION = 1.0
MIN_SCALE = 0.5  # of a parameter that may be negative: its standard deviation is relative to at least this
INDEPENDENT_POINTS = 20  # points that a curve counts as, for standard deviations: its points are not independent


@dataclass(frozen=True, kw_only=True)
class CurveFit(FitResult[CurveLaw]):
    """The fit of a curve law. `members` are the fits of a combination of laws."""

    certificate: Certificate
    problem: CurveProblem | None = field(default=None, repr=False)
    members: "tuple[CurveFit, ...]" = field(default=(), repr=False)

    def predict_losses(self, curve: LossCurve) -> Array:
        """The loss at the logged times of a curve: (P,). Raises InputError where the fit was refused."""
        self.check_fitted()
        return np.asarray(self.law.predict(self.parameters, curve), dtype=np.float64)


def curve_objective(objective: str | Objective | None) -> Objective:
    """The objective, or the default for None. Raises InputError where curves cannot be fitted with it."""
    parsed = parse_objective(objective or DEFAULT_OBJECTIVE)
    if parsed.noise_column is not None or parsed.kind == "lad":
        raise InputError(
            f"objective {parsed.name}: curves are fitted with log-huber:DELTA, log-mse, huber:DELTA or mse"
        )
    return parsed


def fit_curve_law(law: CurveLaw, curves: Sequence[LossCurve], objective: str | Objective | None = None) -> CurveFit:
    """The fit of a law to all the curves. With too few points, a fit without parameters whose status and reason say so.

    Raises InputError where there is no curve, the law cannot be fitted to several sizes, or the objective is not one
    for curves.
    """
    began = time.perf_counter()
    if not curves:
        raise InputError("no curve to fit: name one or more")
    parsed = curve_objective(objective)
    sizes = {curve.size for curve in curves if curve.size is not None}
    if len(sizes) > 1 and law.specialize is None:
        raise InputError(f"curves of {len(sizes)} sizes: {law.name} is a law of one size; name {law.name}:N")
    law = law.specialize(curves) if law.specialize is not None else law
    fitted = select_fitted(law, curves)
    num_points, num_parameters = sum(curve.num_points for curve in fitted), len(law.names)
    refused = CurveFit(
        law=law,
        objective=parsed.name,
        parameters={},
        value=math.nan,
        status="too_few_points",
        reason=f"{num_points} points for the {num_parameters} parameters of {law.name}; it needs {law.required_curves}",
        not_identified=(),
        num_points=num_points,
        seconds=time.perf_counter() - began,
        certificate=Certificate(0, 0, math.nan, ()),
    )
    if num_points < num_parameters + MIN_EXTRA_POINTS:
        return refused
    problem, solution = _solve(CurveProblem.from_curves(law, fitted, parsed))
    value_R = np.array([problem.value(internal_K) for internal_K in solution.internal_RK])
    best = int(np.argmin(value_R))
    internal_K, value = solution.internal_RK[best], float(value_R[best])
    certificate = certify(
        law.names,
        internal_K,
        (problem.lower_K, problem.upper_K),
        value_R,
        value,
        float(solution.decrement_R[best]),
        agreement=AGREEMENT,
        rounding=ROUNDING_VALUE * num_points,
    )
    not_identified = unidentified(problem, internal_K)
    status, reason = verdict(certificate, certificate.at_bound, _format_not_identified(not_identified))
    return replace(
        refused,
        parameters=problem.natural(internal_K),
        value=value,
        status=status,
        reason=reason,
        not_identified=not_identified,
        certificate=certificate,
        seconds=time.perf_counter() - began,
        problem=problem,
    )


def _solve(problem: CurveProblem) -> tuple[CurveProblem, Solution]:
    """The problem, with the priors of its law, and the solution of every start. A prior is weighed by the noise around
    the optimum without it, which is then one more start.
    """
    law, starts_RK = problem.law, problem.starts(NUM_STARTS)
    if not len(starts_RK):
        raise InputError(f"law {law.name} has no finite value on these curves: check their rates and losses")
    solution = problem.solve_starts(starts_RK)
    if law.priors is None:
        return problem, solution
    best_1K = solution.internal_RK[[np.argmin(solution.value_R)]]
    residual_P, _ = problem.residual(best_1K[0])
    prior = parameter_prior(law, problem.curves, _noise_variance(problem, residual_P))
    problem = replace(problem, prior=prior)
    return problem, problem.solve_starts(np.concatenate([best_1K, starts_RK]))


def _format_not_identified(names: Sequence[str]) -> str:
    if not names:
        return ""
    verb, pronoun = ("is", "it") if len(names) == 1 else ("are", "them")
    return f"{', '.join(names)} {verb} not identified: the curves hardly depend on {pronoun}"


def unidentified(problem: CurveProblem, internal_K: Array) -> tuple[str, ...]:
    """Parameters that the curves do not identify, by the curvature of the objective (`MAX_DEVIATION`)."""
    residual_P, jacobian_KP = problem.residual(internal_K)
    size_K = np.maximum(np.sqrt(np.sum(jacobian_KP**2, axis=1)), 1e-300)
    _, singular, right = np.linalg.svd((jacobian_KP / size_K[:, None]).T, full_matrices=False)
    reach_K = np.sqrt(np.sum((right / np.maximum(singular, 1e-12)[:, None]) ** 2, axis=0))
    deviation_K = reach_K * math.sqrt(_noise_variance(problem, residual_P)) / np.maximum(size_K, 1e-150)
    scale_K = np.where(problem.positive_K, 1.0, np.maximum(np.abs(internal_K), MIN_SCALE))
    relative_K = deviation_K / scale_K
    return tuple(
        name for name, deviation in zip(problem.law.names, relative_K, strict=True) if deviation > MAX_DEVIATION
    )


def _noise_variance(problem: CurveProblem, residual_P: Array) -> float:
    """Of a point, with each curve counted as `INDEPENDENT_POINTS`."""
    variance = float(np.median(np.abs(residual_P)) / 0.6745) ** 2
    return variance * max(1.0, len(residual_P) / (INDEPENDENT_POINTS * len(problem.curves)))
