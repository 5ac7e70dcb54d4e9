"""Which window of which domain every sample of a run is: a pure function of (seed, sample index)."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.mixture import PERIOD, Mixture
from windtunnel.train.data.permutation import key_of, permute, subkeys
from windtunnel.train.errors import InputError

Integers = npt.NDArray[np.int64]
_LARGEST = 1 << 62  # samples: more than any run has, and whole numbers of 64 bits hold it


class Order:
    """The training order of a run, with random access to any sample and no state.

    Windows lie in *pools*. Without weights there is one pool, all windows of all domains: each is used once before any
    is used twice, whichever domain it is of, so domains appear in proportion to their windows (in a prefix of n samples
    to within chance). With weights each domain is a pool of its own and a `Mixture` says whose turn it is, exact to one
    sample on every prefix.

    Epoch 0 of a pool walks a permutation of all its windows keyed by (seed, pool). A budget of unique windows U keeps
    the first U of that walk; epoch e > 0 visits those U again in an order keyed by (seed, pool, e). Therefore the run
    with a small U, or with fewer tokens, is a prefix of the run with a larger one, and batch size plays no part.

    Arguments:
        seed: of the order alone.
        domain_windows: (domains,) windows that each domain has (`Corpus.window_counts`).
        sequence_length: T, tokens predicted per window; used for messages and for `unique_tokens`.
        weights: None, or one weight >= 0 a domain.
        unique_tokens: None for all, or the number of different tokens to train on, rounded down to whole windows.
        max_epochs: how often any window may be used; what needs more is refused by `require`.

    Raises InputError where the data do not hold `unique_tokens`, or weights do not match the domains.
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
                    f"{len(weights)} weights for {len(self.domain_windows)} domains: give one weight a domain, in "
                    "their order"
                )
            self.mixture = Mixture(weights)
            self._pool_windows = self.domain_windows.copy()
        self._first_window: Integers = np.concatenate([[0], np.cumsum(self.domain_windows)])
        self._pooled = weights is None
        self.unique_windows: Integers = self._choose_unique(unique_tokens)  # (pools,)

    def _choose_unique(self, unique_tokens: int | None) -> Integers:
        used = self.mixture.counts > 0
        if (self._pool_windows[used] < 1).any():
            raise InputError(
                f"a domain has no whole window of {self.sequence_length} tokens (windows per domain: "
                f"{self.domain_windows.tolist()}): "
                "shorten sequence_length or prepare more data"
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
            raise InputError(
                f"unique_tokens={unique_tokens:,} needs {_tokens(unique, self.sequence_length)} tokens per domain but "
                f"{_tokens(self._pool_windows, self.sequence_length)} exist: lower unique_tokens, change weights, or "
                "prepare more data"
            )
        if (unique[used] < 1).any():
            raise InputError(f"unique_tokens={unique_tokens:,} leaves a weighted domain without a window: raise it")
        return unique

    def require(self, tokens: int) -> None:
        """Refuse a run of `tokens` tokens that would use a window more than `max_epochs` times.

        Raises InputError saying how many tokens exist, how many are asked, and the max_epochs that would be needed.
        """
        samples = -(-tokens // self.sequence_length)
        if self.samples_available() >= samples:
            return
        needed = math.ceil(self.epochs(samples) * 1000) / 1000
        unique = int(self.unique_windows[self.mixture.counts > 0].sum()) * self.sequence_length
        where = (
            ""
            if self._pooled
            else f" ({_tokens(self.unique_windows, self.sequence_length)} per domain at these weights)"
        )
        raise InputError(
            f"the run asks for {tokens:,} tokens but the data hold {unique:,} unique tokens{where} and "
            f"max_epochs={self.max_epochs:g}: "
            f"prepare more data, lower the tokens, or declare the repetition with max_epochs={needed:g}"
        )

    def samples_available(self) -> int:
        """How many samples the order yields before a window would be used more than `max_epochs` times."""
        epochs = min(self.max_epochs, float(_LARGEST))
        limits = np.minimum(np.floor(self.unique_windows * epochs), float(_LARGEST)).astype(np.int64)
        used = np.flatnonzero(self.mixture.counts)
        low, high = 0, min(sum(limits.tolist()) * PERIOD + PERIOD, _LARGEST)
        while low < high:  # counts_before grows with its argument, so bisect
            middle = (low + high + 1) // 2
            if (self.mixture.counts_before(middle)[used] <= limits[used]).all():
                low = middle
            else:
                high = middle - 1
        return low

    def epochs(self, samples: int) -> float:
        """How often the most used pool is walked by a run of that many samples (1.0: every unique window once)."""
        used = self.mixture.counts > 0
        counts = self.mixture.counts_before(samples)
        return float((counts[used] / self.unique_windows[used]).max())

    def unique_tokens_seen(self, samples: int) -> int:
        """How many different tokens a run of that many samples is trained on."""
        return int(np.minimum(self.mixture.counts_before(samples), self.unique_windows).sum()) * self.sequence_length

    def windows(self, sample_index: Integers) -> tuple[Integers, Integers]:
        """(domain, window) of each sample, shaped like `sample_index`; window w of T tokens starts at token w * T."""
        samples = np.asarray(sample_index, dtype=np.int64)
        pool, rank = self.mixture.domain_and_rank(samples)
        if len(self.domain_windows) == 1:
            return pool, self._walk(0, rank)
        if self._pooled:
            walked = self._walk(0, rank)
            domain: Integers = np.searchsorted(self._first_window, walked, side="right").astype(np.int64) - 1
            return domain, walked - self._first_window[domain]
        window = np.empty(samples.shape, dtype=np.int64)
        for number in np.flatnonzero(self.mixture.counts).tolist():
            chosen = pool == number
            if chosen.any():
                window[chosen] = self._walk(number, rank[chosen])
        return pool, window

    def _walk(self, pool: int, rank: Integers) -> Integers:
        unique = int(self.unique_windows[pool])
        epoch, step = np.divmod(rank, unique)
        repeated = epoch > 0
        if repeated.any():
            again = key_of("epoch", self.seed, pool)
            step[repeated] = permute(step[repeated], unique, subkeys(again, epoch[repeated]))
        return permute(step, int(self._pool_windows[pool]), key_of("order", self.seed, pool))


def _tokens(windows: Integers, sequence_length: int) -> str:
    return " / ".join(f"{count * sequence_length:,}" for count in windows.tolist())
