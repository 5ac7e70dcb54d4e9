"""The interval of a new run's loss, by profile likelihood.

The loss at the target is profiled: the law is refitted with a penalty that draws the prediction to either side, which
traces how much worse the fit of the points becomes as the prediction moves. The interval combines the values that the
prediction may have with the seed noise of a new run. For a linear law it is exactly the textbook prediction interval
with Student's t. Unlike percentiles of resampled fits, it is right where the constant term runs into zero.

Legend: P points, K parameters, Q queries, S queries of all studies, each refitted at G values, R replicates: the
studies, or both sides of every S, T active ones of these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windtunnel.analysis.fitting.noise import NOISELESS, ResidualNoise, fix_at_bounds, quantity_noise, residual_noise
from windtunnel.analysis.fitting.result import Fit, TwoStepFit
from windtunnel.analysis.laws.law import Array, Columns, require_columns
from windtunnel.analysis.solver.penalty import PredictionPenalty
from windtunnel.analysis.solver.problem import Problem
from windtunnel.train.errors import InputError

# Distances of the penalty's target, in half-widths of the interval that a linear law would have.
DISTANCES = np.array([0.3, 0.6, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 9.0])
PENALTY_WEIGHT = 9.0  # relative to the points
MAX_MOVE = 2.0  # in internal coordinates: how far a straight line is extrapolated


def predict_interval(
    fit: Fit, columns_at: Mapping[str, ArrayLike], level: float = 0.9, *, new_run: bool = True
) -> tuple[Array, Array, Array]:
    """Loss, low and high at each query, (Q,) each.

    new_run: the interval of a new run, seed noise included; otherwise of the law's value. Raises InputError where the
    fit was refused or a column is missing.
    """
    if isinstance(fit, TwoStepFit):
        return _two_step_interval(fit, columns_at, level, new_run=new_run)
    require_columns(fit.law, columns_at)
    at = {name: np.atleast_1d(np.asarray(columns_at[name], dtype=np.float64)) for name in fit.law.columns}
    for name, values_Q in at.items():
        if not np.isfinite(values_Q).all():
            raise InputError(f"{name} = {values_Q} is not a number to predict at")
    loss_Q = fit.predict(at)
    problem = fit.problem()
    noise = residual_noise(problem, problem.coordinates.to_internal(fit.natural_row()))
    low_RQ, high_RQ = interval_batch(
        problem, noise, at, fit.points.run_P, level, new_run=new_run, seed_noise=fit.seed_noise
    )
    return loss_Q, np.minimum(low_RQ[0], loss_Q), np.maximum(high_RQ[0], loss_Q)


def _two_step_interval(
    fit: TwoStepFit, columns_at: Mapping[str, ArrayLike], level: float, *, new_run: bool
) -> tuple[Array, Array, Array]:
    """The interval of the second step, and the effect of the first step's interval on it, added in squares."""
    first, second = fit.steps
    loss_Q, low_loss_Q, high_loss_Q = predict_interval(first, columns_at, level, new_run=new_run)
    name = first.law.target
    value_Q, low_Q, high_Q = predict_interval(second, {name: loss_Q}, level, new_run=new_run)
    moved_2Q = np.stack([second.predict({name: ends_Q}) for ends_Q in (low_loss_Q, high_loss_Q)])
    down_Q = np.hypot(value_Q - low_Q, np.maximum(value_Q - moved_2Q.min(axis=0), 0.0))
    up_Q = np.hypot(high_Q - value_Q, np.maximum(moved_2Q.max(axis=0) - value_Q, 0.0))
    return value_Q, value_Q - down_Q, value_Q + up_Q


def interval_batch(
    problem: Problem,
    noise: ResidualNoise,
    at: Columns,
    run_P: NDArray[Any],
    level: float,
    *,
    new_run: bool = True,
    seed_noise: float | None = None,
) -> tuple[Array, Array]:
    """Low and high at every query for every replicate of a batch of studies: (R, Q) each."""
    from scipy.special import stdtrit  # loads slowly

    log = problem.objective.log
    noise = fix_at_bounds(problem, noise)
    num_studies, num_queries = len(noise.internal_RK), len(next(iter(at.values())))
    study_S, query_S = (index.ravel() for index in np.indices((num_studies, num_queries)))
    unpenalized = PredictionPenalty(at, query_S, np.zeros(len(study_S)), np.zeros(len(study_S)), log)
    center_S, gradient_SK = unpenalized.predict(
        problem.coordinates, noise.internal_RK[study_S], np.arange(len(study_S))
    )
    unit_S, variance_S, run_variance_S, degrees_S = quantity_noise(noise, gradient_SK, run_P, study_S)
    if seed_noise is not None and noise.degrees < 3:
        seed_variance_S = (seed_noise * (1.0 if log else center_S)) ** 2
        run_variance_S = np.maximum(run_variance_S, seed_variance_S)
    if noise.degrees < 1:
        ends = np.full((num_studies, num_queries), 0.0 if log else -np.inf)
        return ends, np.full_like(ends, np.inf)
    quantile_S = stdtrit(degrees_S, 0.5 + level / 2)
    deviation_S = np.sqrt(variance_S)
    # From the root of `_trace` to standard deviations of the law's value.
    scale_S = np.sqrt(unit_S / np.maximum(variance_S, 1e-300))
    query = _Queries(study_S, query_S, center_S, gradient_SK, unit_S, quantile_S * deviation_S, quantile_S / scale_S)
    value_SG, root_SG = _trace(problem, noise, at, query)
    root_SG = root_SG * scale_S[:, None]
    spread_S = np.sqrt(run_variance_S) if new_run else np.zeros_like(center_S)
    low_S, high_S = np.empty_like(center_S), np.empty_like(center_S)
    for number, study in enumerate(study_S):
        if noise.variance_R[study] < NOISELESS**2:
            low_S[number] = high_S[number] = center_S[number]
            continue
        low_S[number], high_S[number] = _ends(
            value_SG[number], root_SG[number], float(quantile_S[number]), float(spread_S[number])
        )
    if log:
        low_S, high_S = np.exp(low_S), np.exp(high_S)
    return low_S.reshape(num_studies, num_queries), high_S.reshape(num_studies, num_queries)


@dataclass(frozen=True)
class _Queries:
    """Queries, each of one study: the prediction, its gradient, its variance as if points had unit variance, the
    half-width that the interval of a linear law would have, and the root (as in `_trace`) at its end.
    """

    study_S: NDArray[np.intp]
    query_S: NDArray[np.intp]
    center_S: Array
    gradient_SK: Array
    unit_S: Array
    half_width_S: Array
    end_root_S: Array


def _trace(problem: Problem, noise: ResidualNoise, at: Columns, query: _Queries) -> tuple[Array, Array]:
    """The prediction (S, G), increasing along G, and the signed root of how much worse the fit is there, scaled to be
    (prediction - center) / sqrt(unit) in a linear law, out to `end_root_S`.

    Both sides of every query move outward together, step by step, each refit starting at the last one: a penalty far
    out at once may lead to another valley.
    """
    num_queries, num_steps = len(query.study_S), len(DISTANCES)
    sign_R = np.repeat([-1.0, 1.0], num_queries)
    of_R = np.tile(np.arange(num_queries), 2)
    direction_SK = np.matmul(noise.inverse_RKK[query.study_S], query.gradient_SK[:, :, None])[:, :, 0]
    # Per side: prediction and root at every step, the parameters after the last step, and their slope by the offset.
    value_RG = np.repeat(query.center_S[of_R, None], num_steps + 1, axis=1)
    root_RG = np.zeros_like(value_RG)
    current_RK = noise.internal_RK[query.study_S[of_R]]
    slope_RK = (direction_SK / query.unit_S[:, None])[of_R]
    active, reached = np.arange(2 * num_queries), 0.0
    for step, distance in enumerate(DISTANCES, start=1):
        of_T = of_R[active]
        ahead_T = sign_R[active] * (distance - reached) * query.half_width_S[of_T]
        offset_T = sign_R[active] * distance * query.half_width_S[of_T]
        moved_TK = np.clip(slope_RK[active] * ahead_T[:, None], -MAX_MOVE, MAX_MOVE)
        refit_TK, value_T, root_T = _refit(problem, noise, at, query, of_T, offset_T, current_RK[active], moved_TK)
        outward_T = (sign_R[active] * (value_T - value_RG[active, step - 1]) >= 0) & (
            root_T >= root_RG[active, step - 1]
        )
        # A point that does not lie outward of the last is in another valley.
        value_RG[active, step:] = np.where(outward_T, value_T, value_RG[active, step - 1])[:, None]
        root_RG[active, step:] = np.where(outward_T, root_T, root_RG[active, step - 1])[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope_TK = np.nan_to_num((refit_TK - current_RK[active]) / ahead_T[:, None], posinf=0.0, neginf=0.0)
        slope_RK[active] = np.where(outward_T[:, None], slope_TK, slope_RK[active])
        current_RK[active] = np.where(outward_T[:, None], refit_TK, current_RK[active])
        active, reached = active[root_RG[active, step] < query.end_root_S[of_T]], distance
        if not len(active):
            break
    below, above = slice(0, num_queries), slice(num_queries, None)
    value_SG = np.concatenate([value_RG[below, :0:-1], value_RG[above]], axis=1)
    return value_SG, np.concatenate([-root_RG[below, :0:-1], root_RG[above]], axis=1)


def _refit(
    problem: Problem,
    noise: ResidualNoise,
    at: Columns,
    query: _Queries,
    of_T: NDArray[np.intp],
    offset_T: Array,
    current_TK: Array,
    moved_TK: Array,
) -> tuple[Array, Array, Array]:
    """The parameters (T, K) under a penalty that would move a linear law's prediction by `offset_T`, the prediction
    (T,), and the root of how much worse the fit is (T,). The solver starts at the last parameters, or moved by
    `moved_TK` if that is better.
    """
    study_T = query.study_S[of_T]
    penalty = PredictionPenalty(
        at,
        query.query_S[of_T],
        query.center_S[of_T] + offset_T * (1 + PENALTY_WEIGHT) / PENALTY_WEIGHT,
        PENALTY_WEIGHT * noise.inside_R[study_T] / query.unit_S[of_T],
        problem.objective.log,
    )
    subproblem = replace(
        problem,
        target=problem.target if problem.target.ndim == 1 else problem.target[study_T],
        weights=problem.weights if problem.weights.ndim == 1 else problem.weights[study_T],
    )
    delta_T1, rows = noise.delta_R1[study_T], np.arange(len(of_T))
    starts_2TK = np.clip(
        np.stack([current_TK, current_TK + moved_TK]), subproblem.coordinates.lower_K, subproblem.coordinates.upper_K
    )
    cost_2T = np.stack(
        [
            subproblem.huber(start_TK, delta_T1)
            + penalty.cost(penalty.predict(subproblem.coordinates, start_TK, rows)[0])
            for start_TK in starts_2TK
        ]
    )
    start_TK = starts_2TK[np.argmin(np.nan_to_num(cost_2T, nan=np.inf), axis=0), rows]
    solution = subproblem.solve(start_TK, [delta_T1], max_iterations=80, tolerance=1e-9, penalty=penalty)
    value_T, _ = penalty.predict(subproblem.coordinates, solution.internal_RK, rows)
    rise_T = solution.value_R - penalty.cost(value_T) - noise.value_R[study_T]
    return solution.internal_RK, value_T, np.sqrt(np.maximum(2 * rise_T / noise.inside_R[study_T], 0.0))


def _ends(value_G: Array, root_G: Array, quantile: float, spread: float) -> tuple[float, float]:
    """The ends of the interval, from the traced roots in standard deviations: the farthest that a new run may be from
    any value the law may have, where the two distances add in squares up to the quantile.
    """
    fine = np.linspace(0, len(value_G) - 1, 16 * len(value_G) + 1)
    place = np.arange(len(value_G))
    fine_value, fine_root = np.interp(fine, place, value_G), np.interp(fine, place, root_G)
    room = quantile**2 - fine_root**2
    inside = room >= 0
    reach = spread * np.sqrt(np.maximum(room, 0.0))
    low = float(np.min(np.where(inside, fine_value - reach, np.inf)))
    high = float(np.max(np.where(inside, fine_value + reach, -np.inf)))
    if root_G.min() > -quantile:
        low = -np.inf
    if root_G.max() < quantile:
        high = np.inf
    return low, high
