"""Facts with power-law frequencies, as a stream of records whose entropy is known exactly.

A record is six tokens: a level l, a key of l bits in three base-256 digits (highest first), and two value tokens that
are a hash of (level, key). Level l of L has weight 2 ** (-alpha l) and 2 ** l facts, so the fact of rank r has
frequency about r ** -(1 + alpha); a model that stores the n most frequent facts loses n ** -alpha, and D records show D
** (1 / (1 + alpha)) of them, so the predicted exponents are alpha in parameters and alpha / (1 + alpha) in data.

Levels are drawn with whole-number weights over 65,536 (rounded down, the remainder to level 0), keys uniformly, values
not at all:

    H = (sum_l -w_l ln w_l + ln 2 sum_l w_l l) / 6   nats per token.

A reader of a window pays more at its start, where it may stand inside a record whose level and key it has not seen.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation, localcontext

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.counter_random import block_words
from windtunnel.train.data.permutation import key_of, mix
from windtunnel.train.errors import InputError

Ids = npt.NDArray[np.uint16]

RECORD = 6  # tokens
BLOCK_RECORDS = 1 << 14
BLOCK = RECORD * BLOCK_RECORDS  # tokens
UNITS = 1 << 16
MOST_LEVELS = 25  # a key has at most 24 bits
FIRST_DIGIT = 64  # ids: levels 0 ... 24, digits 64 ... 319, values 320 ... 575
FIRST_VALUE = 320
VOCABULARY = 576


class ZipfFacts:
    """The source. `alpha` is the exponent (over 0, to 2), `levels` their number (2 to 25), `seed` names the facts'
    values.

    Raises InputError for other values.
    """

    vocabulary = VOCABULARY

    def __init__(self, alpha: str = ".35", levels: int = 24, seed: int = 0) -> None:
        if not 2 <= levels <= MOST_LEVELS:
            raise InputError(f"synthetic:zipf-facts?levels={levels}: give 2 to {MOST_LEVELS}")
        self.seed = seed
        self._key = key_of("zipf-facts", seed)
        self._facts = np.uint64(key_of("zipf-facts values", seed))
        self._weights = _level_weights(alpha, levels)  # (levels,) whole numbers that sum to UNITS
        self._level_of = np.repeat(np.arange(levels, dtype=np.uint64), self._weights)

    @property
    def entropy_nats_per_token(self) -> float:
        """H above."""
        weights = self._weights[self._weights > 0] / UNITS
        key_bits = float((self._weights * np.arange(len(self._weights))).sum()) / UNITS
        return (float(-(weights * np.log(weights)).sum()) + key_bits * float(np.log(2))) / RECORD

    @property
    def opening_excess_nats(self) -> None:
        """Not known: it hangs on where in a record the windows begin, and so on their length."""
        return None

    def blocks(self, places: Sequence[tuple[int, int]]) -> Iterator[Ids]:
        """The blocks at (stream, number), BLOCK tokens each. A block depends on its place alone, not on those asked for
        beside it.
        """
        for stream, number in places:
            words = block_words(self._key, stream, number, BLOCK_RECORDS)
            level = self._level_of[words & np.uint64(UNITS - 1)]
            key = (words >> np.uint64(32)) & ((np.uint64(1) << level) - np.uint64(1))
            records = np.empty((BLOCK_RECORDS, RECORD), dtype=np.uint16)
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

    def nats(self, tokens: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """-ln of the true probability of each token of whole records, given the record so far: zero for values and
        fixed digits.

        Raises ValueError for tokens that are not whole records.
        """
        ids = np.asarray(tokens)
        if ids.size % RECORD:
            raise ValueError(f"{ids.size} tokens are not whole records of {RECORD}")
        level = ids.reshape(-1, RECORD)[:, 0].astype(np.int64)
        nats = np.zeros((len(level), RECORD))
        nats[:, 0] = -np.log(self._weights[level] / UNITS)
        for digit in range(3):
            nats[:, 1 + digit] = np.clip(level - (16 - 8 * digit), 0, 8) * np.log(2)
        flat: npt.NDArray[np.float64] = nats.reshape(-1)
        return flat


def _level_weights(alpha: str, levels: int) -> npt.NDArray[np.int64]:
    """Computed in decimal, so that they are the same on every machine."""
    with localcontext() as context:
        context.prec = 28
        try:
            exponent = Decimal(alpha)
            possible = 0 < exponent <= 2
        except InvalidOperation:  # no number, or a comparison with NaN
            possible = False
        if not possible:
            raise InputError(f"synthetic:zipf-facts?alpha={alpha}: give a number over 0, to 2")
        shares = [Decimal(2) ** (-exponent * level) for level in range(levels)]
        weights = [int(share / sum(shares) * UNITS) for share in shares]
    weights[0] += UNITS - sum(weights)
    return np.array(weights, dtype=np.int64)
