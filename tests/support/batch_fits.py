"""Fits of many noisy studies of one design as one batch. Legend: P points, R studies, S starts, K parameters."""

from dataclasses import replace

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import choose_starts


def fit_batch(law: Law, columns: Columns, target_RP: Array, objective: str, num_starts: int) -> tuple[Problem, Array]:
    """The problem of all studies, and the internal parameters (R, K) of the best start of each."""
    problem = Problem.from_points(law, columns, target_RP, np.ones(target_RP.shape[1]), parse_objective(objective))
    start_RSK = np.stack([choose_starts(replace(problem, target=target_P), num_starts) for target_P in target_RP])
    solutions = [problem.solve(start_RSK[:, start], problem.deltas()) for start in range(num_starts)]
    best_R = np.argmin(np.stack([solution.value_R for solution in solutions]), axis=0)
    internal_RSK = np.stack([solution.internal_RK for solution in solutions], axis=1)
    return problem, internal_RSK[np.arange(len(target_RP)), best_R]
