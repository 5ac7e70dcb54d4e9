"""Walks from an optimum along one parameter, all walks as one batch: the others are refitted at every step, from where
they were at the steps before, until the objective has risen as far as it may.

The root of the rise is close to linear in the distance, so that a secant finds the end in a few steps.

Legend: R walks (replicates), S those still under way, K parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import thinned

STEPS = 40
NEAR = 3e-3  # of the root of the rise: near enough that a secant's end is the end
SETTLED = 1e-4  # of the rise: how far each refit is solved
NARROW = 1e-5  # of the distance: a bracket as narrow as this is a jump
FARTHER = 4.0  # times the distance so far, where the end is not in sight
STRAIGHT = 3.0  # in internal coordinates: a straight line is followed no farther
TINY = 1e-9  # a walk with less room than this cannot leave its bound


@dataclass(frozen=True)
class Walk:
    """Walks in coordinates in which each own parameter is natural (`Coordinates.uncentred`). A walk ends where the
    Huber sum at `delta_R1` is `rise_R` above `value_R`, its value at the start.
    """

    parameter_R: NDArray[np.intp]
    sign_R: Array
    start_RK: Array
    first_R: Array  # the distance of the first step, and where it is thought to lead
    first_RK: Array
    furthest_R: Array
    value_R: Array
    rise_R: Array
    delta_R1: Array

    @classmethod
    def joined(cls, walks: Sequence["Walk"]) -> "Walk":
        return cls(*(np.concatenate([getattr(walk, field.name) for walk in walks]) for field in fields(cls)))


@dataclass
class _Place:
    """A point of each walk: how far, the root of the share risen there, and the parameters."""

    distance_R: Array
    root_R: Array
    internal_RK: Array

    def rows(self, chosen: NDArray[np.intp]) -> "_Place":
        return _Place(self.distance_R[chosen], self.root_R[chosen], self.internal_RK[chosen])

    def put(self, chosen: NDArray[np.intp], other: "_Place") -> None:
        self.distance_R[chosen], self.root_R[chosen] = other.distance_R, other.root_R
        self.internal_RK[chosen] = other.internal_RK


def walk_out(problem: Problem, walk: Walk) -> Array:
    """Where each own parameter is at the end of its walk: (R,), infinite where no end was reached."""
    num_walks = len(walk.sign_R)
    own = replace(problem, coordinates=problem.coordinates.uncentred(walk.parameter_R))
    few = thinned(own)
    # The last point before the end, the one before that, and the first beyond it.
    inner = _Place(np.zeros(num_walks), np.zeros(num_walks), walk.start_RK.copy())
    previous = inner.rows(np.arange(num_walks))
    outer = _Place(np.full(num_walks, np.inf), np.full(num_walks, np.inf), walk.start_RK.copy())
    end_R = np.full(num_walks, np.inf)
    active = np.flatnonzero(walk.furthest_R > TINY)
    distance_S, guess_SK = walk.first_R[active], walk.first_RK[active]
    for step in range(STEPS):
        if not len(active):
            break
        here = _refit(own, few, walk, active, distance_S, guess_SK, inner.internal_RK[active])
        before_S = here.root_R < 1.0
        previous.put(active[before_S], inner.rows(active[before_S]))
        inner.put(active[before_S], here.rows(np.flatnonzero(before_S)))
        outer.put(active[~before_S], here.rows(np.flatnonzero(~before_S)))
        beyond_S = outer.distance_R[active]
        narrow_S = np.isfinite(beyond_S) & (beyond_S <= (1 + NARROW) * inner.distance_R[active])
        found_S = (np.abs(here.root_R - 1.0) < NEAR) | narrow_S
        secant_S = _secant(previous.rows(active), inner.rows(active), outer.rows(active))
        end_R[active[found_S]] = np.where(narrow_S, distance_S, secant_S)[found_S]
        on_S = ~found_S & ~(before_S & (distance_S >= walk.furthest_R[active]))
        active = active[on_S]
        distance_S, guess_SK = _next(
            previous.rows(active),
            inner.rows(active),
            outer.rows(active),
            secant_S[on_S],
            walk.furthest_R[active],
            halve=step % 4 == 3,
        )
    end_R[active] = outer.distance_R[active]
    return np.asarray(walk.start_RK[np.arange(num_walks), walk.parameter_R] + walk.sign_R * end_R)


def _secant(previous: _Place, inner: _Place, outer: _Place) -> Array:
    """Where the root would be 1 on the straight line between the points before and beyond the end, or on from the last
    two where none is beyond; not finite where that line does not rise.
    """
    bracketed_S = np.isfinite(outer.distance_R)
    other_S = np.where(bracketed_S, outer.distance_R, previous.distance_R)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope_S = (np.where(bracketed_S, outer.root_R, previous.root_R) - inner.root_R) / (other_S - inner.distance_R)
        return np.where(slope_S > 0, inner.distance_R + (1.0 - inner.root_R) / slope_S, np.inf)


def _next(
    previous: _Place, inner: _Place, outer: _Place, secant_S: Array, furthest_S: Array, *, halve: bool
) -> tuple[Array, Array]:
    """The next distances (S,), and where they are thought to lead (S, K) on the same straight line."""
    bracketed_S = np.isfinite(outer.distance_R)
    width_S = np.where(bracketed_S, outer.distance_R - inner.distance_R, 0.0)
    step_S = secant_S - inner.distance_R
    # The secant stays off the ends of its bracket, and gives way to a half now and then, where it is slow.
    across_S = 0.5 * width_S if halve else np.clip(step_S, 0.02 * width_S, 0.98 * width_S)
    ahead_S = np.clip(1.02 * step_S, 1e-3 * inner.distance_R, (FARTHER - 1) * inner.distance_R)
    distance_S = np.minimum(inner.distance_R + np.where(bracketed_S, across_S, ahead_S), furthest_S)
    other_S = np.where(bracketed_S, outer.distance_R, previous.distance_R)
    other_SK = np.where(bracketed_S[:, None], outer.internal_RK, previous.internal_RK)
    gap_S = np.where(other_S == inner.distance_R, np.inf, other_S - inner.distance_R)
    share_S = (distance_S - inner.distance_R) / gap_S
    moved_SK = share_S[:, None] * (other_SK - inner.internal_RK)
    return distance_S, inner.internal_RK + np.clip(moved_SK, -STRAIGHT, STRAIGHT)


def _refit(
    problem: Problem,
    few: Problem,
    walk: Walk,
    active: NDArray[np.intp],
    distance_S: Array,
    guess_SK: Array,
    neighbour_SK: Array,
) -> _Place:
    """The other parameters refitted at that distance, from the guess or from where they were nearby, whichever is the
    better start for a few of the points.
    """
    rows, parameter_S = np.arange(len(active)), walk.parameter_R[active]
    held_S = walk.start_RK[active, parameter_S] + walk.sign_R[active] * distance_S
    coordinates = problem.coordinates.rows(active)
    own, few = replace(problem, coordinates=coordinates), replace(few, coordinates=coordinates)
    delta_S1 = walk.delta_R1[active]
    starts_2SK = np.stack([guess_SK, neighbour_SK])
    starts_2SK[:, rows, parameter_S] = held_S
    value_2S = np.stack([few.huber(start_SK, delta_S1) for start_SK in starts_2SK])
    start_SK = starts_2SK[np.argmin(value_2S, axis=0), rows]
    free_SK = np.ones(start_SK.shape, dtype=bool)
    free_SK[rows, parameter_S] = False
    # Values settle to a share of the rise, however small that is beside them.
    tolerance_S = np.maximum(SETTLED * walk.rise_R[active] / walk.value_R[active], 1e-13)
    found = own.solve(start_SK, [delta_S1], free_RK=free_SK, max_iterations=60, tolerance=tolerance_S)
    risen_S = np.maximum(found.value_R - walk.value_R[active], 0.0)
    return _Place(distance_S, np.sqrt(risen_S / walk.rise_R[active]), found.internal_RK)
