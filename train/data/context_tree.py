"""A variable-order Markov source over V tokens whose entropy rate is known exactly.

The last token decides whether one, two or three previous tokens are the context. A context hashes to four successors,
one per residue class mod 4, whose ids follow Zipf's law; whatever the context, they have probabilities q = (.55, .25,
.13, .07) times 1 - eps, and the rest is noise, uniform over the V tokens. Because every context has the same
probabilities, the entropy rate is

    H = -sum_j p_j ln p_j - (V - 4) (eps / V) ln(eps / V),    p_j = w_j + eps / V,

whatever the stationary law. Everything is a whole number over 65,536 (eps = 1311 / 65,536, about .02; w_j by rounding
down, the remainder to the likeliest), so no sampled probability differs from the formula.

A block of 65,536 tokens is one sequence, started from a context of zeros: a reader who has no such context pays up to
three tokens per block more than H, about 3e-4 nats a token. A reader of windows predicts the second and the third token
of each from one and from two tokens, and pays for what they leave open: `opening_excess_nats`.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation, localcontext

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.counter_random import block_words
from windtunnel.train.data.permutation import MIX_STEPS, key_of, mix
from windtunnel.train.errors import InputError

Words = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.uint16]

BLOCK = 1 << 16  # tokens
LANES = 256  # blocks made side by side
SEGMENT = 1 << 12  # positions whose draws are laid out at once, which bounds the memory
UNITS = 1 << 16  # probabilities are whole numbers of 1 / UNITS
NOISE = 1311
_SIGNAL = UNITS - NOISE
_TAIL = [percent * _SIGNAL // 100 for percent in (25, 13, 7)]
SUCCESSORS = (_SIGNAL - sum(_TAIL), *_TAIL)
_SIXTEEN = np.uint64(16)
MOST_WITH_TRIPLES = 64  # symbols: their 262,144 contexts take a second, the 1e9 of 1,024 symbols tens of gigabytes


Shares = npt.NDArray[np.float64]


class ContextTree:
    """The source. `vocabulary` is a power of two from 16 to 65,536; `zipf` the exponent of successor ids; `seed` names
    the tree.

    Raises InputError for other values.
    """

    def __init__(self, vocabulary: int = 1024, zipf: str = "1.2", seed: int = 0) -> None:
        if not 16 <= vocabulary <= UNITS or vocabulary & (vocabulary - 1):
            raise InputError(f"synthetic:context-tree?vocabulary={vocabulary}: give a power of two from 16 to 65536")
        self.vocabulary = vocabulary
        self.seed = seed
        self._key = key_of("context-tree", seed)
        self._tree = np.uint64(key_of("context-tree contexts", seed))
        orders = mix(
            np.arange(vocabulary, dtype=np.uint64) + np.uint64(key_of("context-tree orders", seed))
        ) % np.uint64(3)
        self._kept = np.array([0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFF], dtype=np.uint64)[
            orders
        ]  # mask of the history, by last token
        ranks = _zipf_ranks(vocabulary // 4, zipf)
        successors = [4 * ranks + residue for residue in range(4)]
        self._successor: Words = np.concatenate([*successors, np.arange(vocabulary)]).astype(
            np.uint64
        )  # by j * UNITS + hash, then noise

    @property
    def entropy_nats_per_token(self) -> float:
        """H above."""
        noise = NOISE / UNITS / self.vocabulary
        probabilities = np.array([weight / UNITS + noise for weight in SUCCESSORS])
        return float(-(probabilities * np.log(probabilities)).sum() - (self.vocabulary - 4) * noise * np.log(noise))

    @property
    def opening_excess_nats(self) -> float | None:
        """What the first predictions of a window cost beyond H, in nats in all; None above 64 symbols.

        A window's first token is given, its second is predicted from one token and its third from two; from the fourth
        on the context is whole. In an endless text that is H(X2|X1) - H + H(X3|X1,X2) - H = H(X1,X2,X3) - H(X1) - 2 H.
        """
        if self.vocabulary > MOST_WITH_TRIPLES:
            return None
        triple = self.stationary_triples()
        return _nats_of(triple) - _nats_of(triple.sum(axis=(1, 2))) - 2 * self.entropy_nats_per_token

    def stationary_triples(self) -> Shares:
        """(V, V, V) how often three tokens follow one another in an endless text."""
        first, second, last = np.indices((self.vocabulary,) * 3, dtype=np.uint64).reshape(3, -1)
        successors = self._successors_after(first << np.uint64(32) | second << np.uint64(16) | last, last)
        noise = NOISE / UNITS / self.vocabulary
        return stationary_triples(self.vocabulary, successors.astype(np.int64), np.array(SUCCESSORS) / UNITS, noise)

    def _successors_after(self, history: Words, last: Words) -> Words:
        """(contexts, 4) the likely tokens after each history of three tokens, of which `last` is the last."""
        hashed = mix((history & self._kept[last]) ^ self._tree)
        residues = np.arange(len(SUCCESSORS), dtype=np.uint64)
        index = (hashed[:, None] >> residues * _SIXTEEN & np.uint64(UNITS - 1)) + residues * np.uint64(UNITS)
        successors: Words = self._successor[index]
        return successors

    def blocks(self, places: Sequence[tuple[int, int]]) -> Iterator[Ids]:
        """The blocks at (stream, number), BLOCK tokens each. A block depends on its place alone, not on those asked for
        beside it.
        """
        for first in range(0, len(places), LANES):
            yield from self._lanes(places[first : first + LANES])

    def _lanes(self, places: Sequence[tuple[int, int]]) -> Ids:
        """Blocks side by side, position by position; each token is one look-up of successor[(hash >> shift & mask) +
        base].
        """
        lanes = len(places)
        draws = np.stack([block_words(self._key, *place, BLOCK // 2).view(np.uint32) for place in places], axis=1)
        branches = np.repeat(np.arange(5, dtype=np.uint64), [*SUCCESSORS, NOISE])
        tokens = np.empty((BLOCK, lanes), dtype=np.uint16)
        history, word, scratch, token = (np.zeros(lanes, dtype=np.uint64) for _ in range(4))
        kept = np.full(lanes, self._kept[0])
        for start in range(0, BLOCK, SEGMENT):
            part = draws[start : start + SEGMENT]
            branch = branches[part & np.uint32(UNITS - 1)]
            noise = (part >> np.uint32(16) & np.uint32(self.vocabulary - 1)).astype(np.uint64)
            shift = (branch & np.uint64(3)) << np.uint64(4)
            mask = np.where(branch == 4, np.uint64(0), np.uint64(UNITS - 1))
            base = branch * np.uint64(UNITS) + np.where(branch == 4, noise, np.uint64(0))
            for position in range(len(part)):
                np.bitwise_and(history, kept, out=word)
                np.bitwise_xor(word, self._tree, out=word)
                _mix_in_place(word, scratch)
                np.right_shift(word, shift[position], out=word)
                np.bitwise_and(word, mask[position], out=word)
                np.add(word, base[position], out=word)
                self._successor.take(word, out=token, mode="clip")
                self._kept.take(token, out=kept, mode="clip")
                np.left_shift(history, _SIXTEEN, out=history)  # tokens before the last three are masked away by `kept`
                np.bitwise_or(history, token, out=history)
                tokens[start + position] = token
        return np.ascontiguousarray(tokens.T)

    def nats(self, tokens: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """-ln of the true probability of each token of one stream given those before it (zeros before the first).

        Subtracted from a model's loss on the same tokens it leaves the excess with most of the sampling noise gone.
        """
        ids = np.asarray(tokens).astype(np.uint64)
        padded = np.concatenate([np.zeros(3, dtype=np.uint64), ids])
        history = padded[2:-1] | padded[1:-2] << np.uint64(16) | padded[:-3] << np.uint64(32)
        likely = self._successors_after(history, padded[2:-1]) == ids[:, None]
        weight = NOISE / UNITS / self.vocabulary + likely @ (np.array(SUCCESSORS) / UNITS)
        nats: npt.NDArray[np.float64] = -np.log(weight)
        return nats


def _nats_of(shares: Shares) -> float:
    """The entropy of a distribution of which every outcome is possible."""
    return float(-(shares * np.log(shares)).sum())


def _mix_in_place(word: Words, scratch: Words) -> None:
    """`mix` without allocation: the loop above spends its time in the overhead of small arrays."""
    for shift, multiplier in MIX_STEPS:
        np.right_shift(word, shift, out=scratch)
        np.bitwise_xor(word, scratch, out=word)
        if multiplier is not None:
            np.multiply(word, multiplier, out=word)


def _zipf_ranks(count: int, exponent: str) -> npt.NDArray[np.int64]:
    """(UNITS,) ranks 0 ... count-1 with frequency as (rank + 1) ** -exponent, computed in decimal: the same on every
    machine.
    """
    with localcontext() as context:
        context.prec = 28
        try:
            power = -Decimal(exponent)
            possible = -4 <= power <= 0
        except InvalidOperation:  # no number, or a comparison with NaN
            possible = False
        if not possible:
            raise InputError(f"synthetic:context-tree?zipf={exponent}: give a number from 0 to 4")
        weights = [Decimal(rank) ** power for rank in range(1, count + 1)]
        total, below = sum(weights), Decimal(0)
        ends = []
        for weight in weights:
            below += weight
            ends.append(int((below / total * UNITS).to_integral_value()))
    return np.searchsorted(np.array(ends), np.arange(UNITS), side="right").astype(np.int64)


TOLERANCE = 1e-13  # of all shares together: far above their rounding, far below what a digit of the entropy needs


def stationary_triples(vocabulary: int, successor_XJ: npt.NDArray[np.int64], weight_J: Shares, noise: float) -> Shares:
    """(V, V, V) the p that its own next token leaves alone: p(b, c, d) = sum_a p(a, b, c) P(d | a, b, c).

    Contexts are in the order of a V ** 2 + b V + c. P is `weight_J` on the distinct successors of a context, and
    `noise` on every token, which is why there is one such p and every start leads to it.
    """
    contexts = np.arange(vocabulary**3)[:, None]
    next_context_XJ = contexts % vocabulary**2 * vocabulary + successor_XJ
    share_X = np.full(vocabulary**3, vocabulary**-3.0)
    change = 1.0
    while change > TOLERANCE:
        flow_XJ = share_X[:, None] * weight_J
        likely_X = np.bincount(next_context_XJ.ravel(), flow_XJ.ravel(), minlength=vocabulary**3)
        noise_BC = noise * share_X.reshape((vocabulary,) * 3).sum(axis=0)
        following_X = likely_X + np.repeat(noise_BC.ravel(), vocabulary)
        change = float(np.abs(following_X - share_X).sum())
        share_X = following_X
    return share_X.reshape((vocabulary,) * 3)
