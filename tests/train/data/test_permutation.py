"""The permutation is a bijection for every size and key, with random access and without bias."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.train.data.permutation import derive_key, permute, subkeys


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_permutation_is_a_bijection(size: int, key: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, key)), np.arange(size))


@given(st.integers(2**15, 2**45), st.integers(0, 2**64 - 1))
def test_large_permutations_stay_in_range_without_collisions(size: int, key: int) -> None:
    image = permute(np.arange(0, size, size // 1000), size, key)
    assert image.min() >= 0
    assert image.max() < size
    assert len(np.unique(image)) == len(image)


def test_array_of_keys_equals_each_key_alone() -> None:
    keys = subkeys(derive_key("test", 1), np.arange(40_000) // 10_000)
    index = np.arange(40_000) % 977
    together = permute(index, 977, keys)
    for number in range(4):
        part = slice(number * 10_000, (number + 1) * 10_000)
        assert np.array_equal(together[part], permute(index[part], 977, int(keys[part][0])))


@pytest.mark.parametrize("size", [5, 16, 100, 1000])
def test_images_and_distances_are_uniform_over_keys(size: int) -> None:
    keys = np.array([derive_key("uniform", number) for number in range(20_000)], dtype=np.uint64)
    first, second = (permute(np.full(len(keys), index), size, keys) for index in (0, 1))
    for values, cells in ((first, size), ((second - first) % size - 1, size - 1)):
        expected = len(keys) / cells
        chi_square = ((np.bincount(values, minlength=cells) - expected) ** 2).sum() / expected
        assert chi_square < cells - 1 + 5 * np.sqrt(2 * cells)


def test_permutation_does_not_change_between_versions() -> None:
    assert permute(np.arange(8), 1_000_003, derive_key("golden")).tolist() == [
        294607,
        187784,
        560842,
        188638,
        563310,
        457276,
        337134,
        255663,
    ]


@pytest.mark.parametrize("index", [-1, 5])
def test_index_out_of_range_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match=r"0 \.\.\. 4"):
        permute(np.array([index]), 5, 1)
