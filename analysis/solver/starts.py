"""Starts of a fit: nonlinear parameters on a coarse grid, linear ones in closed form (variable projection), and the
best few of these.

Legend: P points, R starts, K parameters, J linear parameters.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.levenberg_marquardt import Solution
from windtunnel.analysis.solver.objective import Objective
from windtunnel.analysis.solver.problem import Problem

NUM_STARTS = 8
# Starts are chosen on at most this many points, so that their cost does not grow with the table.
MAX_POINTS = 2048
GRID_CHUNK = 4096  # combinations of 64 points to evaluate together


def choose_starts(problem: Problem, num_starts: int = NUM_STARTS) -> Array:
    """The best starts of a problem, in internal coordinates: (R, K)."""
    problem = subsample(problem)
    target_P, weights_P = np.atleast_2d(problem.target)[0], np.atleast_2d(problem.weights)[0]
    law = problem.law
    if law.starts is not None:
        values = law.starts(problem.columns, target_P)
        natural_RK = np.stack([np.asarray(values[name], dtype=np.float64) for name in law.names], axis=1)
    else:
        natural_RK = _projected(problem, target_P, weights_P)
    natural_RK = natural_RK[np.isfinite(natural_RK).all(axis=1)]
    internal_RK = problem.coordinates.to_internal(natural_RK)
    # Ranked at the easiest threshold of the continuation, which the first solve uses.
    objective = problem.objective
    easy = Objective("huber", objective.log, problem.deltas()[0]) if objective.kind != "mse" else objective
    value_R = np.concatenate(
        [
            easy.value(problem.predict(part), target_P[None], weights_P[None])
            for part in np.array_split(internal_RK, max(1, len(internal_RK) * len(target_P) // 500_000))
        ]
    )
    best = np.argsort(value_R, kind="stable")[:num_starts]
    return np.asarray(internal_RK[best])


def subsample(problem: Problem) -> Problem:
    """The problem of `MAX_POINTS` of its points, spread over the range of the target, the smallest and the largest
    included; the problem itself where it has no more.
    """
    if np.shape(problem.target)[-1] <= MAX_POINTS:
        return problem
    target_P, weights_P = np.atleast_2d(problem.target)[0], np.atleast_2d(problem.weights)[0]
    place = np.unique(np.linspace(0, len(target_P) - 1, MAX_POINTS).astype(np.intp))
    chosen = np.argsort(target_P, kind="stable")[place]
    columns = {name: column[chosen] for name, column in problem.columns.items()}
    return replace(problem, columns=columns, target=target_P[chosen], weights=weights_P[chosen])


def solve_distinct(coarse: Solution, solve: Callable[[Array], Solution], distance: float) -> Solution:
    """Solves once for all replicates whose coarse solutions agree within `distance` in every internal coordinate."""
    met_RR = (np.abs(coarse.internal_RK[:, None] - coarse.internal_RK) < distance).all(axis=2)
    # The first of those that agree represents all of them.
    distinct, place_R = np.unique(np.argmax(met_RR, axis=1), return_inverse=True)
    fine = solve(coarse.internal_RK[distinct])
    return Solution(
        fine.internal_RK[place_R],
        fine.value_R[place_R],
        fine.decrement_R[place_R],
        coarse.iterations + fine.iterations,
    )


def _projected(problem: Problem, target_P: Array, weights_P: Array) -> Array:
    """Natural parameters of every combination of the start grid, with the linear parameters solved for."""
    law = problem.law
    names = [name for name in law.names if name not in law.linear]
    combinations_RG = np.array(list(itertools.product(*(law.start_grid[name] for name in names))), dtype=np.float64)
    combinations_RG = combinations_RG.reshape(len(combinations_RG), len(names))
    index = {name: number for number, name in enumerate(law.names)}
    # A relative residual is what a logarithmic objective sees.
    scale_P = np.sqrt(weights_P) / (np.abs(target_P) if problem.objective.log else 1.0)
    parts = []
    for first in range(0, len(combinations_RG), max(1, GRID_CHUNK * 64 // max(64, len(target_P)))):
        part_RG = combinations_RG[first : first + max(1, GRID_CHUNK * 64 // max(64, len(target_P)))]
        natural_RK = np.zeros((len(part_RG), law.num_parameters))
        natural_RK[:, [index[name] for name in names]] = part_RG
        parts.append(_solve_linear(problem, natural_RK, [index[name] for name in law.linear], target_P, scale_P))
    return np.concatenate(parts)


def _solve_linear(problem: Problem, natural_RK: Array, linear: list[int], target_P: Array, scale_P: Array) -> Array:
    """Least squares for the linear parameters. Of all subsets, with the rest set aside, the best feasible one is taken:
    a positive parameter must come out positive. Those set aside are almost zero.
    """
    if not linear:
        return natural_RK
    law, columns = problem.law, problem.columns
    positive_J = problem.coordinates.positive_K[linear]
    # Centered amplitudes keep the normal equations well scaled.
    unit_RJ = np.ones((len(natural_RK), len(linear)))
    for amplitude, exponent, mean_log in problem.coordinates.couplings:
        if amplitude in linear:
            unit_RJ[:, linear.index(amplitude)] = np.exp(natural_RK[:, exponent] * mean_log)
    offset_RP = np.broadcast_to(
        np.asarray(law.predict(law.values(natural_RK), columns), dtype=np.float64), (len(natural_RK), len(target_P))
    )
    basis = []
    for place, number in enumerate(linear):
        one_RK = natural_RK.copy()
        one_RK[:, number] = unit_RJ[:, place]
        basis.append((law.predict(law.values(one_RK), columns) - offset_RP) * scale_P)
    basis_RJP = np.stack(basis, axis=1)
    remainder_RP = (target_P - offset_RP) * scale_P
    gram_RJJ = np.matmul(basis_RJP, np.swapaxes(basis_RJP, 1, 2))
    gram_RJJ += 1e-12 * np.eye(len(linear)) * np.einsum("rjj->rj", gram_RJJ).max(axis=1)[:, None, None] + 1e-300
    moment_RJ = np.matmul(basis_RJP, remainder_RP[:, :, None])[:, :, 0]
    best_R = np.full(len(natural_RK), -np.inf)
    best_RJ = np.zeros_like(moment_RJ)
    for used in itertools.product((True, False), repeat=len(linear)):
        if not all(use or positive for use, positive in zip(used, positive_J, strict=True)):
            continue  # a parameter that may be negative is never set aside
        subset = [place for place, use in enumerate(used) if use]
        if not subset:
            continue
        solved_RJ = np.zeros_like(moment_RJ)
        solved_RJ[:, subset] = np.linalg.solve(gram_RJJ[:, subset][:, :, subset], moment_RJ[:, subset, None])[:, :, 0]
        gain_R = np.einsum("rj,rj->r", solved_RJ, moment_RJ)
        feasible_R = np.all((solved_RJ > 0) | ~positive_J | ~np.array(used), axis=1)
        take_R = feasible_R & (gain_R > best_R)
        best_R[take_R], best_RJ[take_R] = gain_R[take_R], solved_RJ[take_R]
    # Not zero: no step could leave a logarithm of zero.
    typical_RJ = np.sqrt(np.mean(remainder_RP**2, axis=1))[:, None] / np.sqrt(np.mean(basis_RJP**2, axis=2) + 1e-300)
    best_RJ = np.where(positive_J & (best_RJ <= 0), 1e-3 * typical_RJ, best_RJ)
    solved_RK = natural_RK.copy()
    solved_RK[:, linear] = best_RJ * unit_RJ
    return solved_RK
