"""What the noise of runs does to sums of their log losses, such as the value of a curve at a place.

One draw for each run, because branches of one trunk are off by the same amount. The draws are made a few replicates at
a time and never held at once: of a hundred thousand runs they would be gigabytes.

Legend: P rows of a table, R replicates, M sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DRAWN = 2_000_000  # draws held at once


@dataclass(frozen=True)
class Sums:
    """Sums over some rows of a table: `rows_P` are their positions, `shares_MP` what each sum takes of each."""

    rows_P: NDArray[np.intp]
    shares_MP: Array


def pulled_noise(run: NDArray[np.str_], noise: float, replicates: int, seed: int, sums: Sequence[Sums]) -> list[Array]:
    """What noise of this standard deviation does to the sums: (R, M) of each. The same draws for the same seed."""
    found = [np.empty((replicates, len(each.shares_MP))) for each in sums]
    first = 0
    for drawn_RP in drawn_noise(run, noise, replicates, seed):
        for moved_RM, each in zip(found, sums, strict=True):
            moved_RM[first : first + len(drawn_RP)] = drawn_RP[:, each.rows_P] @ each.shares_MP.T
        first += len(drawn_RP)
    return found


def drawn_noise(run: NDArray[np.str_], noise: float, replicates: int, seed: int) -> Iterator[Array]:
    """Noise of log loss, (R, P) of a few replicates at a time."""
    runs, which = np.unique(run, return_inverse=True)
    generator = np.random.default_rng(seed)
    together = max(1, DRAWN // len(runs))
    for first in range(0, replicates, together):
        drawn = generator.standard_normal((min(together, replicates - first), len(runs)))
        yield np.asarray(noise * drawn[:, which.reshape(-1)])
