"""The interval of a new run's loss, by profile likelihood.

The loss at the target is profiled: the law is refitted with a pull towards losses on either side, which traces how much
worse the fit of the points becomes as the prediction moves. Values it may have, and a new run's seed noise about each,
make the interval; in a linear law this is exactly the textbook prediction interval with Student's t, and, unlike
percentiles of resampled fits, it is right when the constant term runs into zero.

Legend: P points, R replicates (studies), K parameters, G grid values, Q queries.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.fit_document import Fit
from analysis.law import Array, Columns, require_columns
from analysis.objective import parse_objective
from analysis.problem import Problem
from analysis.residual_noise import NOISELESS, ResidualNoise, quantity_noise, residual_noise
from train.errors import InputError

# Distances of the pull, in half-widths of the interval a linear law would have.
DISTANCES = np.array([0.3, 0.6, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 9.0])
PULL = 9.0  # weight of the pull relative to the points'


def predict_interval(
    fit: Fit, columns_at: Mapping[str, ArrayLike], level: float = 0.9, *, new_run: bool = True
) -> tuple[Array, Array, Array]:
    """Loss, low and high at each query, (Q,) each. The interval is of a new run, seed noise included, or of the law's
    value where `new_run` is false. Raises InputError where the fit was refused or a column is missing.
    """
    from analysis.chain import Chain

    if isinstance(fit, Chain):
        return fit.interval(columns_at, level)
    require_columns(fit.law, columns_at)
    at = {name: np.atleast_1d(np.asarray(columns_at[name], dtype=np.float64)) for name in fit.law.columns}
    for name, values_Q in at.items():
        if not np.isfinite(values_Q).all():
            raise InputError(f"{name} = {values_Q} is not a number to predict at")
    loss_Q = fit.predict(at)
    points = fit.points
    problem = Problem.of(fit.law, points.columns, points.target_P, points.weights_P, parse_objective(fit.objective))
    noise = residual_noise(problem, problem.coordinates.to_internal(fit.natural_row()))
    low_Q, high_Q = np.empty_like(loss_Q), np.empty_like(loss_Q)
    for query in range(len(loss_Q)):
        one = {name: values_Q[query : query + 1] for name, values_Q in at.items()}
        low_R, high_R = interval_batch(
            problem, noise, one, points.run_P, level, new_run=new_run, seed_noise=fit.seed_noise
        )
        low_Q[query] = min(low_R[0], loss_Q[query])
        high_Q[query] = max(high_R[0], loss_Q[query])
    return loss_Q, low_Q, high_Q


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
    """Low and high at one query for every replicate of a batch of studies: (R,) each."""
    from scipy.special import stdtrit

    log = problem.objective.log
    prediction_R1, jacobian_RK1 = problem.coordinates.predict_with_jacobian(noise.internal_RK, at)
    centre_R = np.log(prediction_R1[:, 0]) if log else prediction_R1[:, 0]
    gradient_RK = jacobian_RK1[:, :, 0] / (prediction_R1 if log else 1.0)
    unit_R, variance_R, run_variance_R, degrees_R = quantity_noise(noise, gradient_RK, run_P)
    if seed_noise is not None and noise.degrees < 3:
        seed_variance_R = (seed_noise * (1.0 if log else prediction_R1[:, 0])) ** 2
        run_variance_R = np.maximum(run_variance_R, seed_variance_R)
    if noise.degrees < 1:
        return np.full(len(centre_R), 0.0 if log else -np.inf), np.full(len(centre_R), np.inf)
    quantile_R = stdtrit(degrees_R, 0.5 + level / 2)
    deviation_R = np.sqrt(variance_R)
    value_RG, root_RG = _trace(problem, noise, at, centre_R, gradient_RK, unit_R, quantile_R * deviation_R)
    root_RG = root_RG * np.sqrt(unit_R / np.maximum(variance_R, 1e-300))[:, None]
    spread_R = np.sqrt(run_variance_R) if new_run else np.zeros_like(centre_R)
    low_R, high_R = np.empty_like(centre_R), np.empty_like(centre_R)
    for replicate in range(len(centre_R)):
        if noise.variance_R[replicate] < NOISELESS**2:
            low_R[replicate] = high_R[replicate] = centre_R[replicate]
            continue
        low_R[replicate], high_R[replicate] = _ends(
            value_RG[replicate], root_RG[replicate], float(quantile_R[replicate]), float(spread_R[replicate])
        )
    return (np.exp(low_R), np.exp(high_R)) if log else (low_R, high_R)


def _trace(
    problem: Problem,
    noise: ResidualNoise,
    at: Columns,
    centre_R: Array,
    gradient_RK: Array,
    unit_R: Array,
    half_width_R: Array,
) -> tuple[Array, Array]:
    """The prediction (R, G), increasing along G, and the signed root of how much worse the fit is there, scaled to be
    (prediction - centre) / sqrt(unit) in a linear law.
    """
    num_replicates = len(centre_R)
    offset_G = np.concatenate([-DISTANCES[::-1], DISTANCES])
    offset_RG = half_width_R[:, None] * offset_G
    study_S = np.repeat(np.arange(num_replicates), len(offset_G))
    offset_S = offset_RG.ravel()
    wanted_S = centre_R[study_S] + offset_S * (1 + PULL) / PULL
    everyone = np.arange(num_replicates)
    target_RP = np.broadcast_to(problem.rows(problem.target, everyone), (num_replicates, _num_points(problem)))
    weights_RP = np.broadcast_to(problem.rows(problem.weights, everyone), target_RP.shape)
    goal_S = np.exp(wanted_S) if problem.objective.log else wanted_S
    pull_S = (PULL * noise.inside_R / unit_R)[study_S]
    pulled = replace(
        problem,
        columns={name: np.concatenate([problem.columns[name], at[name]]) for name in problem.columns},
        target=np.concatenate([target_RP[study_S], goal_S[:, None]], axis=1),
        weights=np.concatenate([weights_RP[study_S], pull_S[:, None]], axis=1),
    )
    # The pull is quadratic at any distance, also where the points are under a Huber loss.
    delta_SP = np.broadcast_to(noise.delta_R1[study_S], pulled.target.shape).copy()
    delta_SP[:, -1] = np.inf
    direction_RK = np.einsum("rkj,rj->rk", noise.inverse_RKK, gradient_RK) / unit_R[:, None]
    step_SK = direction_RK[study_S] * offset_S[:, None]
    largest_S1 = np.abs(step_SK).max(axis=1, keepdims=True)
    start_SK = noise.internal_RK[study_S] + step_SK * np.minimum(1.0, 2.0 / np.maximum(largest_S1, 1e-300))
    found = pulled.solve(start_SK, [delta_SP], max_iterations=80, tolerance=1e-9)
    prediction_S = pulled.coordinates.predict(found.internal_RK, at)[:, 0]
    value_S = np.log(prediction_S) if problem.objective.log else prediction_S
    rise_S = found.value_R - 0.5 * pull_S * (wanted_S - value_S) ** 2 - noise.value_R[study_S]
    root_S = np.sign(offset_S) * np.sqrt(np.maximum(2 * rise_S / noise.inside_R[study_S], 0.0))
    shape = (num_replicates, len(offset_G))
    middle = len(DISTANCES)
    value_RG = np.insert(value_S.reshape(shape), middle, centre_R, axis=1)
    root_RG = np.insert(root_S.reshape(shape), middle, 0.0, axis=1)
    for side in (range(middle - 1, -1, -1), range(middle + 1, len(offset_G) + 1)):
        sign = 1 if side.step > 0 else -1
        for here in side:
            # A refit pulled far may end in another valley: what does not lie outward of its neighbour is dropped.
            astray_R = (sign * (value_RG[:, here] - value_RG[:, here - sign]) < 0) | (
                sign * (root_RG[:, here] - root_RG[:, here - sign]) < 0
            )
            value_RG[:, here] = np.where(astray_R, value_RG[:, here - sign], value_RG[:, here])
            root_RG[:, here] = np.where(astray_R, root_RG[:, here - sign], root_RG[:, here])
    return value_RG, root_RG


def _num_points(problem: Problem) -> int:
    return int(np.shape(problem.target)[-1])


def _ends(value_G: Array, root_G: Array, quantile: float, spread: float) -> tuple[float, float]:
    """The ends, from the traced roots in standard deviations: the farthest a new run may be from any value the law may
    have there, the two distances adding in squares up to the quantile's.
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
