"""The context tree has the stated entropy, and the same tokens as ever."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from windtunnel.train.data.context_tree import (
    BLOCK_TOKENS,
    NOISE_UNITS,
    PROBABILITY_UNITS,
    SUCCESSOR_UNITS,
    ContextTree,
    _zipf_ranks,
)
from windtunnel.train.errors import InputError


@pytest.fixture(scope="module")
def tree() -> ContextTree:
    return ContextTree()


@pytest.fixture(scope="module")
def blocks(tree: ContextTree) -> list[np.ndarray]:
    return list(tree.blocks([(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]))


def test_entropy_rate_is_the_documented_one(tree: ContextTree) -> None:
    assert tree.entropy_nats_per_token == pytest.approx(1.340110, abs=5e-7)


def test_probabilities_are_whole_numbers_that_sum_to_one() -> None:
    assert sum(SUCCESSOR_UNITS) + NOISE_UNITS == PROBABILITY_UNITS


@pytest.mark.slow
def test_first_block_does_not_change(blocks: list[np.ndarray]) -> None:
    digest = hashlib.sha256(blocks[0].astype("<u2").tobytes()).hexdigest()
    assert digest == "db6f5516386fd52f87fd7584ac5286147d0228d2bca979afdc819439676fe533"


@pytest.mark.slow
def test_block_does_not_depend_on_other_blocks(tree: ContextTree, blocks: list[np.ndarray]) -> None:
    (alone,) = tree.blocks([(0, 2)])
    assert np.array_equal(alone, blocks[2])


@pytest.mark.slow
def test_blocks_and_streams_differ(blocks: list[np.ndarray]) -> None:
    for first, second in [*pairwise(blocks), (blocks[0], blocks[4])]:
        assert (first == second).mean() < 0.2


def test_mean_true_nats_equal_the_entropy(tree: ContextTree, blocks: list[np.ndarray]) -> None:
    nats = np.concatenate([tree.token_nats(block) for block in blocks])
    assert len(nats) == 5 * BLOCK_TOKENS
    assert nats.mean() == pytest.approx(tree.entropy_nats_per_token, abs=4 * nats.std() / np.sqrt(len(nats)))


def test_conditional_probabilities_sum_to_one() -> None:
    small = ContextTree(vocabulary=16)
    for context in ([3, 1, 2], [0, 0, 0], [15, 7, 9]):
        probability = [np.exp(-small.token_nats([*context, token])[-1]) for token in range(16)]
        assert sum(probability) == pytest.approx(1)
        assert sorted(probability)[-4] > sorted(probability)[-5]  # four successors are likelier than the noise


def test_last_token_decides_the_length_of_the_context() -> None:
    small = ContextTree(vocabulary=64)

    def likeliest(context: list[int]) -> int:
        return int(np.argmin([small.token_nats([*context, token])[-1] for token in range(0, 64, 4)]))

    reach = set()
    for last in range(8):
        by_second = {likeliest([7, other, last]) for other in range(8)}
        by_third = {likeliest([other, 7, last]) for other in range(8)}
        reach.add((len(by_second) > 1, len(by_third) > 1))
    assert reach == {(False, False), (True, False), (True, True)}


def entropy_of(shares: np.ndarray) -> float:
    possible = shares[shares > 0]
    return float(-(possible * np.log(possible)).sum())


@pytest.fixture(scope="module")
def small() -> ContextTree:
    return ContextTree(vocabulary=16)


def test_stationary_triples_are_stationary_under_the_source(small: ContextTree) -> None:
    """One stream has every quadruple; `token_nats` gives the probability of its last token."""
    groups = np.indices((16,) * 4).reshape(4, -1).T
    probability = np.exp(-small.token_nats(groups.ravel())[3::4]).reshape((16,) * 4)
    triple = small.stationary_triples()
    assert triple.sum() == pytest.approx(1, abs=1e-12)
    quadruple = triple[..., None] * probability
    assert np.abs(quadruple.sum(axis=0) - triple).max() < 1e-12
    assert entropy_of(quadruple) - entropy_of(triple) == pytest.approx(small.entropy_nats_per_token, abs=1e-10)


def test_opening_excess_does_not_change(small: ContextTree) -> None:
    assert small.opening_excess_nats == pytest.approx(0.4401468861, abs=1e-10)


@pytest.mark.slow
def test_opening_excess_matches_pair_and_triple_counts_of_blocks(small: ContextTree) -> None:
    """Two million tokens, to within four standard errors (from the spread of the blocks) and the bias of counts."""

    def excess(triple: np.ndarray) -> float:
        share = triple.reshape((16,) * 3) / triple.sum()
        pair, single = entropy_of(share.sum(axis=2)), entropy_of(share.sum(axis=(1, 2)))
        second, third = pair - single, entropy_of(share) - pair
        return second + third - 2 * small.entropy_nats_per_token

    blocks = np.stack(list(small.blocks([(0, number) for number in range(32)]))).astype(np.int64)
    triples = 256 * blocks[:, :-2] + 16 * blocks[:, 1:-1] + blocks[:, 2:]
    counts = np.stack([np.bincount(block, minlength=4096) for block in triples])
    error = np.std([excess(count) for count in counts], ddof=1) / np.sqrt(len(counts))
    # Counts of n tokens understate the entropy of K outcomes by up to (K - 1) / 2n (Miller 1955).
    bias = 4095 / (2 * counts.sum())
    assert 4 * error + bias < 0.01
    assert excess(counts.sum(axis=0)) == pytest.approx(small.opening_excess_nats, abs=4 * error + bias)


def test_opening_excess_is_none_for_large_vocabularies(tree: ContextTree) -> None:
    assert tree.opening_excess_nats is None
    assert ContextTree(vocabulary=128).opening_excess_nats is None
    most = ContextTree(vocabulary=64).opening_excess_nats
    assert most is not None
    assert 0 < most < 2 * np.log(64)


@pytest.mark.slow
def test_seed_changes_the_tree_but_not_its_entropy(tree: ContextTree, blocks: list[np.ndarray]) -> None:
    other = ContextTree(seed=1)
    assert other.entropy_nats_per_token == tree.entropy_nats_per_token
    assert other.token_nats(blocks[0]).mean() > 4


def test_successor_ids_follow_zipfs_law() -> None:
    counts = np.bincount(_zipf_ranks(256, "1.2"))
    assert counts.sum() == PROBABILITY_UNITS
    law = np.arange(1, 257) ** -1.2
    assert np.abs(counts - PROBABILITY_UNITS * law / law.sum()).max() <= 1
    assert (np.bincount(_zipf_ranks(4, "0")) == PROBABILITY_UNITS // 4).all()


@pytest.mark.parametrize("vocabulary", [8, 1000, 1 << 17])
def test_invalid_vocabulary_is_an_error(vocabulary: int) -> None:
    with pytest.raises(InputError, match="power of two from 16 to 65536"):
        ContextTree(vocabulary)


@pytest.mark.parametrize("zipf", ["x", "5", "-1", "nan"])
def test_invalid_exponent_is_an_error(zipf: str) -> None:
    with pytest.raises(InputError, match="zipf="):
        ContextTree(zipf=zipf)
