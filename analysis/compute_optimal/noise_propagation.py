"""What the noise of runs does to sums of their log losses, such as the value of a curve at a place.

One draw for each run, because branches of one trunk are off by the same amount. The draws are made a few replicates at
a time and never held at once: of a hundred thousand runs they would be gigabytes.

Legend: P rows of a table, R replicates, M sums.
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

DRAWN = 2_000_000  # draws held at once


@dataclass(frozen=True)
class Sums:
    """Sums over some rows of a table: `rows_P` are their positions, `shares_MP` what each sum takes of each."""

    rows_P: NDArray[np.intp]
    shares_MP: Array


def pulled_noise(run: NDArray[np.str_], noise: float, replicates: int, seed: int, sums: Sequence[Sums]) -> list[Array]:
    """What noise of this standard deviation does to the sums: (R, M) of each. The same draws for the same seed."""
    found = [np.empty((replicates, len(each.shares_MP))) for each in sums]
    first = 0
    for drawn_RP in drawn_noise(run, noise, replicates, seed):
        for moved_RM, each in zip(found, sums, strict=True):
            moved_RM[first : first + len(drawn_RP)] = drawn_RP[:, each.rows_P] @ each.shares_MP.T
        first += len(drawn_RP)
    return found


def drawn_noise(run: NDArray[np.str_], noise: float, replicates: int, seed: int) -> Iterator[Array]:
    """Noise of log loss, (R, P) of a few replicates at a time."""
    runs, which = np.unique(run, return_inverse=True)
    generator = np.random.default_rng(seed)
    together = max(1, DRAWN // len(runs))
    for first in range(0, replicates, together):
        drawn = generator.standard_normal((min(together, replicates - first), len(runs)))
        yield np.asarray(noise * drawn[:, which.reshape(-1)])


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
