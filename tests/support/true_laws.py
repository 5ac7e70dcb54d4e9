"""True laws of synthetic runs, and the tables of runs that follow them, with or without noise.

Legend: P runs.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.tables.table import Table

Array = NDArray[np.float64]

# Parameters of the law E + A/N^alpha + B/D^beta (`chinchilla`).
ADDITIVE = {"E": 1.2, "A": 60.0, "B": 300.0, "alpha": 0.32, "beta": 0.40}
EQUAL_EXPONENTS = {"E": 1.2, "A": 60.0, "B": 250.0, "alpha": 0.35, "beta": 0.35}
# The same law as E, A, B, alpha, beta: symmetric, mildly asymmetric and strongly asymmetric isoFLOP curves.
Truth = tuple[float, float, float, float, float]
TRUTHS: list[Truth] = [
    (1.8, 480.0, 2100.0, 0.35, 0.35),
    (1.69, 406.0, 410.0, 0.34, 0.28),
    (1.7, 4000.0, 300.0, 0.5, 0.25),
]


def grid(sizes: Array, tokens: Array) -> tuple[Array, Array]:
    """Every size with every token count: N and D, (P,) each."""
    N, D = np.meshgrid(sizes, tokens)
    return N.ravel(), D.ravel()


# A small grid with a target beyond it, and a larger grid.
SIZES, TOKENS = grid(np.geomspace(1e5, 3e6, 5), np.geomspace(1e6, 1e8, 5))
AT = {"N": 1.2e7, "D": 2e8}
WIDE_SIZES, WIDE_TOKENS = grid(np.geomspace(1e5, 5e6, 6), np.geomspace(1e6, 2e8, 6))


def with_noise(loss: Array, noise: float, seed: int = 0) -> Array:
    """Losses with normal noise of this standard deviation in log loss."""
    return np.asarray(loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(loss))))


def losses(N: Any, D: Any, noise: float = 0.0, seed: int = 0) -> Any:
    """Losses of the law `ADDITIVE`."""
    columns = {"N": np.asarray(N, float), "D": np.asarray(D, float)}
    return with_noise(get_law("chinchilla").predict_one(ADDITIVE, columns), noise, seed)


def table(noise: float = 0.003, seeds: int = 1) -> Table:
    """The small grid under the law `ADDITIVE`, every cell with this many seeds."""
    N, D = np.tile(SIZES, seeds), np.tile(TOKENS, seeds)
    columns = {"N": N, "D": D, "loss": losses(N, D, noise), "seed": np.repeat(np.arange(float(seeds)), len(SIZES))}
    cell = np.tile([f"cell {number}" for number in range(len(SIZES))], seeds)
    return replace(Table.from_columns(columns), cell=cell)


def wide_table(
    name: str, parameters: Mapping[str, float], noise: float, seed: int = 0, run: list[str] | None = None
) -> Table:
    """The larger grid under any law of N and D."""
    columns = {"N": WIDE_SIZES, "D": WIDE_TOKENS}
    loss = get_law(name).predict_one(dict(parameters), columns)
    return Table.from_columns({**columns, "loss": with_noise(loss, noise, seed)}, run=run)


def exponent(truth: Truth) -> float:
    """The exponent a of the optimal size N ~ C^a."""
    return truth[4] / (truth[3] + truth[4])


def best_size(truth: Truth, flops: Array | float) -> Array:
    """The optimal size of a budget."""
    _, A, B, alpha, beta = truth
    return np.asarray((alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (np.asarray(flops) / 6) ** exponent(truth))


def best_tokens(truth: Truth, size: Array) -> Array:
    """The tokens for which this size is the optimal size of its budget."""
    _, A, B, alpha, beta = truth
    return np.asarray((beta * B / (alpha * A) * size**alpha) ** (1 / beta))


def loss_of(truth: Truth, size: Array, tokens: Array, noise: float, seed: int) -> Array:
    E, A, B, alpha, beta = truth
    return with_noise(E + A / size**alpha + B / tokens**beta, noise, seed)


def ladder(
    truth: Truth,
    *,
    sizes: int = 7,
    ratio: float = 2.0,
    horizons: int = 6,
    reach: float = 6.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Table:
    """Sizes by horizons: the tokens of each size are spread by a factor `reach` to either side of its optimum."""
    size = np.repeat(3e5 * ratio ** np.arange(sizes), horizons)
    tokens = best_tokens(truth, size) * np.tile(np.geomspace(1 / reach, reach, horizons), sizes)
    loss = loss_of(truth, size, tokens, noise, seed)
    return Table.from_columns({"N": size, "D": tokens, "C": 6 * size * tokens, "loss": loss})


def isoflop_grid(truth: Truth, *, budgets: int = 8, sizes: int = 25, noise: float = 0.0, seed: int = 0) -> Table:
    """Budgets by the sizes of one ladder: the smallest and largest sizes occur in some of the budgets only."""
    flops = np.geomspace(1e17, 1e20, budgets)
    sizes_S = np.geomspace(best_size(truth, flops[0]) / 3, best_size(truth, flops[-1]) * 3, sizes)
    near = np.abs(np.log(sizes_S / best_size(truth, flops)[:, None])) < np.log(5)
    size, C = np.broadcast_to(sizes_S, near.shape)[near], np.broadcast_to(flops[:, None], near.shape)[near]
    tokens = C / (6 * size)
    return Table.from_columns({"N": size, "D": tokens, "C": C, "loss": loss_of(truth, size, tokens, noise, seed)})


# Two arms of a contrast: power laws in compute, at these budgets and seeds.
ARM_SEEDS = 3
ARM_COMPUTE = np.repeat(1e13 * 4.0 ** np.arange(7), ARM_SEEDS)
ARM_SEED = np.tile(np.arange(float(ARM_SEEDS)), 7)


def arm(E: float, amplitude: float, alpha: float, noise: Any = 0.0) -> Table:
    loss = (E + amplitude * ARM_COMPUTE**-alpha) * np.exp(np.broadcast_to(noise, ARM_COMPUTE.shape))
    return Table.from_columns({"C": ARM_COMPUTE, "loss": loss, "seed": ARM_SEED})


def paired_noises(deviation: float, seed: int, correlation: float = 0.5) -> tuple[Any, Any]:
    """Noise of two arms, correlated between paired runs."""
    generator = np.random.default_rng(seed)
    common, *own = generator.standard_normal((3, len(ARM_COMPUTE)))
    first, second = (deviation * (correlation**0.5 * common + (1 - correlation) ** 0.5 * each) for each in own)
    return first, second
