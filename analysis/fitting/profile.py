"""Profile likelihood of every parameter: the others are refitted along it, and an interval is where the objective stays
within what the noise allows. A profile that never rises above that on one side is flat: the data do not identify the
parameter, and its interval is open.

Two objectives are asked where they differ: that at the threshold matched to the residuals, whose intervals are the
narrower for normal noise, and the declared one, which made the fit and may leave open what the other closes. The
interval is the union: a parameter that either leaves open is not identified.

Legend: P points, K parameters, R replicates: the ends of all intervals, of each parameter two (below and above) at each
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
from windtunnel.analysis.fitting.profile_search import STRAIGHT, TINY, Walk, walk_out
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.solver.coordinates import Coordinates
from windtunnel.analysis.solver.problem import Problem

OPEN_POSITIVE = 25.0  # a factor of e**25 from the optimum without a rise is open


def profile_parameters(
    problem: Problem, internal_K: Array, run_P: NDArray[Any], *, level: float
) -> dict[str, tuple[float, float]]:
    """The interval of each parameter in natural values."""
    names = problem.law.names
    natural_K = problem.coordinates.to_natural(internal_K[None])[0]
    matched = residual_noise(problem, internal_K[None])
    if is_noiseless(matched):
        return {name: (float(value), float(value)) for name, value in zip(names, natural_K, strict=True)}
    declared = declared_noise(problem, internal_K[None], matched)
    noises = [matched] if declared is None else [matched, declared]
    if matched.degrees < 1:
        held_T2K = np.tile(np.array([[-np.inf], [np.inf]]), (1, 1, len(names)))
    else:
        walks = [_walk(problem, noise, run_P, level) for noise in noises]
        held_T2K = walk_out(problem, Walk.joined(walks)).reshape(len(noises), 2, len(names))
    low_K, high_K = held_T2K[:, 0].min(axis=0), held_T2K[:, 1].max(axis=0)
    intervals = {}
    for number, parameter in enumerate(problem.law.parameters):
        low, high = float(low_K[number]), float(high_K[number])
        if parameter.positive:
            low, high = float(np.exp(low)), float(np.exp(high))
        # Within the bounds of the fit; the value fitted is inside, whatever the threshold it was fitted at.
        value = float(natural_K[number])
        intervals[parameter.name] = (min(max(low, parameter.minimum), value), max(high, value))
    return intervals


def open_parameters(law: Law, intervals: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """Those whose interval has an end that the data do not set: they are not identified."""
    return tuple(
        parameter.name
        for parameter in law.parameters
        if parameter.name in intervals
        and (not np.isfinite(intervals[parameter.name][1]) or intervals[parameter.name][0] <= parameter.minimum)
    )


def _walk(problem: Problem, noise: ResidualNoise, run_P: NDArray[Any], level: float) -> Walk:
    """Where the walks to both ends of every parameter's interval start, how far they are expected to go, and what rise
    ends them.
    """
    from scipy.special import stdtrit

    coordinates, num_parameters = problem.coordinates, problem.law.num_parameters
    gradient_KK = _gradients(coordinates, noise.internal_RK[0])
    unit_K, variance_K, _, degrees_K = quantity_noise(noise, gradient_KK, run_P, np.zeros(num_parameters, np.intp))
    quantile_K = stdtrit(degrees_K, 0.5 + level / 2)
    # The rise of the Huber sum at an end, from rise = inside * (distance)**2 / (2 * unit) near the optimum.
    rise_K = 0.5 * noise.inside_R[0] * quantile_K**2 * variance_K / unit_K
    expected_K = quantile_K * np.sqrt(variance_K)
    parameter_R = np.tile(np.arange(num_parameters), 2)
    sign_R = np.repeat([-1.0, 1.0], num_parameters)
    own = coordinates.uncentred(parameter_R)
    start_RK = own.to_internal(coordinates.to_natural(np.tile(noise.internal_RK[0], (len(sign_R), 1))))
    everyone = np.arange(len(sign_R))
    room_R = np.where(sign_R > 0, own.upper_K[everyone, parameter_R], -own.lower_K[everyone, parameter_R])
    room_R = np.abs(room_R - sign_R * start_RK[everyone, parameter_R])
    reach_K = np.where(coordinates.positive_K, OPEN_POSITIVE, 1e3 * expected_K)
    furthest_R = np.minimum(room_R, reach_K[parameter_R])
    first_R = np.clip(expected_K[parameter_R], TINY, np.maximum(furthest_R, TINY))
    # The straight line along which the others follow in a linear law.
    slope_KK = (gradient_KK @ noise.inverse_RKK[0]) / unit_K[:, None]
    moved_RK = np.clip((sign_R * first_R)[:, None] * slope_KK[parameter_R], -STRAIGHT, STRAIGHT)
    along_RK = np.clip(noise.internal_RK[0] + moved_RK, coordinates.lower_K, coordinates.upper_K)
    return Walk(
        parameter_R=parameter_R,
        sign_R=sign_R,
        start_RK=start_RK,
        first_R=first_R,
        first_RK=own.to_internal(coordinates.to_natural(along_RK)),
        furthest_R=furthest_R,
        value_R=np.full(len(sign_R), noise.value_R[0]),
        rise_R=rise_K[parameter_R],
        delta_R1=np.full((len(sign_R), 1), noise.delta_R1[0, 0]),
    )


def _gradients(coordinates: Coordinates, internal_K: Array) -> Array:
    """The gradient of each parameter in uncentred coordinates, (K, K): a row a parameter."""
    gradient_KK = np.eye(len(internal_K))
    natural_K = coordinates.to_natural(internal_K[None])[0]
    for amplitude, exponent, mean_log in coordinates.couplings:
        gradient_KK[amplitude, exponent] = mean_log * (natural_K[exponent] if coordinates.positive_K[exponent] else 1.0)
        if not coordinates.positive_K[amplitude]:
            gradient_KK[amplitude, exponent] *= natural_K[amplitude]
            gradient_KK[amplitude, amplitude] = np.exp(natural_K[exponent] * mean_log)
    return gradient_KK
