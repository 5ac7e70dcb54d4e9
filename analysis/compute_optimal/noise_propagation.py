"""Propagation of the noise of runs: to linear combinations of their log losses, and to the parameters of a fitted law.

Every run has one draw of noise, shared by its rows: branches of one trunk are off by the same amount. The draws are
made for a few replicates at a time and never all stored: for a hundred thousand runs they would take gigabytes.

Legend: P rows of a table (or points of a fit), R replicates, M linear combinations, K parameters.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.fitting.fit import fit_batch
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.levenberg_marquardt import NormalEquations
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.solver.problem import Problem

MAX_DRAWS = 2_000_000  # stored at once
# A fit to more points than this is moved by one Newton step instead of a refit: noise moves its parameters by a small
# part of the threshold between squares and absolute deviations. At 6,000 points the spread of the parameters is off by
# 1 %, at 2,000 by 5 %.
MAX_REFIT_POINTS = 5000
RIDGE = 1e-13  # of the largest curvature


@dataclass(frozen=True)
class LinearCombinations:
    """Linear combinations of some rows of a table, given by their positions."""

    rows_P: NDArray[np.intp]
    weights_MP: Array


def noise_draws(run: NDArray[np.str_], noise: float, replicates: int, seed: int) -> Iterator[Array]:
    """Draws of the noise of log loss with this standard deviation: (R, P), a few replicates at a time."""
    runs, run_of_P = np.unique(run, return_inverse=True)
    generator = np.random.default_rng(seed)
    chunk = max(1, MAX_DRAWS // len(runs))
    for first in range(0, replicates, chunk):
        drawn_RU = generator.standard_normal((min(chunk, replicates - first), len(runs)))
        yield np.asarray(noise * drawn_RU[:, run_of_P.reshape(-1)])


def propagate_noise(
    run: NDArray[np.str_], noise: float, replicates: int, seed: int, combinations: Sequence[LinearCombinations]
) -> list[Array]:
    """The noise of every linear combination, (R, M) for each element of `combinations`. One seed, the same draws."""
    propagated = [np.empty((replicates, len(combination.weights_MP))) for combination in combinations]
    first = 0
    for drawn_RP in noise_draws(run, noise, replicates, seed):
        for noise_RM, combination in zip(propagated, combinations, strict=True):
            noise_RM[first : first + len(drawn_RP)] = drawn_RP[:, combination.rows_P] @ combination.weights_MP.T
        first += len(drawn_RP)
    return propagated


def refit_parameters(fitted: Fit, run: NDArray[np.str_], noise: float, replicates: int, seed: int) -> Array:
    """Natural parameters (R, K) of the law refitted to its own predictions with noise of log loss.

    noise: the standard deviation, shared by the rows of one run.
    """
    points, draws = fitted.points, noise_draws(run, noise, replicates, seed)
    if len(points.target_P) > MAX_REFIT_POINTS:
        return _newton_step(fitted, draws)
    target_RP = fitted.predict(points.columns) * np.exp(np.concatenate(list(draws)))
    starts_RK = np.tile(fitted.natural_row(), (replicates, 1))
    return fit_batch(fitted.law, points.columns, target_RP, points.weights_P, fitted.objective, starts_RK)[0]


def _newton_step(fitted: Fit, draws: Iterable[Array]) -> Array:
    """One Newton step from the fit for every replicate."""
    points, objective = fitted.points, parse_objective(fitted.objective)
    problem = Problem.from_points(
        fitted.law, points.columns, fitted.predict(points.columns), points.weights_P, objective
    )
    internal_1K = problem.coordinates.to_internal(fitted.natural_row())
    _, jacobian_1KP = problem.residual(internal_1K, np.array([0]))
    delta_11 = np.full((1, 1), problem.deltas()[-1])
    steps = []
    for drawn_RP in draws:
        equations = NormalEquations.from_residuals(-drawn_RP, jacobian_1KP, points.weights_P[None], delta_11)
        ridge_R1 = RIDGE * np.einsum("rkk->rk", equations.inner_RKK).max(axis=1, keepdims=True)
        curvature_RKK = equations.inner_RKK + ridge_R1[:, :, None] * np.eye(internal_1K.shape[1])
        steps.append(np.linalg.solve(curvature_RKK, equations.gradient_RK[:, :, None])[:, :, 0])
    coordinates = problem.coordinates
    moved_RK = np.clip(internal_1K - np.concatenate(steps), coordinates.lower_K, coordinates.upper_K)
    return coordinates.to_natural(moved_RK)
