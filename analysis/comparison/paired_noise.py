"""The noise of two arms' runs as their residuals show it, and fresh draws of it for a bootstrap.

An arm's noise is a part that each row has and a part that rows of one run (a trunk and its branches, checkpoints)
share, both unbiased from two quadratic forms of the residuals. Paired rows of the arms (same seed and budget) are
correlated as their residuals are. Each draw is widened by Student's factor, so that few runs give wide answers, not
bold ones: resampling six budgets with replacement covered 77 % where it should have covered 90 %.

Legend: P rows of an arm, R draws, K parameters, U units (runs, or pairs of them).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.fitting.noise import ResidualNoise
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.tables.table import Table


@dataclass(frozen=True)
class ArmNoise:
    """Variances of a row of weight 1, within and between runs, and the degrees of freedom they are known with."""

    within: float
    between: float
    degrees: float
    scale_P: Array  # of each row's noise: 1 / root of its weight
    residual_P: Array  # of weight 1


def arm_noise(noise: ResidualNoise, weights_P: Array, run_P: NDArray[np.str_]) -> ArmNoise:
    """What the residuals of one fit (the only replicate of `noise`) say."""
    jacobian_KP, residual_P = noise.jacobian_RKP[0], noise.pseudo_RP[0]
    num_parameters, num_rows = jacobian_KP.shape
    runs, run_of_P = np.unique(run_P, return_inverse=True)
    degrees = max(num_rows - num_parameters, 1)
    # Residuals that few points leave look smaller than their noise when the largest of them is clipped.
    residual_P = residual_P * np.sqrt(noise.correction_R[0])
    total = float(residual_P @ residual_P)
    found = ArmNoise(total / degrees, 0.0, degrees, weights_P**-0.5, residual_P)
    if len(runs) == num_rows or len(runs) < 3:
        return found
    summed_KU = np.stack([np.bincount(run_of_P, row_P, len(runs)) for row_P in jacobian_KP])
    left_UU = np.diag(np.bincount(run_of_P).astype(np.float64)) - summed_KU.T @ noise.inverse_RKK[0] @ summed_KU
    trace_1, trace_2 = float(np.trace(left_UU)), float(np.sum(left_UU**2))
    by_run = float(np.sum(np.bincount(run_of_P, residual_P) ** 2))
    matrix_22 = np.array([[degrees, trace_1], [trace_1, trace_2]])
    if np.linalg.cond(matrix_22) > 1e10:
        return found
    within, between = np.linalg.solve(matrix_22, [total, by_run])
    if between <= 0:
        return found
    spare = float(max(len(runs) - num_parameters, 1))
    return ArmNoise(max(float(within), 0.0), float(between), spare, weights_P**-0.5, residual_P)


def correlation(arms: Sequence[ArmNoise], pairs: Sequence[tuple[int, int]]) -> float:
    """Of the noise of paired rows, from their residuals; 0 where fewer than three pairs show it."""
    if len(pairs) < 3:
        return 0.0
    rows = np.array(pairs)
    one, other = arms[0].residual_P[rows[:, 0]], arms[1].residual_P[rows[:, 1]]
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(np.clip(one @ other / scale, -1.0, 1.0)) if scale > 0 else 0.0


def draw_noise(
    arms: Sequence[ArmNoise],
    pairs: Sequence[tuple[int, int]],
    units: tuple[NDArray[np.intp], NDArray[np.intp]],
    num_draws: int,
    seed: int,
) -> tuple[Array, Array]:
    """Noise of the rows of both arms, (R, P) each."""
    generator = np.random.default_rng(seed)
    rho = correlation(arms, pairs)
    degrees = min(arm.degrees for arm in arms)
    widen_R1 = np.sqrt(degrees / generator.chisquare(degrees, (num_draws, 1)))
    row_1, row_2 = (generator.standard_normal((num_draws, len(arm.scale_P))) for arm in arms)
    rows = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    row_2[:, rows[:, 1]] = rho * row_1[:, rows[:, 0]] + np.sqrt(1 - rho**2) * row_2[:, rows[:, 1]]
    num_units = int(max(unit_P.max() for unit_P in units)) + 1
    unit_1, unit_2 = generator.standard_normal((2, num_draws, num_units))
    paired = np.unique(units[0][rows[:, 0]])
    unit_2[:, paired] = rho * unit_1[:, paired] + np.sqrt(1 - rho**2) * unit_2[:, paired]
    drawn = [
        widen_R1 * arm.scale_P * (np.sqrt(arm.within) * row_RP + np.sqrt(arm.between) * unit_RU[:, unit_P])
        for arm, row_RP, unit_RU, unit_P in zip(arms, (row_1, row_2), (unit_1, unit_2), units, strict=True)
    ]
    return drawn[0], drawn[1]


# Two arms' runs are a pair when these agree to this (in logarithm); architectures differ a little in N.
CLOSE = {"D": 0.03, "N": 0.15, "C": 0.1}


Pairs = list[tuple[int, int]]


def paired_units(first: Table, second: Table) -> tuple[NDArray[np.intp], NDArray[np.intp], Pairs]:
    """The unit of each row of both arms, and the pairs of rows. A unit holds all that shares noise: a run (or trunk) of
    one arm and what it is paired with in the other.
    """
    clusters, numbers = np.unique(
        np.concatenate([np.char.add("A ", first.run), np.char.add("B ", second.run)]), return_inverse=True
    )
    root = np.arange(len(clusters))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = int(root[node])
        return node

    pairs = _pairs(first, second)
    for one, other in pairs:
        root[find(int(numbers[other + len(first)]))] = find(int(numbers[one]))
    units = np.unique([find(int(number)) for number in numbers], return_inverse=True)[1].reshape(-1)
    return units[: len(first)], units[len(first) :], pairs


def _pairs(first: Table, second: Table) -> Pairs:
    """Rows of equal seed and nearly equal budget, the nearest first, each used once."""
    shared = [
        name
        for name in (("D", "N") if "D" in first.numeric and "D" in second.numeric else ("C",))
        if name in first.numeric and name in second.numeric
    ]
    if not shared:
        return []
    apart = np.zeros((len(first), len(second)))
    for name in shared:
        gap = np.abs(np.log(first.columns[name])[:, None] - np.log(second.columns[name])[None, :]) / CLOSE[name]
        apart = np.maximum(apart, gap)
    apart[apart > 1] = np.inf
    if "seed" in first.columns and "seed" in second.columns:
        apart[first.columns["seed"][:, None] != second.columns["seed"][None, :]] = np.inf
    ones, others = np.nonzero(np.isfinite(apart))
    nearest = np.argsort(apart[ones, others], kind="stable")
    used_first: set[int] = set()
    used_second: set[int] = set()
    found = []
    for one, other in zip(ones[nearest].tolist(), others[nearest].tolist(), strict=True):
        if one not in used_first and other not in used_second:
            used_first.add(one)
            used_second.add(other)
            found.append((one, other))
    return found
