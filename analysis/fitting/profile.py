"""Profile likelihood intervals of every parameter.

The other parameters are refitted along each parameter, and its interval is where the objective stays within what the
noise allows. Where the profile stays below that on one side, the interval is unbounded and the parameter is not
identified.

Where the threshold matched to the residuals differs from the declared one, both are profiled. The matched threshold has
the narrower intervals for normal noise; the declared one made the fit and may leave a side unbounded that the other
bounds. The interval is the union.

Legend: P points, K parameters, T thresholds, R searches: both ends of the interval of every parameter, at every
threshold.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.fitting.noise import (
    ResidualNoise,
    declared_noise,
    is_noiseless,
    quantity_noise,
    residual_noise,
)
from windtunnel.analysis.fitting.profile_search import MAX_MOVE, NO_ROOM, ProfileSearch, find_ends
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.solver.coordinates import Coordinates
from windtunnel.analysis.solver.problem import Problem

# How far a profile is followed: a positive parameter by a factor of e**25, any other by half-widths that the interval
# of a linear law would have.
MAX_LOG_DISTANCE, MAX_HALF_WIDTHS = 25.0, 1e3


def profile_parameters(
    problem: Problem, internal_K: Array, run_P: NDArray[Any], *, level: float
) -> dict[str, tuple[float, float]]:
    """The interval of each parameter, in natural values."""
    names = problem.law.names
    natural_K = problem.coordinates.to_natural(internal_K[None])[0]
    matched = residual_noise(problem, internal_K[None])
    if is_noiseless(matched):
        return {name: (float(value), float(value)) for name, value in zip(names, natural_K, strict=True)}
    declared = declared_noise(problem, internal_K[None], matched)
    noises = [matched] if declared is None else [matched, declared]
    if matched.degrees < 1:
        end_T2K = np.tile(np.array([[-np.inf], [np.inf]]), (1, 1, len(names)))
    else:
        searches = [_prepare_search(problem, noise, run_P, level) for noise in noises]
        end_T2K = find_ends(problem, ProfileSearch.joined(searches)).reshape(len(noises), 2, len(names))
    low_K, high_K = end_T2K[:, 0].min(axis=0), end_T2K[:, 1].max(axis=0)
    intervals = {}
    for number, parameter in enumerate(problem.law.parameters):
        low, high = float(low_K[number]), float(high_K[number])
        if parameter.positive:
            low, high = float(np.exp(low)), float(np.exp(high))
        # Within the bounds of the fit. The fitted value is inside, whatever threshold it was fitted at.
        value = float(natural_K[number])
        intervals[parameter.name] = (min(max(low, parameter.minimum), value), max(high, value))
    return intervals


def open_parameters(law: Law, intervals: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """The parameters that are not identified: the data do not bound their interval on a side."""
    return tuple(
        parameter.name
        for parameter in law.parameters
        if parameter.name in intervals
        and (not np.isfinite(intervals[parameter.name][1]) or intervals[parameter.name][0] <= parameter.minimum)
    )


def _prepare_search(problem: Problem, noise: ResidualNoise, run_P: NDArray[Any], level: float) -> ProfileSearch:
    """The searches for both ends of every parameter's interval: start, first step, and the rise that ends them."""
    from scipy.special import stdtrit  # loads slowly

    coordinates, num_parameters = problem.coordinates, problem.law.num_parameters
    gradient_KK = _gradients(coordinates, noise.internal_RK[0])
    unit_K, variance_K, _, degrees_K = quantity_noise(noise, gradient_KK, run_P, np.zeros(num_parameters, np.intp))
    quantile_K = stdtrit(degrees_K, 0.5 + level / 2)
    # The rise of the Huber sum at an end: near the optimum, rise = inside * distance**2 / (2 * unit).
    rise_K = 0.5 * noise.inside_R[0] * quantile_K**2 * variance_K / unit_K
    expected_K = quantile_K * np.sqrt(variance_K)
    parameter_R = np.tile(np.arange(num_parameters), 2)
    sign_R = np.repeat([-1.0, 1.0], num_parameters)
    uncentered = coordinates.uncentered(parameter_R)
    start_RK = uncentered.to_internal(coordinates.to_natural(np.tile(noise.internal_RK[0], (len(sign_R), 1))))
    searches = np.arange(len(sign_R))
    room_R = np.where(sign_R > 0, uncentered.upper_K[searches, parameter_R], -uncentered.lower_K[searches, parameter_R])
    room_R = np.abs(room_R - sign_R * start_RK[searches, parameter_R])
    reach_K = np.where(coordinates.positive_K, MAX_LOG_DISTANCE, MAX_HALF_WIDTHS * expected_K)
    furthest_R = np.minimum(room_R, reach_K[parameter_R])
    first_R = np.clip(expected_K[parameter_R], NO_ROOM, np.maximum(furthest_R, NO_ROOM))
    # In a linear law the other parameters follow along this straight line.
    slope_KK = (gradient_KK @ noise.inverse_RKK[0]) / unit_K[:, None]
    moved_RK = np.clip((sign_R * first_R)[:, None] * slope_KK[parameter_R], -MAX_MOVE, MAX_MOVE)
    along_RK = np.clip(noise.internal_RK[0] + moved_RK, coordinates.lower_K, coordinates.upper_K)
    return ProfileSearch(
        parameter_R=parameter_R,
        sign_R=sign_R,
        start_RK=start_RK,
        first_R=first_R,
        first_RK=uncentered.to_internal(coordinates.to_natural(along_RK)),
        furthest_R=furthest_R,
        value_R=np.full(len(sign_R), noise.value_R[0]),
        rise_R=rise_K[parameter_R],
        delta_R1=np.full((len(sign_R), 1), noise.delta_R1[0, 0]),
    )


def _gradients(coordinates: Coordinates, internal_K: Array) -> Array:
    """The gradient of each parameter in uncentered coordinates, (K, K), one row for each parameter."""
    gradient_KK = np.eye(len(internal_K))
    natural_K = coordinates.to_natural(internal_K[None])[0]
    for amplitude, exponent, mean_log in coordinates.couplings:
        gradient_KK[amplitude, exponent] = mean_log * (natural_K[exponent] if coordinates.positive_K[exponent] else 1.0)
        if not coordinates.positive_K[amplitude]:
            gradient_KK[amplitude, exponent] *= natural_K[amplitude]
            gradient_KK[amplitude, amplitude] = np.exp(natural_K[exponent] * mean_log)
    return gradient_KK
