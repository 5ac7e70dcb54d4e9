"""The context tree has the entropy it claims, and the tokens it has always had."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from train.data.context_tree import BLOCK, NOISE, SUCCESSORS, UNITS, ContextTree, _zipf_ranks
from train.errors import InputError


@pytest.fixture(scope="module")
def tree() -> ContextTree:
    return ContextTree()


@pytest.fixture(scope="module")
def blocks(tree: ContextTree) -> list[np.ndarray]:
    return list(tree.blocks([(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]))


def test_the_entropy_rate_is_the_published_one(tree: ContextTree) -> None:
    assert tree.entropy_nats_per_token == pytest.approx(1.340110, abs=5e-7)


def test_probabilities_are_whole_numbers_that_sum_to_one() -> None:
    assert sum(SUCCESSORS) + NOISE == UNITS


def test_the_first_block_does_not_change(blocks: list[np.ndarray]) -> None:
    digest = hashlib.sha256(blocks[0].astype("<u2").tobytes()).hexdigest()
    assert digest == "db6f5516386fd52f87fd7584ac5286147d0228d2bca979afdc819439676fe533"


def test_a_block_does_not_depend_on_its_companions(tree: ContextTree, blocks: list[np.ndarray]) -> None:
    (alone,) = tree.blocks([(0, 2)])
    assert np.array_equal(alone, blocks[2])


def test_blocks_and_streams_differ(blocks: list[np.ndarray]) -> None:
    for first, second in [*pairwise(blocks), (blocks[0], blocks[4])]:
        assert (first == second).mean() < 0.2


def test_the_true_model_pays_the_entropy(tree: ContextTree, blocks: list[np.ndarray]) -> None:
    nats = np.concatenate([tree.nats(block) for block in blocks])
    assert len(nats) == 5 * BLOCK
    assert nats.mean() == pytest.approx(tree.entropy_nats_per_token, abs=4 * nats.std() / np.sqrt(len(nats)))


def test_the_conditional_probabilities_sum_to_one() -> None:
    small = ContextTree(vocabulary=16)
    for context in ([3, 1, 2], [0, 0, 0], [15, 7, 9]):
        probability = [np.exp(-small.nats([*context, token])[-1]) for token in range(16)]
        assert sum(probability) == pytest.approx(1)
        assert sorted(probability)[-4] > sorted(probability)[-5]  # four successors stand out of the noise


def test_only_the_context_that_the_last_token_asks_for_matters() -> None:
    small = ContextTree(vocabulary=64)

    def likeliest(context: list[int]) -> int:
        return int(np.argmin([small.nats([*context, token])[-1] for token in range(0, 64, 4)]))

    reach = set()
    for last in range(8):
        by_second = {likeliest([7, other, last]) for other in range(8)}
        by_third = {likeliest([other, 7, last]) for other in range(8)}
        reach.add((len(by_second) > 1, len(by_third) > 1))
    assert reach == {(False, False), (True, False), (True, True)}


def test_another_seed_is_another_tree_of_the_same_entropy(tree: ContextTree, blocks: list[np.ndarray]) -> None:
    other = ContextTree(seed=1)
    assert other.entropy_nats_per_token == tree.entropy_nats_per_token
    assert other.nats(blocks[0]).mean() > 4


def test_ids_of_successors_follow_zipfs_law() -> None:
    counts = np.bincount(_zipf_ranks(256, "1.2"))
    assert counts.sum() == UNITS
    law = np.arange(1, 257) ** -1.2
    assert np.abs(counts - UNITS * law / law.sum()).max() <= 1
    assert (np.bincount(_zipf_ranks(4, "0")) == UNITS // 4).all()


@pytest.mark.parametrize("vocabulary", [8, 1000, 1 << 17])
def test_an_impossible_vocabulary_is_refused(vocabulary: int) -> None:
    with pytest.raises(InputError, match="power of two from 16 to 65536"):
        ContextTree(vocabulary)


@pytest.mark.parametrize("zipf", ["x", "5", "-1", "nan"])
def test_an_impossible_exponent_is_refused(zipf: str) -> None:
    with pytest.raises(InputError, match="zipf="):
        ContextTree(zipf=zipf)
