"""Profile likelihood of every parameter: the others are refitted along it, and an interval is where the objective stays
within what the noise allows. A profile that never rises above that on one side is flat: the data do not identify the
parameter, and its interval is open.

Two objectives are asked where they differ: that at the threshold matched to the residuals, whose intervals are the
narrower for normal noise, and the declared one, which made the fit and may leave open what the other closes. The
interval is the union: a parameter that either leaves open is not identified.

Legend: P points, G and F grid values, K parameters, 2 the lower and the upper side.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.coordinates import Coordinates
from analysis.law import Array, Law
from analysis.problem import Problem
from analysis.residual_noise import ResidualNoise, declared_noise, is_noiseless, quantity_noise, residual_noise

OPEN_POSITIVE = 25.0  # a factor of e**25 from the optimum without a rise is open
GRID = 9
REFINED = 5


def profile_parameters(
    problem: Problem, internal_K: Array, run_P: NDArray[Any], *, level: float
) -> dict[str, tuple[float, float]]:
    """The interval of each parameter in natural values."""
    intervals: dict[str, tuple[float, float]] = {}
    natural_RK = problem.coordinates.to_natural(internal_K[None])
    noise = residual_noise(problem, internal_K[None])
    if is_noiseless(noise):
        return {name: (float(v), float(v)) for name, v in zip(problem.law.names, natural_RK[0], strict=True)}
    for index, parameter in enumerate(problem.law.parameters):
        own = problem
        if any(index == amplitude for amplitude, _, _ in problem.coordinates.couplings):
            own = replace(problem, coordinates=_uncentred(problem.coordinates, index))
        start_RK = own.coordinates.to_internal(natural_RK)
        matched = residual_noise(own, start_RK)
        declared = declared_noise(own, start_RK, matched)
        ends = [_interval(own, one, index, run_P, level) for one in (matched, declared) if one is not None]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        if parameter.positive:
            low, high = float(np.exp(low)), float(np.exp(high))
        # Within the bounds of the fit; the value fitted is inside, whatever the threshold it was fitted at.
        value = float(natural_RK[0, index])
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


def _uncentred(coordinates: Coordinates, amplitude: int) -> Coordinates:
    """Coordinates in which that amplitude is the natural one, so that holding it holds what is reported."""
    lower_K, upper_K = coordinates.lower_K.copy(), coordinates.upper_K.copy()
    bound = 690.0 if coordinates.positive_K[amplitude] else np.inf
    lower_K[amplitude], upper_K[amplitude] = -bound, bound
    kept = tuple(coupling for coupling in coordinates.couplings if coupling[0] != amplitude)
    return replace(coordinates, couplings=kept, lower_K=lower_K, upper_K=upper_K)


def _interval(
    problem: Problem, noise: ResidualNoise, index: int, run_P: NDArray[Any], level: float
) -> tuple[float, float]:
    """The interval in the internal coordinate; infinite ends are open."""
    from scipy.special import stdtrit

    if noise.degrees < 1:
        return -np.inf, np.inf
    gradient_RK = np.eye(problem.law.num_parameters)[index : index + 1]
    unit_R, variance_R, _, degrees_R = quantity_noise(noise, gradient_RK, run_P)
    quantile = float(stdtrit(degrees_R[0], 0.5 + level / 2))
    # The rise of the Huber sum at an end, from rise = inside * (distance)**2 / (2 * unit) near the optimum.
    rise = 0.5 * noise.inside_R[0] * quantile**2 * variance_R[0] / unit_R[0]
    expected = quantile * float(np.sqrt(variance_R[0]))
    bound_2 = np.array([problem.coordinates.lower_K[index], problem.coordinates.upper_K[index]])
    room_2 = np.abs(bound_2 - noise.internal_RK[0, index])
    furthest_2 = np.minimum(room_2, OPEN_POSITIVE if problem.coordinates.positive_K[index] else 1e3 * expected)
    return _ends(problem, noise, index, np.minimum(expected, furthest_2), furthest_2, rise)


def _ends(
    problem: Problem, noise: ResidualNoise, index: int, expected_2: Array, furthest_2: Array, rise: float
) -> tuple[float, float]:
    """Where the profile crosses `rise` below and above: a geometric grid about the expected distances, then a finer
    one, both sides as one batch.
    """
    centre_K = noise.internal_RK[0]
    sign_2 = np.array([-1.0, 1.0])
    distance_2G = np.array([_grid(*pair) for pair in zip(expected_2, furthest_2, strict=True)])
    held_2G = centre_K[index] + sign_2[:, None] * distance_2G
    slope_K = noise.inverse_RKK[0][:, index] / noise.inverse_RKK[0][index, index]
    start_2GK = centre_K + (held_2G - centre_K[index])[:, :, None] * slope_K
    # A linear guess far out goes astray.
    start_2GK = np.where(np.abs(start_2GK - centre_K) < 3.0, start_2GK, centre_K)
    solved_2GK, rise_2G = _refit(problem, noise, index, start_2GK, held_2G)
    # Each point once more from its inner neighbour's solution.
    neighbour_2GK = np.concatenate([np.tile(centre_K, (2, 1, 1)), solved_2GK[:, :-1]], axis=1)
    again_2GK, again_2G = _refit(problem, noise, index, neighbour_2GK, held_2G)
    solved_2GK = np.where((again_2G < rise_2G)[:, :, None], again_2GK, solved_2GK)
    rise_2G = np.minimum(rise_2G, again_2G)
    # Bracket the crossing; the optimum itself is the point before the first.
    distance_2G = np.concatenate([np.zeros((2, 1)), distance_2G], axis=1)
    rise_2G = np.concatenate([np.zeros((2, 1)), rise_2G], axis=1)
    solved_2GK = np.concatenate([np.tile(centre_K, (2, 1, 1)), solved_2GK], axis=1)
    is_open_2 = ~np.any(rise_2G >= rise, axis=1)
    outer_2 = np.maximum(np.argmax(rise_2G >= rise, axis=1), 1)
    both = np.arange(2)
    share_F = np.linspace(0.0, 1.0, REFINED + 2)
    inner_2, far_2 = distance_2G[both, outer_2 - 1], distance_2G[both, outer_2]
    fine_2F = inner_2[:, None] + share_F * (far_2 - inner_2)[:, None]
    inner_2K, far_2K = solved_2GK[both, outer_2 - 1], solved_2GK[both, outer_2]
    start_2FK = inner_2K[:, None] + share_F[:, None] * (far_2K - inner_2K)[:, None]
    held_2F = centre_K[index] + sign_2[:, None] * fine_2F
    _, fine_rise_2F = _refit(problem, noise, index, start_2FK, held_2F)
    # The root of the rise is close to linear in the distance.
    root_2F = np.sqrt(np.maximum.accumulate(fine_rise_2F, axis=1))
    crossing = [float(np.interp(np.sqrt(rise), root_2F[side], fine_2F[side])) for side in (0, 1)]
    low, high = (np.inf if is_open_2[side] else crossing[side] for side in (0, 1))
    return float(centre_K[index] - low), float(centre_K[index] + high)


def _grid(expected: float, furthest: float) -> Array:
    """Distances from the optimum: close together about the expected one, then out to the furthest."""
    furthest = max(furthest, 1e-9)
    expected = min(max(expected, 1e-9), furthest)
    inner_G = np.geomspace(0.4 * expected, min(4.0 * expected, furthest), GRID - 3)
    return np.concatenate([inner_G, np.geomspace(inner_G[-1], furthest, 4)[1:]])


def _refit(problem: Problem, noise: ResidualNoise, index: int, start_2GK: Array, held_2G: Array) -> tuple[Array, Array]:
    """The other parameters refitted with this one held: solutions (2, G, K) and the rise of the Huber sum (2, G)."""
    start_RK = start_2GK.reshape(-1, start_2GK.shape[-1]).copy()
    start_RK[:, index] = held_2G.ravel()
    free_RK = np.ones(start_RK.shape, dtype=bool)
    free_RK[:, index] = False
    delta_R1 = np.broadcast_to(noise.delta_R1, (len(start_RK), 1)).copy()
    found = problem.solve(start_RK, [delta_R1], free_RK=free_RK, max_iterations=60, tolerance=1e-8)
    rise_R = np.maximum(found.value_R - noise.value_R[0], 0.0)
    return found.internal_RK.reshape(start_2GK.shape), rise_R.reshape(held_2G.shape)
