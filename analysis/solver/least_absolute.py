"""Least absolute deviations, to the kink: from a nearby Huber solution, each step solves the linearized problem exactly
as a linear program.

Legend: P points, K parameters.
"""

import numpy as np

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.problem import Problem

MAX_STEPS = 30
MAX_POINTS = 20_000  # of a linear program: with more, the Huber solution is kept
FIRST_RADIUS, MIN_RADIUS = 0.05, 1e-14
NEGLIGIBLE_GAIN = 1e-12  # as a share of the value


def refine_absolute(problem: Problem, internal_K: Array) -> tuple[Array, float, float]:
    """The minimum of the sum of absolute deviations near the start (K,), its value, and the decrease that the last
    linear program predicted.
    """
    # SciPy's solvers take longer to load than most fits take.
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack, identity, vstack

    value = float(problem.value(internal_K[None])[0])
    weights_P = np.atleast_2d(problem.weights)[0]
    num_points, num_parameters = len(weights_P), len(internal_K)
    if num_points > MAX_POINTS:
        return internal_K, value, 0.0
    promise, radius = np.inf, FIRST_RADIUS
    lower_K, upper_K = problem.coordinates.lower_K, problem.coordinates.upper_K
    size = identity(num_points, format="csr")
    cost = np.concatenate([np.zeros(num_parameters), weights_P])
    for _ in range(MAX_STEPS):
        residual_RP, jacobian_RKP = problem.residual(internal_K[None], np.zeros(1, dtype=np.intp))
        slope_PK = csr_matrix(jacobian_RKP[0].T)
        # |residual + slope step| <= size, as two rows for each point.
        rows = vstack([hstack([slope_PK, -size]), hstack([-slope_PK, -size])], format="csr")
        limit = np.concatenate([-residual_RP[0], residual_RP[0]])
        steps = np.stack([np.maximum(-radius, lower_K - internal_K), np.minimum(radius, upper_K - internal_K)], axis=1)
        bounds = np.concatenate([steps, np.tile([0.0, np.inf], (num_points, 1))])
        program = linprog(cost, A_ub=rows, b_ub=limit, bounds=bounds, method="highs")
        if program.status != 0:
            break
        promise = max(value - float(program.fun), 0.0)
        if promise <= NEGLIGIBLE_GAIN * value:
            break
        trial_K = internal_K + program.x[:num_parameters]
        trial_value = float(problem.value(trial_K[None])[0])
        if trial_value < value:
            internal_K, value = trial_K, trial_value
            radius *= 2.0
        else:
            radius *= 0.2
            if radius < MIN_RADIUS:
                break
    return internal_K, value, promise
