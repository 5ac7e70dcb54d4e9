"""Groups are held out whole, near the requested fraction, in any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.train.data.split import choose_validation, group_hash
from windtunnel.train.errors import InputError


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=200), st.floats(0.01, 0.5))
def test_neither_side_is_empty(sizes: list[int], fraction: float) -> None:
    held_out = choose_validation([group_hash(0, str(number)) for number in range(len(sizes))], sizes, fraction)
    assert 0 < held_out.sum() < len(sizes)


def test_many_small_groups_come_close_to_the_fraction() -> None:
    held_out = choose_validation([group_hash(0, str(number)) for number in range(5000)], [100] * 5000, 0.05)
    assert held_out.mean() == pytest.approx(0.05, abs=0.0002)


def test_split_does_not_depend_on_the_order_of_groups() -> None:
    sizes = {f"group {number}": 50 + number for number in range(60)}
    chosen = []
    for names in (sorted(sizes), sorted(sizes, reverse=True)):
        held_out = choose_validation([group_hash(3, name) for name in names], [sizes[name] for name in names], 0.1)
        chosen.append({name for name, out in zip(names, held_out, strict=True) if out})
    assert chosen[0] == chosen[1]


def test_split_seed_changes_the_split() -> None:
    first, second = (
        choose_validation([group_hash(seed, str(n)) for n in range(100)], [1] * 100, 0.2) for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_too_large_group_is_skipped() -> None:
    assert choose_validation([1, 2, 3, 4], [1000, 30, 60, 20], 0.05).tolist() == [False, True, False, True]


def test_group_hash_does_not_change() -> None:
    assert group_hash(0, "lincoln") == 0x2261818DC51D5C65


def test_single_group_is_an_error() -> None:
    with pytest.raises(InputError, match="all documents are of one group"):
        choose_validation([1], [100], 0.1)
