"""Evaluation windows depend on the data alone, are evenly spread, and in proportion to the domains."""

import numpy as np
import pytest

from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.evaluation_windows import evaluation_windows
from windtunnel.train.errors import InputError


def test_windows_are_spread_evenly_over_the_held_out_split(speeches: Corpus) -> None:
    domain, window = evaluation_windows(speeches, 128, 131_072)
    assert len(window) == 1024
    assert (domain == 0).all()
    steps = np.diff(window)
    assert steps.max() - steps.min() <= 1
    count = speeches.window_count(0, 128, "validation")
    assert window[0] <= steps.max()
    assert count - window[-1] <= steps.max()


def test_all_held_out_tokens_give_each_window_once(speeches: Corpus) -> None:
    count = speeches.window_count(0, 128, "validation")
    _, window = evaluation_windows(speeches, 128, count * 128)
    assert np.array_equal(window, np.arange(count))


def test_domains_share_in_proportion_to_their_held_out_windows(facts: Corpus) -> None:
    domain, window = evaluation_windows(facts, 64, 64 * 41)
    assert np.bincount(domain).tolist() in ([20, 21], [21, 20])
    assert np.array_equal(np.sort(domain), domain)
    for number in (0, 1):
        assert len(np.unique(window[domain == number])) == (domain == number).sum()


def test_every_window_can_be_read(facts: Corpus) -> None:
    domain, window = evaluation_windows(facts, 64, 64 * 160)
    for number in (0, 1):
        assert (window[domain == number].max() + 1) * 64 < len(facts.validation_tokens(number))


def test_more_tokens_than_held_out_is_an_error_with_their_number(speeches: Corpus) -> None:
    available = speeches.window_count(0, 128, "validation") * 128
    with pytest.raises(
        InputError, match=f"holds {available:,} held-out tokens in windows of 128: lower evaluation_tokens"
    ):
        evaluation_windows(speeches, 128, available + 128)


def test_less_than_one_window_per_domain_is_an_error(facts: Corpus) -> None:
    with pytest.raises(InputError, match="less than one window of 64 tokens for each of 2 domains"):
        evaluation_windows(facts, 64, 100)
