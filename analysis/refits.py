"""A fitted law refitted to draws of noise about itself: what noise does to its parameters.

Legend: P points, R replicates, K parameters.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from analysis.fit_document import Fit
from analysis.fitting import fit_batch
from analysis.law import Array
from analysis.levenberg_marquardt import NormalEquations
from analysis.objective import parse_objective
from analysis.problem import Problem
from analysis.pulled_noise import drawn_noise

# Noise moves the parameters of more points than these by a small part of the threshold between squares and absolute
# deviations, so that one Newton step finds where to: at 6,000 points their spread is off by 1 %, at 2,000 by 5 %.
FEW = 5000
RIDGE = 1e-13  # of the largest curvature


def refits(found: Fit, run: NDArray[np.str_], noise: float, replicates: int, seed: int) -> Array:
    """Natural parameters (R, K) under noise of log loss of this standard deviation, shared by rows of one run."""
    points, drawn = found.points, drawn_noise(run, noise, replicates, seed)
    if len(points.target_P) > FEW:
        return _stepped(found, drawn)
    target_RP = found.predict(points.columns) * np.exp(np.concatenate(list(drawn)))
    starts_RK = np.tile(found.natural_row(), (replicates, 1))
    return fit_batch(found.law, points.columns, target_RP, points.weights_P, found.objective, starts_RK)[0]


def _stepped(found: Fit, drawn: Iterable[Array]) -> Array:
    """One Newton step from the fit for each replicate."""
    points, objective = found.points, parse_objective(found.objective)
    problem = Problem.of(found.law, points.columns, found.predict(points.columns), points.weights_P, objective)
    internal_1K = problem.coordinates.to_internal(found.natural_row())
    _, jacobian_1KP = problem.residual(internal_1K, np.array([0]))
    delta_11 = np.full((1, 1), problem.deltas()[-1])
    steps = []
    for drawn_RP in drawn:
        here = NormalEquations.of(-drawn_RP, jacobian_1KP, points.weights_P[None], delta_11)
        ridge_R1 = RIDGE * np.einsum("rkk->rk", here.inner_RKK).max(axis=1, keepdims=True)
        curvature_RKK = here.inner_RKK + ridge_R1[:, :, None] * np.eye(internal_1K.shape[1])
        steps.append(np.linalg.solve(curvature_RKK, here.gradient_RK[:, :, None])[:, :, 0])
    coordinates = problem.coordinates
    moved_RK = np.clip(internal_1K - np.concatenate(steps), coordinates.lower_K, coordinates.upper_K)
    return coordinates.to_natural(moved_RK)
