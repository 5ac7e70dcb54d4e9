"""A variable-order Markov source over V tokens whose entropy rate is known exactly.

The last token decides whether the context is the last one, two or three tokens. A context hashes to four successors,
one per residue class mod 4, whose ids follow Zipf's law. In every context they have the probabilities q = (0.55, 0.25,
0.13, 0.07) times 1 - eps; the rest is noise, uniform over the V tokens. Because all contexts have the same
probabilities, the entropy rate does not depend on the stationary distribution:

    H = -sum_j p_j ln p_j - (V - 4) (eps / V) ln(eps / V),    p_j = w_j + eps / V.

All probabilities are whole numbers over 65,536 (eps = 1311 / 65,536, about 0.02; w_j = q_j (1 - eps) rounded down, the
remainder added to the likeliest), so the sampled probabilities equal those of the formula.

A block of 65,536 tokens is one sequence that starts from a context of zeros. A model that does not know this context
pays up to three tokens per block more than H, about 3e-4 nats per token. A model that reads windows predicts the second
and third token of each window from one and two tokens, and pays for the missing context: `opening_excess_nats`.

Legend: V vocabulary, X = V ** 3 contexts, J likely successors of a context.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation, localcontext

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.counter_random import block_words
from windtunnel.train.data.permutation import MIX_STEPS, derive_key, mix
from windtunnel.train.errors import InputError

Words = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.uint16]
Probabilities = npt.NDArray[np.float64]

BLOCK_TOKENS = 1 << 16
PARALLEL_BLOCKS = 256
SEGMENT = 1 << 12  # positions whose random draws are prepared at once; bounds the memory
PROBABILITY_UNITS = 1 << 16  # probabilities are whole numbers of 1 / PROBABILITY_UNITS
NOISE_UNITS = 1311
_SIGNAL = PROBABILITY_UNITS - NOISE_UNITS
_TAIL = [percent * _SIGNAL // 100 for percent in (25, 13, 7)]
SUCCESSOR_UNITS = (_SIGNAL - sum(_TAIL), *_TAIL)
_SIXTEEN = np.uint64(16)
# The 262,144 contexts of 64 tokens take a second; the 1e9 contexts of 1,024 tokens would take tens of gigabytes.
MAX_TRIPLE_VOCABULARY = 64
STATIONARY_TOLERANCE = 1e-13  # total change of an iteration: above rounding, far below a digit of the entropy


class ContextTree:
    """The source.

    Arguments:
        vocabulary: V, a power of two from 16 to 65,536.
        zipf: exponent of the distribution of successor ids, 0 to 4, as a decimal number.
        seed: names the tree.

    Raises InputError for other values.
    """

    def __init__(self, vocabulary: int = 1024, zipf: str = "1.2", seed: int = 0) -> None:
        if not 16 <= vocabulary <= PROBABILITY_UNITS or vocabulary & (vocabulary - 1):
            raise InputError(f"synthetic:context-tree?vocabulary={vocabulary}: give a power of two from 16 to 65536")
        self.vocabulary = vocabulary
        self.seed = seed
        self._key = derive_key("context-tree", seed)
        self._tree = np.uint64(derive_key("context-tree contexts", seed))
        order_key = np.uint64(derive_key("context-tree orders", seed))
        orders = mix(np.arange(vocabulary, dtype=np.uint64) + order_key) % np.uint64(3)
        masks = np.array([0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFF], dtype=np.uint64)
        self._context_mask = masks[orders]  # (V,) the part of the history that is the context, by last token
        ranks = _zipf_ranks(vocabulary // 4, zipf)
        successors = [4 * ranks + residue for residue in range(4)]
        # Indexed by j * PROBABILITY_UNITS + hash; the noise tokens come last.
        self._successor: Words = np.concatenate([*successors, np.arange(vocabulary)]).astype(np.uint64)

    @property
    def entropy_nats_per_token(self) -> float:
        """H of the formula above."""
        noise = self._noise
        probabilities = np.array([units / PROBABILITY_UNITS + noise for units in SUCCESSOR_UNITS])
        return float(-(probabilities * np.log(probabilities)).sum() - (self.vocabulary - 4) * noise * np.log(noise))

    @property
    def opening_excess_nats(self) -> float | None:
        """Total cost beyond H of the first predictions of a window, in nats; None for V above 64.

        The first token of a window is given, the second is predicted from one token and the third from two. From the
        fourth on the context is complete. In an endless text the excess is
        H(X2|X1) - H + H(X3|X1,X2) - H = H(X1,X2,X3) - H(X1) - 2 H.
        """
        if self.vocabulary > MAX_TRIPLE_VOCABULARY:
            return None
        triple = self.stationary_triples()
        return _entropy(triple) - _entropy(triple.sum(axis=(1, 2))) - 2 * self.entropy_nats_per_token

    @property
    def _noise(self) -> float:
        """Probability of a token as noise."""
        return NOISE_UNITS / PROBABILITY_UNITS / self.vocabulary

    def stationary_triples(self) -> Probabilities:
        """(V, V, V) the probability of three consecutive tokens in an endless text."""
        first, second, last = np.indices((self.vocabulary,) * 3, dtype=np.uint64).reshape(3, -1)
        successors_XJ = self._likely_successors(first << np.uint64(32) | second << np.uint64(16) | last, last)
        weight_J = np.array(SUCCESSOR_UNITS) / PROBABILITY_UNITS
        return _stationary_triples(self.vocabulary, successors_XJ.astype(np.int64), weight_J, self._noise)

    def _likely_successors(self, history: Words, last: Words) -> Words:
        """(contexts, J) the likely tokens after each history of three tokens that ends with `last`."""
        hashed = mix((history & self._context_mask[last]) ^ self._tree)
        residues = np.arange(len(SUCCESSOR_UNITS), dtype=np.uint64)
        index = hashed[:, None] >> residues * _SIXTEEN & np.uint64(PROBABILITY_UNITS - 1)
        successors: Words = self._successor[index + residues * np.uint64(PROBABILITY_UNITS)]
        return successors

    def blocks(self, block_ids: Sequence[tuple[int, int]]) -> Iterator[Ids]:
        """The blocks with the given (stream, number), BLOCK_TOKENS tokens each.

        A block depends on its id alone, not on the other blocks of the call.
        """
        for first in range(0, len(block_ids), PARALLEL_BLOCKS):
            yield from self._parallel_blocks(block_ids[first : first + PARALLEL_BLOCKS])

    def _parallel_blocks(self, block_ids: Sequence[tuple[int, int]]) -> Ids:
        """(blocks, BLOCK_TOKENS), sampled position by position for all blocks at once.

        Each token is one look-up of successor[(hash >> shift & mask) + base].
        """
        count = len(block_ids)
        draws = np.stack(
            [block_words(self._key, *block_id, BLOCK_TOKENS // 2).view(np.uint32) for block_id in block_ids], axis=1
        )
        branches = np.repeat(np.arange(5, dtype=np.uint64), [*SUCCESSOR_UNITS, NOISE_UNITS])
        tokens = np.empty((BLOCK_TOKENS, count), dtype=np.uint16)
        history, word, scratch, token = (np.zeros(count, dtype=np.uint64) for _ in range(4))
        context_mask = np.full(count, self._context_mask[0])
        for start in range(0, BLOCK_TOKENS, SEGMENT):
            part = draws[start : start + SEGMENT]
            branch = branches[part & np.uint32(PROBABILITY_UNITS - 1)]
            noise = (part >> np.uint32(16) & np.uint32(self.vocabulary - 1)).astype(np.uint64)
            shift = (branch & np.uint64(3)) << np.uint64(4)
            mask = np.where(branch == 4, np.uint64(0), np.uint64(PROBABILITY_UNITS - 1))
            base = branch * np.uint64(PROBABILITY_UNITS) + np.where(branch == 4, noise, np.uint64(0))
            for position in range(len(part)):
                np.bitwise_and(history, context_mask, out=word)
                np.bitwise_xor(word, self._tree, out=word)
                _mix_in_place(word, scratch)
                np.right_shift(word, shift[position], out=word)
                np.bitwise_and(word, mask[position], out=word)
                np.add(word, base[position], out=word)
                self._successor.take(word, out=token, mode="clip")
                self._context_mask.take(token, out=context_mask, mode="clip")
                np.left_shift(history, _SIXTEEN, out=history)  # the mask removes tokens before the last three
                np.bitwise_or(history, token, out=history)
                tokens[start + position] = token
        return np.ascontiguousarray(tokens.T)

    def token_nats(self, tokens: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """-ln of the true probability of each token of one stream, given those before it (zeros before the first).

        The difference between a model's loss on the same tokens and these values is the model's excess loss, with most
        of the sampling noise removed.
        """
        ids = np.asarray(tokens).astype(np.uint64)
        padded = np.concatenate([np.zeros(3, dtype=np.uint64), ids])
        history = padded[2:-1] | padded[1:-2] << np.uint64(16) | padded[:-3] << np.uint64(32)
        is_likely = self._likely_successors(history, padded[2:-1]) == ids[:, None]
        probability = self._noise + is_likely @ (np.array(SUCCESSOR_UNITS) / PROBABILITY_UNITS)
        nats: npt.NDArray[np.float64] = -np.log(probability)
        return nats


def _entropy(probabilities: Probabilities) -> float:
    """The entropy of a distribution without zeros, in nats."""
    return float(-(probabilities * np.log(probabilities)).sum())


def _mix_in_place(word: Words, scratch: Words) -> None:
    """`mix` without allocation, which would dominate the time of the sampling loop."""
    for shift, multiplier in MIX_STEPS:
        np.right_shift(word, shift, out=scratch)
        np.bitwise_xor(word, scratch, out=word)
        if multiplier is not None:
            np.multiply(word, multiplier, out=word)


def _zipf_ranks(count: int, exponent: str) -> npt.NDArray[np.int64]:
    """(PROBABILITY_UNITS,) ranks 0 ... count-1 with frequency proportional to (rank + 1) ** -exponent.

    Computed in decimal, so that the ranks are the same on every machine.
    """
    with localcontext() as context:
        context.prec = 28
        try:
            power = -Decimal(exponent)
            is_valid = -4 <= power <= 0
        except InvalidOperation:  # not a number, or a comparison with NaN
            is_valid = False
        if not is_valid:
            raise InputError(f"synthetic:context-tree?zipf={exponent}: give a number from 0 to 4")
        weights = [Decimal(rank) ** power for rank in range(1, count + 1)]
        total, cumulative = sum(weights), Decimal(0)
        ends = []
        for weight in weights:
            cumulative += weight
            ends.append(int((cumulative / total * PROBABILITY_UNITS).to_integral_value()))
    return np.searchsorted(np.array(ends), np.arange(PROBABILITY_UNITS), side="right").astype(np.int64)


def _stationary_triples(
    vocabulary: int, successor_XJ: npt.NDArray[np.int64], weight_J: Probabilities, noise: float
) -> Probabilities:
    """(V, V, V) the stationary distribution p of triples: p(b, c, d) = sum_a p(a, b, c) P(d | a, b, c).

    Contexts (a, b, c) are ordered by a V ** 2 + b V + c. P is `weight_J` on the distinct successors of a context plus
    `noise` on every token, so p is unique and the iteration converges from any start.
    """
    contexts = np.arange(vocabulary**3)[:, None]
    next_context_XJ = contexts % vocabulary**2 * vocabulary + successor_XJ
    probability_X = np.full(vocabulary**3, vocabulary**-3.0)
    change = 1.0
    while change > STATIONARY_TOLERANCE:
        flow_XJ = probability_X[:, None] * weight_J
        likely_X = np.bincount(next_context_XJ.ravel(), flow_XJ.ravel(), minlength=vocabulary**3)
        noise_VV = noise * probability_X.reshape((vocabulary,) * 3).sum(axis=0)
        following_X = likely_X + np.repeat(noise_VV.ravel(), vocabulary)
        change = float(np.abs(following_X - probability_X).sum())
        probability_X = following_X
    return probability_X.reshape((vocabulary,) * 3)
