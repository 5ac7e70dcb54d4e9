"""Bootstrap over runs: every run stays and gets a random weight, so that the law can be fitted to every resample.

Points of one run share the weight. The variance of the weights carries the small-sample factor U / (U - K), as in the
usual correction of a sandwich variance.

Legend: P points, R replicates, K parameters, U runs.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.coordinates import AT_BOUND, Coordinates
from windtunnel.analysis.solver.problem import Problem

MAX_VARIANCE = 3.0
BLOCK_SIZE = 2_000_000  # weights drawn at once


def bootstrap_weights(run_P: NDArray[Any], num_replicates: int, num_parameters: int, seed: int) -> Array:
    """Weights of mean 1, gamma-distributed over runs: (R, P). Replicate r does not depend on their number."""
    runs, run_of_P = np.unique(run_P, return_inverse=True)
    spare = len(runs) - num_parameters
    variance = min(len(runs) / spare, MAX_VARIANCE) if spare > 0 else MAX_VARIANCE
    generator = np.random.default_rng(seed)
    weight_RU = generator.gamma(1.0 / variance, variance, (num_replicates, len(runs)))
    weight_RU = np.maximum(weight_RU, 1e-9)
    weight_RU /= weight_RU.mean(axis=1, keepdims=True)
    return np.asarray(weight_RU[:, run_of_P])


def bootstrap_replicates(
    problem: Problem, internal_K: Array, run_P: NDArray[Any], num_replicates: int, seed: int
) -> Array:
    """Natural parameters of every replicate: (K, R). Each starts at the fit and is solved to a millionth of its
    objective, far below what resampling changes.
    """
    natural_KR = np.empty((len(internal_K), num_replicates))
    block = max(1, BLOCK_SIZE // len(run_P))
    for number, first in enumerate(range(0, num_replicates, block)):
        size = min(block, num_replicates - first)
        weight_RP = bootstrap_weights(run_P, size, len(internal_K), seed + number)
        reweighted = replace(problem, weights=np.atleast_2d(problem.weights) * weight_RP)
        # Absolute deviations to a threshold of 1e-4: finer ones change no percentile.
        deltas = problem.deltas()[:4][-2:]
        solution = reweighted.solve(np.tile(internal_K, (size, 1)), deltas, max_iterations=60, tolerance=1e-6)
        natural_KR[:, first : first + size] = problem.coordinates.to_natural(solution.internal_RK).T
    return natural_KR


def percentile_intervals(
    coordinates: Coordinates, replicates_KR: Array, level: float
) -> dict[str, tuple[float, float]]:
    """The central interval of the replicates of each parameter. It is unbounded on a side where more replicates ended
    at the bound than lie outside the interval: the percentile would be the bound's, not the data's.
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
