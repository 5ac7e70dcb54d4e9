"""The domain of each sample: a fixed pattern in which every prefix of a run is within one sample of its quota."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from windtunnel.train.errors import InputError

PERIOD = 4096  # samples after which the pattern repeats; weights are rounded to multiples of 1 / PERIOD
Integers = npt.NDArray[np.int64]


class Mixture:
    """Domains in proportion to weights, by chairman assignment instead of random draws.

    Of the first n samples, domain d has n * counts[d] / PERIOD to within one, for every n and d (Tijdeman, "The
    chairman assignment problem", 1980). `counts` are the weights in use, whole numbers that sum to PERIOD: the given
    weights rounded by largest remainder, at least one for a positive weight. A weight of zero leaves a domain out.

    Raises InputError for a negative weight, weights that sum to zero, or more domains than PERIOD.
    """

    counts: Integers  # (domains,) samples of each domain in one period

    def __init__(self, weights: Sequence[float]) -> None:
        self.counts = apportion(weights, PERIOD)
        pattern = _chairman_pattern(self.counts)
        self._pattern: Integers = pattern
        self._rank_in_period: Integers = np.empty(PERIOD, dtype=np.int64)
        self._ranks_before: Integers = np.zeros((PERIOD + 1, len(self.counts)), dtype=np.int64)
        for domain in range(len(self.counts)):
            self._ranks_before[1:, domain] = np.cumsum(pattern == domain)
        self._rank_in_period[:] = self._ranks_before[np.arange(PERIOD), pattern]

    def domain_and_rank(self, sample_index: Integers) -> tuple[Integers, Integers]:
        """(domain, rank) of each sample: its domain, and the number of earlier samples of that domain."""
        period, slot = np.divmod(np.asarray(sample_index, dtype=np.int64), PERIOD)
        domain = self._pattern[slot]
        return domain, period * self.counts[domain] + self._rank_in_period[slot]

    def counts_before(self, samples: int) -> Integers:
        """(domains,) number of each domain's samples among the first `samples`."""
        periods, slots = divmod(samples, PERIOD)
        counts: Integers = periods * self.counts + self._ranks_before[slots]
        return counts


def apportion(weights: Sequence[float], seats: int) -> Integers:
    """(domains,) whole numbers that sum to `seats`, in proportion to `weights` by largest remainder.

    A positive weight gets at least one. Raises InputError for weights that cannot be used.
    """
    shares = np.asarray(weights, dtype=np.float64)
    if shares.ndim != 1 or not shares.size or not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() <= 0:
        raise InputError(
            f"mixture weights {list(weights)} cannot be used: give one number >= 0 per domain, not all zero"
        )
    if np.count_nonzero(shares) > seats:
        raise InputError(
            f"{np.count_nonzero(shares)} domains cannot share {seats} samples: use fewer domains or more samples"
        )
    quotas = shares / shares.sum() * seats
    counts: Integers = np.maximum(np.floor(quotas), shares > 0).astype(np.int64)
    while (missing := seats - int(counts.sum())) != 0:
        step = 1 if missing > 0 else -1
        movable = (shares > 0) if step > 0 else (counts > 1)
        counts[int(np.argmax(np.where(movable, step * (quotas - counts), -np.inf)))] += step
    return counts


def _chairman_pattern(counts: Integers) -> Integers:
    """(PERIOD,) domain of each sample, by Tijdeman's rule in whole numbers.

    With lag_d = quota_d(t) - count_d(t-1) and n domains, domain d is eligible if lag_d >= 1/(2n-2), and due when its
    lag reaches 1 - 1/(2n-2). The rule takes the eligible domain that is due first. Everything is scaled by
    PERIOD * (2n-2).
    """
    used = [domain for domain, count in enumerate(counts.tolist()) if count]
    if len(used) == 1:
        return np.full(PERIOD, used[0], dtype=np.int64)
    scale = 2 * len(used) - 2
    quota = np.array([counts[domain] for domain in used], dtype=np.int64)
    taken = np.zeros(len(used), dtype=np.int64)
    pattern = np.empty(PERIOD, dtype=np.int64)
    for slot in range(PERIOD):
        lag = scale * (quota * (slot + 1) - taken * PERIOD)
        # Slack over quota is the time until a domain is due; cross products compare it exactly.
        slack = (scale - 1) * PERIOD - lag
        best = -1
        for candidate in np.flatnonzero(lag >= PERIOD).tolist():
            if best < 0 or slack[candidate] * quota[best] < slack[best] * quota[candidate]:
                best = candidate
        taken[best] += 1
        pattern[slot] = used[best]
    return pattern
