"""Fits a curve law to curves: starts, the optimum, a certificate, or the status that says why not.

Legend: P points, R starts, K parameters, U curves.
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
from windtunnel.analysis.solver.objective import Objective, parse_objective
from windtunnel.train.errors import InputError

DEFAULT_OBJECTIVE = "log-huber:1e-3"
NUM_STARTS = 4
AGREEMENT = 1e-6  # starts agree whose objectives do to this share
ROUNDING_VALUE = 1e-18  # of the objective, for each point: residuals of rounding alone
# A parameter is not identified whose standard deviation, of its logarithm or as a share of its size, is above this.
MAX_DEVIATION = 1.0
# Points of a curve are not independent: for standard deviations, a curve is worth this many points.
INDEPENDENT_POINTS = 20


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
    if num_points < num_parameters + 2:
        return refused
    problem = CurveProblem.of(law, fitted, parsed)
    starts_RK = problem.starts(NUM_STARTS)
    if not len(starts_RK):
        raise InputError(f"law {law.name} has no finite value on these curves: check their rates and losses")
    solution = problem.solve_starts(starts_RK)
    if law.priors is not None:
        best_1K = solution.internal_RK[[np.argmin(solution.value_R)]]
        problem = with_prior(problem, best_1K[0])
        solution = problem.solve_starts(np.concatenate([best_1K, starts_RK]))
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
    verb, pronoun = ("is", "it") if len(not_identified) == 1 else ("are", "them")
    names = ", ".join(not_identified)
    why = f"{names} {verb} not identified: the curves hardly depend on {pronoun}" if not_identified else ""
    status, reason = verdict(certificate, certificate.at_bound, why)
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


def with_prior(problem: CurveProblem, internal_K: Array) -> CurveProblem:
    """The problem with what its law expects of its parameters, weighed by the noise around the optimum without it."""
    residual_P, _ = problem.residual(internal_K)
    return replace(problem, prior=parameter_prior(problem.law, problem.curves, _noise_variance(problem, residual_P)))


def unidentified(problem: CurveProblem, internal_K: Array) -> tuple[str, ...]:
    """Parameters that the curves do not identify, by the curvature of the objective (`MAX_DEVIATION`)."""
    residual_P, jacobian_KP = problem.residual(internal_K)
    size_K = np.maximum(np.sqrt(np.sum(jacobian_KP**2, axis=1)), 1e-300)
    _, singular, right = np.linalg.svd((jacobian_KP / size_K[:, None]).T, full_matrices=False)
    reach_K = np.sqrt(np.sum((right / np.maximum(singular, 1e-12)[:, None]) ** 2, axis=0))
    deviation_K = reach_K * math.sqrt(_noise_variance(problem, residual_P)) / np.maximum(size_K, 1e-150)
    scale_K = np.where(problem.positive_K, 1.0, np.maximum(np.abs(internal_K), 0.5))
    relative_K = deviation_K / scale_K
    return tuple(
        name for name, deviation in zip(problem.law.names, relative_K, strict=True) if deviation > MAX_DEVIATION
    )


def _noise_variance(problem: CurveProblem, residual_P: Array) -> float:
    """Of a point, with each curve counted as `INDEPENDENT_POINTS`."""
    variance = float(np.median(np.abs(residual_P)) / 0.6745) ** 2
    return variance * max(1.0, len(residual_P) / (INDEPENDENT_POINTS * len(problem.curves)))
