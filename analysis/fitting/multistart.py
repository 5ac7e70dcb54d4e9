"""The global optimum of a fitting problem: every start solved, restarts near the best one, and a certificate.

Legend: P points, R starts, K parameters.
"""

import numpy as np

from windtunnel.analysis.fitting.certificate import Certificate, certify, count_agreeing
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.least_absolute import refine_absolute
from windtunnel.analysis.solver.levenberg_marquardt import Solution
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import NUM_STARTS, choose_starts, solve_distinct, subsample

# Two starts agree when their objectives do to this share (absolute deviations have kinks, which are reached less
# sharply), or to this part of what a standard deviation of one parameter costs: a flat valley shows no more.
AGREEMENT = {"huber": 1e-6, "mse": 1e-6, "lad": 1e-3}
VALLEY_AGREEMENT = 1e-3
# Starts this close in every internal coordinate, once solved on the few points of a large table, are one.
SAME_OPTIMUM = 1e-4
# Residuals smaller than this, in the objective's unit, are rounding: an amplitude at its bound leaves as much.
ROUNDING_RESIDUAL = 1e-7
RESTART_DISTANCE = 0.03  # in internal coordinates


def global_optimum(problem: Problem, seed: int = 0, starts_RK: Array | None = None) -> tuple[Array, Certificate]:
    """The best of the starts after two restarts near it, in internal coordinates (K,), with its certificate."""
    kind, num_points = problem.objective.kind, np.shape(problem.target)[-1]
    rounding = num_points * (ROUNDING_RESIDUAL if kind == "lad" else ROUNDING_RESIDUAL**2)
    solution = _solve_starts(problem, choose_starts(problem) if starts_RK is None else starts_RK)
    internal_RK, decrement_R, value_R = solution.internal_RK, solution.decrement_R, problem.value(solution.internal_RK)
    agreement = max(AGREEMENT[kind], VALLEY_AGREEMENT / max(num_points - problem.law.num_parameters, 1))
    if count_agreeing(value_R, float(value_R.min()), agreement, rounding) < 2:
        more = _solve_starts(problem, choose_starts(problem, 5 * NUM_STARTS)[NUM_STARTS:])
        internal_RK = np.concatenate([internal_RK, more.internal_RK])
        decrement_R = np.concatenate([decrement_R, more.decrement_R])
        value_R = np.concatenate([value_R, problem.value(more.internal_RK)])
    best_K = internal_RK[np.argmin(value_R)]
    if kind == "lad":
        best_K, best_value, decrement = refine_absolute(problem, best_K)
    else:
        offset_2K = np.array([[0.0], [RESTART_DISTANCE]]) * np.random.default_rng(seed).standard_normal(
            (2, len(best_K))
        )
        restarts = problem.solve(best_K + offset_2K, problem.deltas()[-1:], max_iterations=400)
        all_RK = np.concatenate([internal_RK, restarts.internal_RK])
        all_R = np.concatenate([value_R, problem.value(restarts.internal_RK)])
        best = int(np.argmin(all_R))
        best_K, best_value = all_RK[best], float(all_R[best])
        # The solver's value of squares is half of theirs.
        factor = 2.0 if kind == "mse" else 1.0
        decrement = float(np.concatenate([decrement_R, restarts.decrement_R])[best]) * factor
    bounds = (problem.coordinates.lower_K, problem.coordinates.upper_K)
    certificate = certify(
        problem.law.names, best_K, bounds, value_R, best_value, decrement, agreement=agreement, rounding=rounding
    )
    return best_K, certificate


def _solve_starts(problem: Problem, start_RK: Array) -> Solution:
    """Each start solved; in a large table first on a few of its points, then once for all starts that agree there."""
    few = subsample(problem)
    if few is problem or not len(start_RK):
        return problem.solve(start_RK, problem.deltas())
    deltas = problem.deltas() if problem.objective.kind == "lad" else problem.deltas()[-1:]
    coarse = few.solve(start_RK, problem.deltas())
    return solve_distinct(coarse, lambda start_RK: problem.solve(start_RK, deltas), SAME_OPTIMUM)
