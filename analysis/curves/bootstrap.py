"""Uncertainty of a fit of curves: a bootstrap over whole curves, since the points of a curve share their noise.

Legend: P points, R replicates, K parameters.
"""

from collections.abc import Sequence

import numpy as np

from windtunnel.analysis.curves.cross_validation import CrossValidationScore, end_residual
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.ensemble import CombinedLaw
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.fitting.bootstrap import bootstrap_weights
from windtunnel.analysis.laws.law import Array

# Every replicate starts at the fit. In a flat valley more iterations move its parameters, but hardly its predictions.
MAX_ITERATIONS, TOLERANCE = 12, 1e-6


def bootstrap_replicates(fit: CurveFit, num_replicates: int, seed: int) -> dict[str, Array]:
    """The natural parameters of fits in which every curve has a random weight: (R,) each."""
    if fit.members:  # with one seed, a curve has the same weights in every member
        return {
            f"{member.law.name}.{name}": values
            for member in fit.members
            for name, values in bootstrap_replicates(member, num_replicates, seed).items()
        }
    problem = fit.problem
    if problem is None or not fit.parameters:
        return {}
    weights_RP = bootstrap_weights(problem.curve_of_point, num_replicates, len(fit.law.names), seed)
    start_RK = np.tile(problem.internal(fit.parameters), (num_replicates, 1))
    solution = problem.solve(
        start_RK, problem.deltas()[-1:], weights_RP, tolerance=TOLERANCE, max_iterations=MAX_ITERATIONS
    )
    natural = [problem.natural(internal_K) for internal_K in solution.internal_RK]
    return {name: np.array([values[name] for values in natural]) for name in fit.law.names}


def end_noise(fit: CurveFit, curves: Sequence[LossCurve], scores: Sequence[CrossValidationScore]) -> float:
    """The standard deviation of the log loss of a whole curve around the law at its end: the root mean square of the
    fitted curves' residuals or, if larger, of their residuals in cross-validation, which include the errors of the law
    for other schedules. `scores` are those of the law, or of the members of a combination.
    """
    noise = _root_mean_square(np.array([end_residual(fit, curve) for curve in curves]))
    weights = fit.law.weights if isinstance(fit.law, CombinedLaw) else (1.0,)
    ends_of_law = {score.law: score.ends for score in scores}
    members = [member.law.name for member in fit.members or (fit,)]
    held_out = [np.array(ends_of_law[name]) for name in members if name in ends_of_law]
    if len(held_out) < len(weights):
        return noise
    combined = np.sum([weight * ends for weight, ends in zip(weights, held_out, strict=True)], axis=0)
    return max(noise, _root_mean_square(combined))


def _root_mean_square(residuals: Array) -> float:
    return float(np.sqrt(np.mean(np.square(residuals))))
