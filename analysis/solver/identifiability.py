"""Whether a table's design can tell a law's parameters apart at all: one size, one budget or one ratio cannot, nor two
sizes those of a power law with a constant.

Legend: P points, R places among the parameters, K parameters.
"""

from typing import Literal

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import thinned

DesignStatus = Literal["one_size", "one_budget", "one_ratio", "too_few_points"]
# A direction in (log N, log D) along which the points spread by less than this does not count as varied.
SPREAD = 0.03
SCALE_COLUMNS = ("N", "D", "C", "M")
RANK = 1e-9  # of the largest singular value of the scaled derivatives: below it they are linearly dependent


def design_problem(
    law: Law, columns: Columns, num_points: int, allow_few_points: bool = False
) -> tuple[DesignStatus, str] | None:
    """Why the law cannot be fitted to these points, with its mend, or None. `allow_few_points` waives the rule that there be
    two points more than parameters.
    """
    needed = law.num_parameters + (0 if allow_few_points else 2)
    if num_points < needed:
        return "too_few_points", (
            f"{num_points} points for the {law.num_parameters} parameters of {law.name}; "
            f"it needs {needed}: add runs (windtunnel fit and rank take {law.num_parameters} with --allow-few-points)"
        )
    used = [name for name in SCALE_COLUMNS if name in law.columns]
    for name in used:
        if _constant(np.log(columns[name])):
            status: DesignStatus = "one_size" if name == "N" else "one_ratio" if name == "M" else "one_budget"
            return status, f"every point has {name} = {columns[name][0]:.4g}; {law.name} needs several: {law.grid}"
    pair = _size_and_data(columns, used)
    if pair is None:
        return None
    log_N, log_D = pair
    if _constant(log_N):
        return "one_size", f"every point has one model size; {law.name} needs several: {law.grid}"
    if _constant(log_D):
        return "one_budget", f"every point has one token budget; {law.name} needs several: {law.grid}"
    if _constant(log_N + log_D):
        return "one_budget", f"every point has one compute budget, N*D; {law.name} needs several: {law.grid}"
    if _constant(log_D - log_N):
        return "one_ratio", f"every point has one ratio D/N; {law.name} needs several: {law.grid}"
    if _residual_spread(log_N, log_D) < SPREAD:
        return "one_ratio", f"D follows from N in this table; {law.name} needs them varied apart: {law.grid}"
    return None


def rank_problem(problem: Problem, internal_RK: Array) -> tuple[DesignStatus, str] | None:
    """Why these points cannot determine all parameters whatever their losses are, or None: at none of these places
    (R, K) are the law's derivatives by its parameters linearly independent.
    """
    few, law = thinned(problem), problem.law
    _, jacobian_RKP = few.coordinates.predict_with_jacobian(internal_RK, few.columns)
    jacobian_RKP = np.nan_to_num(jacobian_RKP)
    size_RK1 = np.sqrt(np.sum(jacobian_RKP**2, axis=2, keepdims=True))
    singular_RK = np.linalg.svd(jacobian_RKP / np.maximum(size_RK1, 1e-300), compute_uv=False)
    rank = int(np.max(np.sum(singular_RK > RANK * singular_RK[:, :1], axis=1), initial=0))
    if rank >= law.num_parameters:
        return None
    different = {name: len(np.unique(column)) for name, column in problem.columns.items()}
    counted = ", ".join(f"{count} value{'s' if count > 1 else ''} of {name}" for name, count in different.items())
    return "too_few_points", (
        f"{counted}: whatever the losses, they determine {rank} of the {law.num_parameters} parameters of {law.name}; "
        f"it needs {law.grid}"
    )


def _constant(log_P: Array) -> bool:
    return float(np.std(log_P)) < SPREAD


def _residual_spread(log_N: Array, log_D: Array) -> float:
    """The spread of log D that a straight line in log N leaves."""
    slope = float(np.cov(log_N, log_D, bias=True)[0, 1] / np.var(log_N))
    return float(np.std(log_D - slope * log_N))


def _size_and_data(columns: Columns, used: list[str]) -> tuple[Array, Array] | None:
    """log N and log D (up to constants) where the law reads two columns of scale."""
    if {"N", "D"} <= set(used):
        return np.log(columns["N"]), np.log(columns["D"])
    if {"C", "M"} <= set(used):
        log_C, log_M = np.log(columns["C"]), np.log(columns["M"])
        return (log_C - log_M) / 2, (log_C + log_M) / 2
    return None
