"""Zipf facts have the stated entropy and frequencies, and the same tokens as ever."""

import hashlib

import numpy as np
import pytest

from windtunnel.train.data.zipf_facts import BLOCK_TOKENS, RECORD_TOKENS, VOCABULARY, ZipfFacts
from windtunnel.train.errors import InputError


@pytest.fixture(scope="module")
def facts() -> ZipfFacts:
    return ZipfFacts()


@pytest.fixture(scope="module")
def records(facts: ZipfFacts) -> np.ndarray:
    return np.concatenate(list(facts.blocks([(0, number) for number in range(10)]))).reshape(-1, RECORD_TOKENS)


def test_entropy_is_the_documented_one(facts: ZipfFacts) -> None:
    assert facts.entropy_nats_per_token == pytest.approx(0.811963, abs=5e-7)


def test_mean_true_nats_equal_the_entropy(facts: ZipfFacts, records: np.ndarray) -> None:
    nats = facts.token_nats(records).reshape(-1, RECORD_TOKENS).mean(1)
    assert nats.mean() == pytest.approx(facts.entropy_nats_per_token, abs=4 * nats.std() / np.sqrt(len(nats)))


def test_first_block_does_not_change(records: np.ndarray) -> None:
    digest = hashlib.sha256(records.reshape(-1)[:BLOCK_TOKENS].astype("<u2").tobytes()).hexdigest()
    assert digest == "c8f4f455c20f5ae916acea315cb66c72452ca07e514655771e592795554a9641"


def test_block_does_not_depend_on_other_blocks_and_streams_differ(facts: ZipfFacts, records: np.ndarray) -> None:
    (alone,) = facts.blocks([(0, 7)])
    assert np.array_equal(alone, records.reshape(10, -1)[7])
    (held_out,) = facts.blocks([(1, 7)])
    assert (held_out == alone).mean() < 0.7  # level 0 and leading digits repeat


@pytest.mark.slow
def test_fact_has_one_value(records: np.ndarray) -> None:
    keys, first = np.unique(records[:, :4], axis=0, return_inverse=True)
    facts = np.unique(records, axis=0)
    assert len(facts) == len(keys) < len(first)


def test_keys_are_uniform_in_their_level(records: np.ndarray) -> None:
    for level in range(1, 8):
        lowest_digit = records[records[:, 0] == level][:, 3] - 64
        counts = np.bincount(lowest_digit, minlength=1 << level)
        assert len(counts) == 1 << level
        expected = len(lowest_digit) / len(counts)
        assert ((counts - expected) ** 2).sum() / expected < len(counts) + 5 * np.sqrt(2 * len(counts))


def test_level_frequencies_fall_by_two_to_the_alpha(records: np.ndarray) -> None:
    counts = np.bincount(records[:, 0], minlength=24)
    slope = np.polyfit(np.arange(12), np.log2(counts[:12]), 1)[0]
    assert slope == pytest.approx(-0.35, abs=0.02)


def test_tokens_stay_in_their_ranges(records: np.ndarray) -> None:
    assert records[:, 0].max() < 24
    assert records[:, 1:4].min() >= 64
    assert records[:, 1:4].max() < 320
    assert records[:, 4:].min() >= 320
    assert records.max() < VOCABULARY


@pytest.mark.parametrize(
    "arguments", [{"alpha": "0"}, {"alpha": "x"}, {"alpha": "nan"}, {"alpha": "3"}, {"levels": 1}, {"levels": 26}]
)
def test_invalid_option_is_an_error(arguments: dict[str, object]) -> None:
    with pytest.raises(InputError, match="give"):
        ZipfFacts(**arguments)  # type: ignore[arg-type]


def test_token_nats_need_whole_records(facts: ZipfFacts) -> None:
    with pytest.raises(ValueError, match="whole records"):
        facts.token_nats([1, 64, 64])
