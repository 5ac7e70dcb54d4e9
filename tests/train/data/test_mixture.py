"""Every prefix of a mixture is within one sample of its quota."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.train.data.mixture import PERIOD, Mixture, apportion
from windtunnel.train.errors import InputError

WEIGHTS = st.lists(st.floats(0.001, 1000), min_size=1, max_size=7)


@settings(max_examples=15)
@given(WEIGHTS)
def test_every_prefix_is_within_one_sample_of_its_quota(weights: list[float]) -> None:
    mixture = Mixture(weights)
    samples = 2 * PERIOD + 100
    domain, rank = mixture.domain_and_rank(np.arange(samples))
    for number, count in enumerate(mixture.counts.tolist()):
        drawn = domain == number
        taken = np.cumsum(drawn)
        assert np.abs(taken - count * np.arange(1, samples + 1) / PERIOD).max() < 1
        assert np.array_equal(rank[drawn], np.arange(drawn.sum()))


@given(WEIGHTS, st.integers(0, 20_000))
@settings(max_examples=15)
def test_counts_before_equals_counted_samples(weights: list[float], samples: int) -> None:
    mixture = Mixture(weights)
    domain, _ = mixture.domain_and_rank(np.arange(samples))
    assert np.array_equal(mixture.counts_before(samples), np.bincount(domain, minlength=len(weights)))


@given(
    st.lists(st.floats(0, 1000), min_size=1, max_size=9).filter(lambda weights: sum(weights) > 0), st.integers(9, 5000)
)
def test_apportion_uses_all_seats_and_gives_every_positive_weight_one(weights: list[float], seats: int) -> None:
    counts = apportion(weights, seats)
    assert counts.sum() == seats
    assert ((counts > 0) == (np.array(weights) > 0)).all()


def test_apportion_rounds_by_largest_remainder() -> None:
    assert apportion([5, 3, 2], 7).tolist() == [4, 2, 1]  # quotas 3.5, 2.1, 1.4
    assert apportion([1000, 1, 0], 10).tolist() == [9, 1, 0]


def test_domain_of_weight_zero_has_no_samples() -> None:
    domain, _ = Mixture([1.0, 0.0, 1.0]).domain_and_rank(np.arange(1000))
    assert set(domain.tolist()) == {0, 2}


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, -1.0], [float("nan")], [float("inf"), 1.0]])
def test_invalid_weights_are_an_error(weights: list[float]) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        Mixture(weights)


def test_more_domains_than_seats_are_an_error() -> None:
    with pytest.raises(InputError, match="3 domains cannot share 2 samples"):
        apportion([1, 1, 1], 2)
