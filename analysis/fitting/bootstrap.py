"""Bootstrap over runs: every run keeps its place and has a random weight, so that no resample is a design to which the
law cannot be fitted. Points of one run share the weight. The weights' variance carries the small-sample factor
U / (U - K), as the usual correction of a sandwich variance does.

Legend: P points, R replicates, K parameters, U runs.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.coordinates import AT_BOUND, Coordinates
from windtunnel.analysis.solver.problem import Problem

LARGEST_VARIANCE = 3.0
BLOCK = 2_000_000  # weights drawn at once


def bootstrap_weights(run_P: NDArray[Any], num_replicates: int, num_parameters: int, seed: int) -> Array:
    """Weights of mean 1, gamma-distributed over runs: (R, P). Replicate r is the same whatever their number."""
    runs, run_of_P = np.unique(run_P, return_inverse=True)
    spare = len(runs) - num_parameters
    variance = min(len(runs) / spare, LARGEST_VARIANCE) if spare > 0 else LARGEST_VARIANCE
    generator = np.random.default_rng(seed)
    drawn_RU = generator.gamma(1.0 / variance, variance, (num_replicates, len(runs)))
    drawn_RU = np.maximum(drawn_RU, 1e-9)
    drawn_RU /= drawn_RU.mean(axis=1, keepdims=True)
    return np.asarray(drawn_RU[:, run_of_P])


def bootstrap_replicates(
    problem: Problem, internal_K: Array, run_P: NDArray[Any], num_replicates: int, seed: int
) -> Array:
    """Natural parameters of every replicate: (K, R). Each starts at the fit and settles to a ten-thousandth of its
    objective, far below what resampling moves it.
    """
    all_KR = np.empty((len(internal_K), num_replicates))
    block = max(1, BLOCK // len(run_P))
    for number, first in enumerate(range(0, num_replicates, block)):
        size = min(block, num_replicates - first)
        drawn_RP = bootstrap_weights(run_P, size, len(internal_K), seed + number)
        own = replace(problem, weights=np.atleast_2d(problem.weights) * drawn_RP)
        # Absolute deviations to a threshold of 1e-4: finer ones move no percentile.
        deltas = problem.deltas()[:4][-2:]
        found = own.solve(np.tile(internal_K, (size, 1)), deltas, max_iterations=60, tolerance=1e-6)
        all_KR[:, first : first + size] = problem.coordinates.to_natural(found.internal_RK).T
    return all_KR


def percentile_intervals(
    coordinates: Coordinates, replicates_KR: Array, level: float
) -> dict[str, tuple[float, float]]:
    """The central interval of the replicates of each parameter. Where more of them ended at a bound than lie outside
    the interval on that side, it is open there: the percentile is the bound's, not the data's.
    """
    tail = (1 - level) / 2
    internal_RK = coordinates.to_internal(replicates_KR.T)
    at_lower_K = (internal_RK <= coordinates.lower_K + AT_BOUND).mean(axis=0) >= tail
    at_upper_K = (internal_RK >= coordinates.upper_K - AT_BOUND).mean(axis=0) >= tail
    low_K, high_K = np.quantile(replicates_KR, [tail, 1 - tail], axis=1)
    low_K[at_lower_K] = [p.minimum for p, at in zip(coordinates.law.parameters, at_lower_K, strict=True) if at]
    high_K[at_upper_K] = np.inf
    return {
        name: (float(low), float(high)) for name, low, high in zip(coordinates.law.names, low_K, high_K, strict=True)
    }
