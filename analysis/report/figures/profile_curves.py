"""Profile likelihoods: the rise of the objective as one parameter is fixed and the others are refitted.

The rise is in units of the one that ends the 95 % interval. A curve that stays below 1 on one side belongs to a
parameter that is not identified. Intervals are the union over two objectives (`windtunnel.analysis.fitting.profile`),
so the curve is the lower of the two rises.

Legend: K parameters, G values along a profile, R rows of a batched solve.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from windtunnel.analysis.fitting.noise import (
    ResidualNoise,
    declared_noise,
    is_noiseless,
    quantity_noise,
    residual_noise,
)
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL, Fit, TwoStepFit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.problem import Problem

MAX_PASSES, SMALL_GAIN = 12, 1e-3  # refits from a neighbor until none gains this share of the threshold
POINTS_PER_SIDE = 7  # of the best value
# Range of a profile whose end is open: in half-widths of the interval of a linear law, and at most in logarithm.
OPEN_REACH, MAX_LOG_REACH = 2.2, 7.0


@dataclass(frozen=True)
class ProfileCurve:
    """`value_G` increases. `rise_G` is 0 at the best value, 1 at an end of the interval, below 0 in a lower minimum."""

    name: str
    meaning: str
    positive: bool
    best: float
    value_G: Array
    rise_G: Array
    interval: tuple[float, float]
    not_identified: bool


def profile_curves(fit: Fit) -> list[ProfileCurve]:
    """The profile of every parameter. Empty where the fit was refused or the data are without noise."""
    if isinstance(fit, TwoStepFit):
        return [curve for step in fit.steps for curve in profile_curves(step)]
    if not fit.parameters:
        return []
    problem = fit.problem()
    internal_RK = problem.coordinates.to_internal(fit.natural_row())
    matched = residual_noise(problem, internal_RK)
    if is_noiseless(matched) or matched.degrees < 1:
        return []
    declared = declared_noise(problem, internal_RK, matched)
    noises = [matched] if declared is None else [matched, declared]
    return [_profile(fit, problem, noises, number) for number in range(fit.law.num_parameters)]


def _profile(fit: Fit, problem: Problem, noises: Sequence[ResidualNoise], number: int) -> ProfileCurve:
    """`noises` begins with the matched noise, which sets the range of the curve."""
    parameter = fit.law.parameters[number]
    ends = [_end(problem, noise, number, fit) for noise in noises]
    centers = [float(problem.coordinates.to_natural(noise.internal_RK)[0, number]) for noise in noises]
    value_G = np.unique(np.append(_values(fit, number, centers[0], ends[0][1]), centers))
    rises = [
        _rises(problem, noise, number, value_G, threshold) for noise, (threshold, _) in zip(noises, ends, strict=True)
    ]
    rise_G = np.min(rises, axis=0)
    return ProfileCurve(
        parameter.name,
        parameter.meaning,
        parameter.positive,
        fit.parameters[parameter.name],
        value_G,
        rise_G,
        fit.intervals.get(parameter.name, (math.nan, math.nan)),
        parameter.name in fit.not_identified,
    )


def _end(problem: Problem, noise: ResidualNoise, number: int, fit: Fit) -> tuple[float, float]:
    """The rise of the objective that ends the interval, and the half-width of the interval of a linear law.

    The half-width is in logarithm where the parameter is positive.
    """
    gradient_K = _gradient(problem, noise.internal_RK[0], number)
    unit_R, variance_R, _, degrees_R = quantity_noise(noise, gradient_K[None], fit.points.run_P)
    quantile = _student(float(degrees_R[0]))
    threshold = 0.5 * float(noise.inside_R[0]) * quantile**2 * float(variance_R[0]) / float(unit_R[0])
    return max(threshold, 1e-300), quantile * math.sqrt(float(variance_R[0]))


def _student(degrees: float) -> float:
    from scipy.special import stdtrit  # slow to import

    return float(stdtrit(degrees, 0.5 + INTERVAL_LEVEL / 2))


def _gradient(problem: Problem, internal_K: Array, number: int) -> Array:
    """Gradient of the parameter (of its logarithm where positive) in internal coordinates: (K,)."""
    moved_RK = internal_K + 1e-6 * np.concatenate([np.eye(len(internal_K)), -np.eye(len(internal_K))])
    value_R = problem.coordinates.to_natural(moved_RK)[:, number]
    value_R = np.log(value_R) if problem.law.parameters[number].positive else value_R
    return np.asarray((value_R[: len(internal_K)] - value_R[len(internal_K) :]) / 2e-6)


def _values(fit: Fit, number: int, center: float, step: float) -> Array:
    """Values of the parameter along its profile: past both ends of the interval, and past the interval of a linear law
    where an end is open.
    """
    parameter = fit.law.parameters[number]
    low, high = fit.intervals.get(parameter.name, (math.nan, math.nan))
    if not parameter.positive:
        ends = [
            OPEN_REACH * step if not math.isfinite(end) else max(1.5 * abs(end - center), 0.3 * step)
            for end in (low, high)
        ]
        value_G = center + _spaced(-ends[0], ends[1])
    elif parameter.name in fit.not_identified and math.isfinite(high):
        value_G = np.linspace(0.0, 1.5 * high, 2 * POINTS_PER_SIDE + 2)[
            1:
        ]  # open below: toward zero, not its logarithm
    else:
        reach = [_log_reach(end / center if end > parameter.minimum else math.nan, step) for end in (low, high)]
        value_G = center * np.exp(_spaced(-reach[0], reach[1]))
    return value_G[(value_G > parameter.minimum) & (value_G < parameter.upper)]


def _log_reach(ratio: float, step: float) -> float:
    """Range in logarithm: past the end of the interval, which is `ratio` times the best value; NaN where it is open."""
    if not math.isfinite(ratio):
        return min(OPEN_REACH * step, MAX_LOG_REACH)
    distance = abs(math.log(ratio))
    return max(min(1.5 * distance, distance + 2.0), min(0.3 * step, 1.0))


def _spaced(low: float, high: float) -> Array:
    """Distances on both sides of 0, denser near it."""
    share = np.linspace(0.0, 1.0, POINTS_PER_SIDE + 1)[1:] ** 1.3
    return np.concatenate([low * share[::-1], high * share])


def _rises(problem: Problem, noise: ResidualNoise, number: int, value_G: Array, threshold: float) -> Array:
    """The rise of the objective at each value, in units of `threshold`: (G,).

    Each value is refitted from the best fit, then from the solutions of its neighbors, since a refit far from the best
    fit may end in another minimum.
    """
    coordinates = problem.coordinates.uncentered(np.full(len(value_G), number))
    profiled = replace(problem, coordinates=coordinates)
    natural_GK = np.tile(problem.coordinates.to_natural(noise.internal_RK), (len(value_G), 1))
    solved_GK, best_G = coordinates.to_internal(natural_GK), np.full(len(value_G), np.inf)
    fixed_G = np.log(value_G) if problem.law.parameters[number].positive else value_G
    free_GK = np.ones(solved_GK.shape, dtype=np.bool_)
    free_GK[:, number] = False
    delta_G1 = np.broadcast_to(noise.delta_R1, (len(fixed_G), 1)).copy()
    idle = 0
    for number_of_pass in range(MAX_PASSES):
        neighbor = 0 if number_of_pass == 0 else 1 if number_of_pass % 2 else -1  # below and above in turn
        start_GK = np.roll(solved_GK, neighbor, axis=0)
        start_GK[:, number] = fixed_G
        solution = profiled.solve(start_GK, [delta_G1], free_RK=free_GK, max_iterations=60, tolerance=1e-8)
        better_G = solution.value_R < best_G
        gain = float(np.max(np.where(better_G, best_G - solution.value_R, 0.0)))
        best_G = np.where(better_G, solution.value_R, best_G)
        solved_GK = np.where(better_G[:, None], solution.internal_RK, solved_GK)
        idle = idle + 1 if gain < SMALL_GAIN * threshold else 0
        if idle == 2:  # no gain from either side
            break
    return np.asarray((best_G - noise.value_R[0]) / threshold)
