"""Least absolute deviations to the kink: from a Huber solution near it, each step solves the linearised problem exactly
as a linear programme.

Legend: P points, K parameters.
"""

import numpy as np

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.problem import Problem

STEPS = 30
LARGEST_PROGRAMME = 20_000  # points: above this the Huber solution stands
START_RADIUS = 0.05


def sharpen(problem: Problem, internal_K: Array) -> tuple[Array, float, float]:
    """The minimum of the sum of absolute deviations near the start, its value, and the decrease that the last programme
    still promised.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack, identity, vstack

    here_K, value = internal_K, float(problem.value(internal_K[None])[0])
    weights_P = np.atleast_2d(problem.weights)[0]
    num_points, num_parameters = len(weights_P), len(internal_K)
    if num_points > LARGEST_PROGRAMME:
        return here_K, value, 0.0
    promise, radius = np.inf, START_RADIUS
    lower_K, upper_K = problem.coordinates.lower_K, problem.coordinates.upper_K
    size = identity(num_points, format="csr")
    cost = np.concatenate([np.zeros(num_parameters), weights_P])
    for _ in range(STEPS):
        residual_RP, jacobian_RKP = problem.residual(here_K[None], np.zeros(1, dtype=np.intp))
        slope_PK = csr_matrix(jacobian_RKP[0].T)
        # |residual + slope step| <= size, in two rows a point.
        rows = vstack([hstack([slope_PK, -size]), hstack([-slope_PK, -size])], format="csr")
        limit = np.concatenate([-residual_RP[0], residual_RP[0]])
        reach = np.stack([np.maximum(-radius, lower_K - here_K), np.minimum(radius, upper_K - here_K)], axis=1)
        bounds = np.concatenate([reach, np.tile([0.0, np.inf], (num_points, 1))])
        programme = linprog(cost, A_ub=rows, b_ub=limit, bounds=bounds, method="highs")
        if programme.status != 0:
            break
        promise = max(value - float(programme.fun), 0.0)
        if promise <= 1e-12 * value:
            break
        trial_K = here_K + programme.x[:num_parameters]
        trial_value = float(problem.value(trial_K[None])[0])
        if trial_value < value:
            here_K, value = trial_K, trial_value
            radius *= 2.0
        else:
            radius *= 0.2
            if radius < 1e-14:
                break
    return here_K, value, promise
