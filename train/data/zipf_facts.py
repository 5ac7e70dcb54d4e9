"""Facts with power-law frequencies, as a stream of records whose entropy is known exactly.

A record is six tokens: a level l, a key of l bits in three base-256 digits (highest first), and two value tokens that
are a hash of (level, key). Level l of L has weight 2 ** (-alpha l) and 2 ** l facts, so the fact of rank r has
frequency about r ** -(1 + alpha). A model that stores the n most frequent facts loses n ** -alpha, and D records show
D ** (1 / (1 + alpha)) of them. The predicted exponents are therefore alpha in parameters and alpha / (1 + alpha) in
data.

Levels are drawn with whole-number weights over 65,536 (rounded down, the remainder added to level 0), keys uniformly;
values are not random:

    H = (sum_l -w_l ln w_l + ln 2 sum_l w_l l) / 6   nats per token.

A window that starts inside a record lacks its level and key, so the first predictions of a window cost more than H.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation, localcontext

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.counter_random import block_words
from windtunnel.train.data.permutation import derive_key, mix
from windtunnel.train.errors import InputError

Ids = npt.NDArray[np.uint16]

RECORD_TOKENS = 6
BLOCK_RECORDS = 1 << 14
BLOCK_TOKENS = RECORD_TOKENS * BLOCK_RECORDS
WEIGHT_UNITS = 1 << 16
MAX_LEVELS = 25  # a key has at most 24 bits
# Token ids: levels 0 ... 24, digits 64 ... 319, values 320 ... 575.
FIRST_DIGIT = 64
FIRST_VALUE = 320
VOCABULARY = 576


class ZipfFacts:
    """The source.

    Arguments:
        alpha: the exponent, above 0 and at most 2, as a decimal number.
        levels: number of levels, 2 to 25.
        seed: names the values of the facts.

    Raises InputError for other values.
    """

    vocabulary = VOCABULARY

    def __init__(self, alpha: str = "0.35", levels: int = 24, seed: int = 0) -> None:
        if not 2 <= levels <= MAX_LEVELS:
            raise InputError(f"synthetic:zipf-facts?levels={levels}: give 2 to {MAX_LEVELS}")
        self.seed = seed
        self._key = derive_key("zipf-facts", seed)
        self._facts = np.uint64(derive_key("zipf-facts values", seed))
        self._weights = _level_weights(alpha, levels)  # (levels,) whole numbers that sum to WEIGHT_UNITS
        self._level_of = np.repeat(np.arange(levels, dtype=np.uint64), self._weights)

    @property
    def entropy_nats_per_token(self) -> float:
        """H of the formula above."""
        weights = self._weights[self._weights > 0] / WEIGHT_UNITS
        key_bits = float((self._weights * np.arange(len(self._weights))).sum()) / WEIGHT_UNITS
        return (float(-(weights * np.log(weights)).sum()) + key_bits * float(np.log(2))) / RECORD_TOKENS

    @property
    def opening_excess_nats(self) -> None:
        """Not known: it depends on where in a record the windows start, and so on their length."""
        return None

    def blocks(self, block_ids: Sequence[tuple[int, int]]) -> Iterator[Ids]:
        """The blocks with the given (stream, number), BLOCK_TOKENS tokens each.

        A block depends on its id alone, not on the other blocks of the call.
        """
        for stream, number in block_ids:
            words = block_words(self._key, stream, number, BLOCK_RECORDS)
            level = self._level_of[words & np.uint64(WEIGHT_UNITS - 1)]
            key = (words >> np.uint64(32)) & ((np.uint64(1) << level) - np.uint64(1))
            records = np.empty((BLOCK_RECORDS, RECORD_TOKENS), dtype=np.uint16)
            records[:, 0] = level
            for digit in range(3):
                records[:, 1 + digit] = (key >> np.uint64(16 - 8 * digit) & np.uint64(255)) + np.uint64(FIRST_DIGIT)
            records[:, 4], records[:, 5] = self.values(level, key)
            yield records.reshape(-1)

    def values(self, level: npt.NDArray[np.uint64], key: npt.NDArray[np.uint64]) -> tuple[Ids, Ids]:
        """The two value tokens of each fact."""
        hashed = mix((level << np.uint64(32) | key) ^ self._facts)
        first = (hashed & np.uint64(255)) + np.uint64(FIRST_VALUE)
        second = (hashed >> np.uint64(8) & np.uint64(255)) + np.uint64(FIRST_VALUE)
        return first.astype(np.uint16), second.astype(np.uint16)

    def token_nats(self, tokens: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """-ln of the true probability of each token of whole records, given the record so far.

        Zero for values and fixed digits. Raises ValueError for tokens that are not whole records.
        """
        ids = np.asarray(tokens)
        if ids.size % RECORD_TOKENS:
            raise ValueError(f"{ids.size} tokens are not whole records of {RECORD_TOKENS}")
        level = ids.reshape(-1, RECORD_TOKENS)[:, 0].astype(np.int64)
        nats = np.zeros((len(level), RECORD_TOKENS))
        nats[:, 0] = -np.log(self._weights[level] / WEIGHT_UNITS)
        for digit in range(3):
            nats[:, 1 + digit] = np.clip(level - (16 - 8 * digit), 0, 8) * np.log(2)
        flat: npt.NDArray[np.float64] = nats.reshape(-1)
        return flat


def _level_weights(alpha: str, levels: int) -> npt.NDArray[np.int64]:
    """(levels,) weights in WEIGHT_UNITS, computed in decimal, so that they are the same on every machine."""
    with localcontext() as context:
        context.prec = 28
        try:
            exponent = Decimal(alpha)
            is_valid = 0 < exponent <= 2
        except InvalidOperation:  # not a number, or a comparison with NaN
            is_valid = False
        if not is_valid:
            raise InputError(f"synthetic:zipf-facts?alpha={alpha}: give a number above 0, at most 2")
        shares = [Decimal(2) ** (-exponent * level) for level in range(levels)]
        weights = [int(share / sum(shares) * WEIGHT_UNITS) for share in shares]
    weights[0] += WEIGHT_UNITS - sum(weights)
    return np.array(weights, dtype=np.int64)
