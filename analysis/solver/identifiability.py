"""Whether the design of a table can identify a law's parameters at all. One size, one budget or one ratio cannot, and
two sizes cannot identify a power law plus constant.

Legend: P points, R points of parameter space, K parameters.
"""

from typing import Literal

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import subsample

DesignStatus = Literal["one_size", "one_budget", "one_ratio", "too_few_points"]
# A direction in (log N, log D) with a smaller standard deviation than this does not count as varied.
MIN_SPREAD = 0.03
SCALE_COLUMNS = ("N", "D", "C", "M")
# Derivatives are linearly dependent where a singular value is below this share of the largest.
RANK_TOLERANCE = 1e-9


def design_problem(
    law: Law, columns: Columns, num_points: int, allow_few_points: bool = False
) -> tuple[DesignStatus, str] | None:
    """Why the law cannot be fitted to these points, and what to do about it; or None. allow_few_points: allow as many
    points as parameters; the rule is two points more.
    """
    needed = law.num_parameters + (0 if allow_few_points else 2)
    if num_points < needed:
        enough_with_option = num_points >= law.num_parameters and not allow_few_points
        hint = "add runs, or pass allow_few_points=True" if enough_with_option else "add runs"
        return "too_few_points", (
            f"{num_points} points for the {law.num_parameters} parameters of {law.name}, which needs {needed}; {hint}"
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
    if _residual_spread(log_N, log_D) < MIN_SPREAD:
        return "one_ratio", f"D follows from N in this table; {law.name} needs them varied independently: {law.grid}"
    return None


def rank_problem(problem: Problem, internal_RK: Array) -> tuple[DesignStatus, str] | None:
    """Why these points cannot identify all parameters whatever their losses are, or None. They cannot where the law's
    derivatives by its parameters are linearly dependent at all of these internal parameters (R, K).
    """
    few, law = subsample(problem), problem.law
    _, jacobian_RKP = few.coordinates.predict_with_jacobian(internal_RK, few.columns)
    jacobian_RKP = np.nan_to_num(jacobian_RKP)
    size_RK1 = np.sqrt(np.sum(jacobian_RKP**2, axis=2, keepdims=True))
    singular_RK = np.linalg.svd(jacobian_RKP / np.maximum(size_RK1, 1e-300), compute_uv=False)
    rank = int(np.max(np.sum(singular_RK > RANK_TOLERANCE * singular_RK[:, :1], axis=1), initial=0))
    if rank >= law.num_parameters:
        return None
    counts = {name: len(np.unique(column)) for name, column in problem.columns.items()}
    values = ", ".join(f"{count} value{'s' if count > 1 else ''} of {name}" for name, count in counts.items())
    return "too_few_points", (
        f"{values} identify {rank} of the {law.num_parameters} parameters of {law.name}, whatever the losses; "
        f"it needs {law.grid}"
    )


def _constant(log_P: Array) -> bool:
    return float(np.std(log_P)) < MIN_SPREAD


def _residual_spread(log_N: Array, log_D: Array) -> float:
    """The standard deviation of log D about its straight line in log N."""
    slope = float(np.cov(log_N, log_D, bias=True)[0, 1] / np.var(log_N))
    return float(np.std(log_D - slope * log_N))


def _size_and_data(columns: Columns, used: list[str]) -> tuple[Array, Array] | None:
    """log N and log D, up to constants, where the law reads two columns of scale."""
    if {"N", "D"} <= set(used):
        return np.log(columns["N"]), np.log(columns["D"])
    if {"C", "M"} <= set(used):
        log_C, log_M = np.log(columns["C"]), np.log(columns["M"])
        return (log_C - log_M) / 2, (log_C + log_M) / 2
    return None
