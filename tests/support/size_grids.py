"""Tables of runs of a known law, for the tests of the three approaches: sizes by horizons, and budgets by sizes."""

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.table import Table

# E, A, B, alpha, beta: symmetric, mildly and strongly asymmetric valleys.
TRUTHS = [(1.8, 480.0, 2100.0, 0.35, 0.35), (1.69, 406.0, 410.0, 0.34, 0.28), (1.7, 4000.0, 300.0, 0.5, 0.25)]
Truth = tuple[float, float, float, float, float]
Array = NDArray[np.float64]


def exponent(truth: Truth) -> float:
    """a of N ~ C^a."""
    return truth[4] / (truth[3] + truth[4])


def best_size(truth: Truth, flops: Array | float) -> Array:
    _, A, B, alpha, beta = truth
    return np.asarray((alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (np.asarray(flops) / 6) ** exponent(truth))


def best_tokens(truth: Truth, size: Array) -> Array:
    """The tokens for which this size is the best of its budget."""
    _, A, B, alpha, beta = truth
    return np.asarray((beta * B / (alpha * A) * size**alpha) ** (1 / beta))


def loss_of(truth: Truth, size: Array, tokens: Array, noise: float, seed: int) -> Array:
    E, A, B, alpha, beta = truth
    drawn = np.random.default_rng(seed).standard_normal(len(size))
    return np.asarray((E + A / size**alpha + B / tokens**beta) * np.exp(noise * drawn))


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
    """Sizes by horizons: each size's tokens are spread by a factor `reach` to either side of its best."""
    size = np.repeat(3e5 * ratio ** np.arange(sizes), horizons)
    tokens = best_tokens(truth, size) * np.tile(np.geomspace(1 / reach, reach, horizons), sizes)
    loss = loss_of(truth, size, tokens, noise, seed)
    return Table.of({"N": size, "D": tokens, "C": 6 * size * tokens, "loss": loss})


def isoflop_grid(truth: Truth, *, budgets: int = 8, sizes: int = 25, noise: float = 0.0, seed: int = 0) -> Table:
    """Budgets by sizes of one ladder: the smallest and largest sizes meet only some of the budgets."""
    flops = np.geomspace(1e17, 1e20, budgets)
    ladder = np.geomspace(best_size(truth, flops[0]) / 3, best_size(truth, flops[-1]) * 3, sizes)
    near = np.abs(np.log(ladder / best_size(truth, flops)[:, None])) < np.log(5)
    size, C = np.broadcast_to(ladder, near.shape)[near], np.broadcast_to(flops[:, None], near.shape)[near]
    return Table.of({"N": size, "D": C / (6 * size), "C": C, "loss": loss_of(truth, size, C / (6 * size), noise, seed)})
