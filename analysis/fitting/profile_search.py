"""Searches for the ends of profile likelihood intervals, as one batch.

Each search steps away from the optimum along one parameter and refits the others at every step, starting from the steps
before, until the objective has risen by a given amount. The square root of the rise is close to linear in the distance,
so that a secant finds the end in a few steps.

Legend: R searches (replicates), S active searches, K parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import subsample

MAX_STEPS = 40
ROOT_TOLERANCE = 3e-3  # of the root of the rise: then the secant's end is accepted
REFIT_TOLERANCE = 1e-4  # of the rise
JUMP_WIDTH = 1e-5  # of the distance: the profile jumps inside a bracket as narrow as this
EXPANSION = 4.0  # largest ratio of successive distances while no end is bracketed
MAX_MOVE = 3.0  # in internal coordinates: how far a straight line is extrapolated
NO_ROOM = 1e-9  # a search with less room than this is at its bound


@dataclass(frozen=True)
class ProfileSearch:
    """A batch of searches in coordinates in which each search's own parameter is natural (`Coordinates.uncentered`).

    A search ends where the Huber sum at `delta_R1` is `rise_R` above `value_R`, its value at the start. first_R is the
    distance of the first step, first_RK the expected parameters there.
    """

    parameter_R: NDArray[np.intp]
    sign_R: Array
    start_RK: Array
    first_R: Array
    first_RK: Array
    furthest_R: Array
    value_R: Array
    rise_R: Array
    delta_R1: Array

    @classmethod
    def joined(cls, searches: Sequence["ProfileSearch"]) -> "ProfileSearch":
        return cls(*(np.concatenate([getattr(one, field.name) for one in searches]) for field in fields(cls)))


@dataclass
class _ProfilePoint:
    """A point of each search: its distance, the square root of the rise as a share of the full one, the parameters."""

    distance_R: Array
    root_R: Array
    internal_RK: Array

    def rows(self, chosen: NDArray[np.intp]) -> "_ProfilePoint":
        return _ProfilePoint(self.distance_R[chosen], self.root_R[chosen], self.internal_RK[chosen])

    def put(self, chosen: NDArray[np.intp], other: "_ProfilePoint") -> None:
        self.distance_R[chosen], self.root_R[chosen] = other.distance_R, other.root_R
        self.internal_RK[chosen] = other.internal_RK


def find_ends(problem: Problem, search: ProfileSearch) -> Array:
    """The value of each search's own parameter at the end: (R,), infinite where no end was reached."""
    num_searches = len(search.sign_R)
    uncentered = replace(problem, coordinates=problem.coordinates.uncentered(search.parameter_R))
    few = subsample(uncentered)
    # The last point before the end, the point before that, and the first beyond the end.
    inner = _ProfilePoint(np.zeros(num_searches), np.zeros(num_searches), search.start_RK.copy())
    previous = inner.rows(np.arange(num_searches))
    outer = _ProfilePoint(np.full(num_searches, np.inf), np.full(num_searches, np.inf), search.start_RK.copy())
    end_R = np.full(num_searches, np.inf)
    active = np.flatnonzero(search.furthest_R > NO_ROOM)
    distance_S, guess_SK = search.first_R[active], search.first_RK[active]
    for step in range(MAX_STEPS):
        if not len(active):
            break
        here = _refit(uncentered, few, search, active, distance_S, guess_SK, inner.internal_RK[active])
        before_S = here.root_R < 1.0
        previous.put(active[before_S], inner.rows(active[before_S]))
        inner.put(active[before_S], here.rows(np.flatnonzero(before_S)))
        outer.put(active[~before_S], here.rows(np.flatnonzero(~before_S)))
        beyond_S = outer.distance_R[active]
        narrow_S = np.isfinite(beyond_S) & (beyond_S <= (1 + JUMP_WIDTH) * inner.distance_R[active])
        found_S = (np.abs(here.root_R - 1.0) < ROOT_TOLERANCE) | narrow_S
        secant_S = _secant(previous.rows(active), inner.rows(active), outer.rows(active))
        end_R[active[found_S]] = np.where(narrow_S, distance_S, secant_S)[found_S]
        continue_S = ~found_S & ~(before_S & (distance_S >= search.furthest_R[active]))
        active = active[continue_S]
        distance_S, guess_SK = _next(
            previous.rows(active),
            inner.rows(active),
            outer.rows(active),
            secant_S[continue_S],
            search.furthest_R[active],
            bisect=step % 4 == 3,
        )
    end_R[active] = outer.distance_R[active]
    return np.asarray(search.start_RK[np.arange(num_searches), search.parameter_R] + search.sign_R * end_R)


def _secant(previous: _ProfilePoint, inner: _ProfilePoint, outer: _ProfilePoint) -> Array:
    """The distance at which the root is 1 on the straight line through the points before and beyond the end, or through
    the last two points where none is beyond; infinite where that line does not rise.
    """
    bracketed_S = np.isfinite(outer.distance_R)
    other_S = np.where(bracketed_S, outer.distance_R, previous.distance_R)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_S = (np.where(bracketed_S, outer.root_R, previous.root_R) - inner.root_R) / (other_S - inner.distance_R)
        return np.where(slope_S > 0, inner.distance_R + (1.0 - inner.root_R) / slope_S, np.inf)


def _next(
    previous: _ProfilePoint,
    inner: _ProfilePoint,
    outer: _ProfilePoint,
    secant_S: Array,
    furthest_S: Array,
    *,
    bisect: bool,
) -> tuple[Array, Array]:
    """The next distances (S,), and the expected parameters there (S, K) on the same straight line."""
    bracketed_S = np.isfinite(outer.distance_R)
    width_S = np.where(bracketed_S, outer.distance_R - inner.distance_R, 0.0)
    step_S = secant_S - inner.distance_R
    # The secant stays off the ends of its bracket. Every few steps a bisection replaces it, in case it is slow.
    across_S = 0.5 * width_S if bisect else np.clip(step_S, 0.02 * width_S, 0.98 * width_S)
    ahead_S = np.clip(1.02 * step_S, 1e-3 * inner.distance_R, (EXPANSION - 1) * inner.distance_R)
    distance_S = np.minimum(inner.distance_R + np.where(bracketed_S, across_S, ahead_S), furthest_S)
    other_S = np.where(bracketed_S, outer.distance_R, previous.distance_R)
    other_SK = np.where(bracketed_S[:, None], outer.internal_RK, previous.internal_RK)
    gap_S = np.where(other_S == inner.distance_R, np.inf, other_S - inner.distance_R)
    share_S = (distance_S - inner.distance_R) / gap_S
    moved_SK = share_S[:, None] * (other_SK - inner.internal_RK)
    return distance_S, inner.internal_RK + np.clip(moved_SK, -MAX_MOVE, MAX_MOVE)


def _refit(
    problem: Problem,
    few: Problem,
    search: ProfileSearch,
    active: NDArray[np.intp],
    distance_S: Array,
    guess_SK: Array,
    neighbor_SK: Array,
) -> _ProfilePoint:
    """The other parameters refitted at a distance, from the guess or from the neighboring point, whichever is the
    better start on a few of the points.
    """
    rows, parameter_S = np.arange(len(active)), search.parameter_R[active]
    fixed_S = search.start_RK[active, parameter_S] + search.sign_R[active] * distance_S
    coordinates = problem.coordinates.rows(active)
    uncentered, few = replace(problem, coordinates=coordinates), replace(few, coordinates=coordinates)
    delta_S1 = search.delta_R1[active]
    starts_2SK = np.stack([guess_SK, neighbor_SK])
    starts_2SK[:, rows, parameter_S] = fixed_S
    value_2S = np.stack([few.huber(start_SK, delta_S1) for start_SK in starts_2SK])
    start_SK = starts_2SK[np.argmin(value_2S, axis=0), rows]
    free_SK = np.ones(start_SK.shape, dtype=bool)
    free_SK[rows, parameter_S] = False
    # The tolerance is a share of the rise, however small the rise is beside the value.
    tolerance_S = np.maximum(REFIT_TOLERANCE * search.rise_R[active] / search.value_R[active], 1e-13)
    solution = uncentered.solve(start_SK, [delta_S1], free_RK=free_SK, max_iterations=60, tolerance=tolerance_S)
    risen_S = np.maximum(solution.value_R - search.value_R[active], 0.0)
    return _ProfilePoint(distance_S, np.sqrt(risen_S / search.rise_R[active]), solution.internal_RK)
