"""The training order: the domain and window of every sample, a pure function of (seed, sample index)."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from windtunnel.train.config.config import RunConfig
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.mixture import PERIOD, Mixture
from windtunnel.train.data.permutation import derive_key, permute, subkeys
from windtunnel.train.errors import InputError

Integers = npt.NDArray[np.int64]
_MAX_SAMPLES = 1 << 62  # more than any run has, and within 64 bits


class Order:
    """The training order of a run: stateless, with random access to any sample.

    Windows are in *pools*. Without weights, one pool has all windows of all domains: every window is used once before
    any is used twice, and domains appear in proportion to their windows (in a prefix, up to chance). With weights, each
    domain is a pool and a `Mixture` chooses the domain of each sample, exact to one sample in every prefix.

    Epoch 0 of a pool visits its windows in a permutation keyed by (seed, pool). A budget of U unique windows keeps the
    first U of that permutation; epoch e > 0 visits the same U windows in an order keyed by (seed, pool, e). Therefore a
    run with a smaller U or fewer tokens is a prefix of one with more, whatever the batch size.

    Arguments:
        seed: seed of the order.
        domain_windows: (domains,) number of windows of each domain (`Corpus.window_counts`).
        sequence_length: T, tokens predicted per window; used in messages and for `unique_tokens`.
        weights: None, or one weight >= 0 per domain.
        unique_tokens: number of different tokens to train on, rounded down to whole windows; None for all.
        max_epochs: how often any window may be used; `check_tokens` checks it.

    Raises InputError if the data have fewer than `unique_tokens`, or weights do not match the domains.
    """

    def __init__(
        self,
        seed: int,
        domain_windows: Sequence[int],
        sequence_length: int,
        weights: Sequence[float] | None = None,
        unique_tokens: int | None = None,
        max_epochs: float = 1,
    ) -> None:
        self.seed = seed
        self.domain_windows: Integers = np.asarray(domain_windows, dtype=np.int64)
        self.sequence_length = sequence_length
        self.max_epochs = max_epochs
        if not math.isfinite(max_epochs) or max_epochs <= 0:
            raise InputError(
                f"max_epochs={max_epochs} cannot be used: give a number above zero (1: no token is repeated)"
            )
        if weights is None:
            self.mixture = Mixture([1.0])
            self._pool_windows: Integers = self.domain_windows.sum(keepdims=True)
        else:
            if len(weights) != len(self.domain_windows):
                raise InputError(
                    f"{len(weights)} weights for {len(self.domain_windows)} domains: give one weight for each domain, "
                    "in their order"
                )
            self.mixture = Mixture(weights)
            self._pool_windows = self.domain_windows.copy()
        self._first_window: Integers = np.concatenate([[0], np.cumsum(self.domain_windows)])
        self._has_one_pool = weights is None
        self.unique_windows: Integers = self._choose_unique(unique_tokens)  # (pools,)

    def _choose_unique(self, unique_tokens: int | None) -> Integers:
        used = self.mixture.counts > 0
        if (self._pool_windows[used] < 1).any():
            raise InputError(
                f"a domain has no whole window of {self.sequence_length} tokens (windows per domain: "
                f"{self.domain_windows.tolist()}): shorten sequence_length or prepare more data"
            )
        if unique_tokens is None:
            return self._pool_windows.copy()
        samples = unique_tokens // self.sequence_length
        if samples < 1:
            raise InputError(
                f"unique_tokens={unique_tokens:,} is less than one window of {self.sequence_length} tokens: raise it"
            )
        unique = self.mixture.counts_before(samples)
        if (unique > self._pool_windows).any():
            needed, existing = (_format_tokens(count, self.sequence_length) for count in (unique, self._pool_windows))
            raise InputError(
                f"unique_tokens={unique_tokens:,} needs {needed} tokens per domain but {existing} exist: "
                "lower unique_tokens, change weights, or prepare more data"
            )
        if (unique[used] < 1).any():
            raise InputError(f"unique_tokens={unique_tokens:,} leaves a weighted domain without a window: raise it")
        return unique

    def check_tokens(self, tokens: int) -> None:
        """Check that a run of `tokens` tokens uses no window more than `max_epochs` times.

        Raises InputError with the number of tokens of the run and of the data, and the max_epochs that it needs.
        """
        samples = -(-tokens // self.sequence_length)
        if self.samples_available() >= samples:
            return
        needed = math.ceil(self.epochs(samples) * 1000) / 1000
        unique = int(self.unique_windows[self.mixture.counts > 0].sum()) * self.sequence_length
        per_domain = f" ({_format_tokens(self.unique_windows, self.sequence_length)} per domain at these weights)"
        raise InputError(
            f"the run asks for {tokens:,} tokens but the data hold {unique:,} unique tokens"
            f"{'' if self._has_one_pool else per_domain} and max_epochs={self.max_epochs:g}: "
            f"prepare more data, lower the tokens, or allow repetition with max_epochs={needed:g}"
        )

    def samples_available(self) -> int:
        """Number of samples before a window would be used more than `max_epochs` times."""
        epochs = min(self.max_epochs, float(_MAX_SAMPLES))
        limits = np.minimum(np.floor(self.unique_windows * epochs), float(_MAX_SAMPLES)).astype(np.int64)
        used = np.flatnonzero(self.mixture.counts)
        low, high = 0, min(sum(limits.tolist()) * PERIOD + PERIOD, _MAX_SAMPLES)
        while low < high:  # bisection: counts_before grows with its argument
            middle = (low + high + 1) // 2
            if (self.mixture.counts_before(middle)[used] <= limits[used]).all():
                low = middle
            else:
                high = middle - 1
        return low

    def epochs(self, samples: int) -> float:
        """Epochs of the most used pool in a run of `samples` samples (1.0: every unique window once)."""
        used = self.mixture.counts > 0
        counts = self.mixture.counts_before(samples)
        return float((counts[used] / self.unique_windows[used]).max())

    def unique_tokens_seen(self, samples: int) -> int:
        """Number of different tokens in a run of `samples` samples."""
        return int(np.minimum(self.mixture.counts_before(samples), self.unique_windows).sum()) * self.sequence_length

    def windows(self, sample_index: Integers) -> tuple[Integers, Integers]:
        """(domain, window) of each sample, shaped like `sample_index`; window w of T tokens starts at token w * T."""
        samples = np.asarray(sample_index, dtype=np.int64)
        pool, rank = self.mixture.domain_and_rank(samples)
        if len(self.domain_windows) == 1:
            return pool, self._pool_window(0, rank)
        if self._has_one_pool:
            pooled = self._pool_window(0, rank)
            domain: Integers = np.searchsorted(self._first_window, pooled, side="right").astype(np.int64) - 1
            return domain, pooled - self._first_window[domain]
        window = np.empty(samples.shape, dtype=np.int64)
        for number in np.flatnonzero(self.mixture.counts).tolist():
            chosen = pool == number
            if chosen.any():
                window[chosen] = self._pool_window(number, rank[chosen])
        return pool, window

    def _pool_window(self, pool: int, rank: Integers) -> Integers:
        """The window of a pool at each rank, over all epochs."""
        unique = int(self.unique_windows[pool])
        epoch, step = np.divmod(rank, unique)
        repeated = epoch > 0
        if repeated.any():
            key = derive_key("epoch", self.seed, pool)
            step[repeated] = permute(step[repeated], unique, subkeys(key, epoch[repeated]))
        return permute(step, int(self._pool_windows[pool]), derive_key("order", self.seed, pool))


def run_order(config: RunConfig, corpus: Corpus) -> Order:
    """The order in which a run reads a corpus. Raises InputError if it needs more epochs than `data.max_epochs`."""
    data = config.data
    windows = corpus.window_counts(data.sequence_length)
    order = Order(config.seed, windows, data.sequence_length, data.weights, data.unique_tokens, data.max_epochs)
    order.check_tokens(config.total_tokens)
    return order


def _format_tokens(windows: Integers, sequence_length: int) -> str:
    return " / ".join(f"{count * sequence_length:,}" for count in windows.tolist())
