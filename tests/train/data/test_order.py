"""The order is a pure function of (seed, sample index); each window comes once an epoch; small runs are prefixes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.train.data.order import Order
from windtunnel.train.errors import InputError


def pairs(order: Order, samples: int) -> list[tuple[int, int]]:
    domain, window = order.windows(np.arange(samples))
    return list(zip(domain.tolist(), window.tolist(), strict=True))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 9))
def test_each_window_is_used_once_per_epoch(windows: list[int], seed: int) -> None:
    order = Order(seed, windows, 16, max_epochs=3)
    everything = sorted((domain, window) for domain, count in enumerate(windows) for window in range(count))
    seen = pairs(order, 3 * sum(windows))
    for epoch in range(3):
        assert sorted(seen[epoch * sum(windows) : (epoch + 1) * sum(windows)]) == everything


def test_epochs_have_different_orders() -> None:
    seen = pairs(Order(0, [500], 16, max_epochs=2), 1000)
    same_place = sum(first == second for first, second in zip(seen[:500], seen[500:], strict=True))
    assert same_place < 20


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 5), st.lists(st.integers(0, 299), min_size=1, max_size=50), st.booleans())
def test_sample_does_not_depend_on_its_batch(seed: int, samples: list[int], weighted: bool) -> None:
    order = Order(seed, [100, 200], 16, [1.0, 3.0] if weighted else None, max_epochs=3)
    whole = pairs(order, 300)
    domain, window = order.windows(np.array(samples))
    assert list(zip(domain.tolist(), window.tolist(), strict=True)) == [whole[sample] for sample in samples]


def test_indices_keep_their_shape() -> None:
    domain, window = Order(0, [100], 16).windows(np.arange(12).reshape(3, 4))
    assert domain.shape == window.shape == (3, 4)


@pytest.mark.parametrize("weights", [None, [1.0, 3.0]])
def test_small_unique_budget_is_a_prefix_of_a_larger_one(weights: list[float] | None) -> None:
    small = Order(3, [1000, 3000], 16, weights, unique_tokens=16 * 400, max_epochs=4)
    large = Order(3, [1000, 3000], 16, weights, unique_tokens=16 * 1600, max_epochs=4)
    whole = Order(3, [1000, 3000], 16, weights)
    assert pairs(small, 400) == pairs(large, 400) == pairs(whole, 400)
    assert pairs(large, 1600) == pairs(whole, 1600)
    again = pairs(small, 1600)
    assert set(again) == set(again[:400])
    assert len(set(again)) == 400


def test_seed_changes_the_order_alone() -> None:
    one, two = pairs(Order(1, [300], 16), 300), pairs(Order(2, [300], 16), 300)
    assert one != two
    assert sorted(one) == sorted(two)


def test_order_does_not_change_between_versions() -> None:
    domain, window = Order(7, [1000, 500], 128, [0.75, 0.25], max_epochs=2).windows(
        np.array([0, 1, 2, 3, 1499, 1500, 2000])
    )
    assert domain.tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert window.tolist() == [823, 480, 104, 479, 172, 349, 339]


def test_order_is_well_shuffled() -> None:
    _, window = Order(0, [100_003], 16).windows(np.arange(100_003))
    for lag in (1, 2, 16, 256, 317):
        assert abs(np.corrcoef(window[:-lag], window[lag:])[0, 1]) < 0.02  # six standard deviations


def test_repetition_is_an_error_that_names_the_needed_max_epochs() -> None:
    order = Order(0, [100], 128)
    order.check_tokens(12_800)
    with pytest.raises(InputError, match=r"asks for 12,801 tokens but the data hold 12,800 .*max_epochs=1\.01"):
        order.check_tokens(12_801)
    Order(0, [100], 128, max_epochs=1.01).check_tokens(12_801)


def test_repetition_in_a_weighted_domain_is_an_error() -> None:
    order = Order(0, [100, 100], 16, [3.0, 1.0])
    order.check_tokens(16 * 133)
    with pytest.raises(InputError, match=r"1,600 / 1,600 per domain at these weights.*max_epochs=1\.01"):
        order.check_tokens(16 * 134)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.sampled_from([1, 1.5, 3]), st.data())
def test_samples_available_is_the_exact_limit(windows: list[int], epochs: float, data: st.DataObject) -> None:
    weights = data.draw(st.none() | st.lists(st.floats(0.1, 10), min_size=len(windows), max_size=len(windows)))
    order = Order(0, windows, 8, weights, max_epochs=epochs)
    available = order.samples_available()
    order.check_tokens(8 * available)
    with pytest.raises(InputError):
        order.check_tokens(8 * available + 1)


@pytest.mark.parametrize("max_epochs", [1e18, 1e300])
@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.0]])
def test_huge_max_epochs_is_no_limit(weights: list[float] | None, max_epochs: float) -> None:
    order = Order(0, [100, 200, 300], 16, weights, max_epochs=max_epochs)
    assert order.samples_available() == 2**62 if max_epochs == 1e300 else order.samples_available() > 10**18
    order.check_tokens(10**18)


def test_unique_tokens_and_epochs_are_counted() -> None:
    order = Order(0, [100], 16, unique_tokens=16 * 50, max_epochs=4)
    assert order.unique_tokens_seen(30) == 16 * 30
    assert order.unique_tokens_seen(120) == 16 * 50
    assert order.epochs(120) == pytest.approx(2.4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unique_tokens": 16 * 101}, "1,616 tokens per domain but 1,600 exist"),
        ({"unique_tokens": 15}, "less than one window of 16 tokens"),
        ({"weights": [1.0, 1.0]}, "2 weights for 1 domains"),
        ({"weights": [-1.0]}, "number >= 0 per domain"),
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"domain_windows": [0]}, "no whole window of 16 tokens"),
    ],
)
def test_invalid_order_is_a_one_line_error(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Order(**({"seed": 0, "domain_windows": [100], "sequence_length": 16} | arguments))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
