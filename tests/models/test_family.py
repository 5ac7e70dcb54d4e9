import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.models.accounting import matrix_parameters
from windtunnel.models.family import LARGEST_TARGET, SMALLEST_TARGET, Shape, choose_shape, format_count, parse_count

TARGETS = st.floats(math.log(SMALLEST_TARGET), math.log(LARGEST_TARGET)).map(lambda x: round(math.exp(x)))
ACTIVATIONS = st.sampled_from(["swiglu", "gelu"])


def in_range(target: int) -> int:
    return min(max(target, SMALLEST_TARGET), LARGEST_TARGET)


def count(shape: Shape, activation: str) -> int:
    return matrix_parameters(shape.width, shape.depth, shape.feedforward_width, activation)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("200k", 200_000),
        ("2e8", 200_000_000),
        ("200M", 200_000_000),
        ("1.5b", 1_500_000_000),
        (" 1.05m ", 1_050_000),
        ("12_345", 12_345),
        (12345, 12345),
        (2e8, 200_000_000),
        ("0.3k", 300),
    ],
)
def test_parse_count_reads_common_notations(written, value):
    assert parse_count(written) == value


@pytest.mark.parametrize(
    "written", ["", "k", "many", "1.5", "-3k", "0", 0.5, "nan", "inf", float("nan"), "2kk", "1.0001k", True]
)
def test_invalid_count_is_a_one_line_error(written):
    with pytest.raises(ValueError, match="is not a count") as caught:
        parse_count(written)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "written",
    ["1e999999999", "1e999999999k", "snan", "x" * 9999, "1e19", "9" * 500, "1000000001b", 10**19, 10**9999],
    ids=range(9),
)
def test_too_large_count_is_a_short_one_line_error(written):
    with pytest.raises(
        ValueError, match=r"is not a count|is too large for a count: write one of at most 1e\+18"
    ) as caught:
        parse_count(written)
    assert len(str(caught.value)) < 150
    assert "\n" not in str(caught.value)


def test_largest_count_is_read():
    assert parse_count("1e18") == parse_count(10**18) == parse_count("1_000_000_000b") == 10**18


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (999, "999"),
        (25_248, "25.2k"),
        (665_360, "665k"),
        (999_600, "1M"),
        (1_050_000, "1.05M"),
        (2e9, "2B"),
        (1e13, "10T"),
    ],
)
def test_format_count_gives_three_digits(count: float, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize("activation", ["swiglu", "gelu"])
@pytest.mark.parametrize(
    ("size", "depth"), [("25k", 2), ("83k", 3), ("197k", 4), ("384k", 5), ("664k", 6), ("1.05m", 7)]
)
def test_ladder_sizes_have_one_aspect_ratio(activation, size, depth):
    shape = choose_shape(parse_count(size), aspect_ratio=16, head_size=16, activation=activation)
    assert (shape.depth, shape.width, shape.head_count) == (depth, 16 * depth, depth)
    assert count(shape, activation) == pytest.approx(parse_count(size), rel=0.02)


@given(
    target=TARGETS,
    activation=ACTIVATIONS,
    aspect_ratio=st.sampled_from([16, 32, 64]),
    head_size=st.sampled_from([8, 16, 64]),
)
def test_every_shape_is_a_valid_model(target, activation, aspect_ratio, head_size):
    shape = choose_shape(target, aspect_ratio=aspect_ratio, head_size=head_size, activation=activation)
    assert shape.depth >= 2
    assert shape.head_count >= 2
    assert shape.width % shape.head_count == 0
    size = shape.width // shape.head_count
    assert size == head_size if shape.width >= 2 * head_size else (size % 2 == 0 and shape.head_count == 2)
    ratio = 4 if activation == "gelu" else 8 / 3
    assert abs(shape.feedforward_width - ratio * shape.width) <= 4


@given(target=TARGETS, activation=ACTIVATIONS)
def test_count_is_near_the_target(target, activation):
    shape = choose_shape(target, aspect_ratio=16, head_size=16, activation=activation)
    bounds = {100_000: 1.36, 1_000_000: 1.25, 10_000_000: 1.11, LARGEST_TARGET: 1.05}
    factor = next(factor for limit, factor in bounds.items() if target <= limit)
    assert abs(math.log(count(shape, activation) / target)) < math.log(factor)


@given(first=TARGETS, factor=st.floats(1.0, 10.0), activation=ACTIVATIONS, aspect_ratio=st.sampled_from([16, 64]))
def test_larger_target_never_gives_a_smaller_model(first, factor, activation, aspect_ratio):
    smaller, larger = (
        choose_shape(in_range(target), aspect_ratio=aspect_ratio, head_size=16, activation=activation)
        for target in (first, round(first * factor))
    )
    assert count(smaller, activation) <= count(larger, activation)


@given(target=TARGETS, activation=ACTIVATIONS)
def test_no_other_shape_is_nearer(target, activation):
    def distance(shape):
        return abs(math.log(count(shape, activation) / target)) + 0.5 * abs(math.log(shape.width / shape.depth / 16))

    chosen = choose_shape(target, aspect_ratio=16, head_size=16, activation=activation)
    for depth in range(max(2, chosen.depth - 2), chosen.depth + 3):
        for width in range(max(32, chosen.width - 64), chosen.width + 65, 16):
            if width % 16 == 0:
                feedforward_width = 4 * width if activation == "gelu" else round(width / 3) * 8
                other = Shape(width, depth, width // 16, feedforward_width)
                assert distance(chosen) <= distance(other) + 1e-12


@pytest.mark.parametrize(
    ("target", "choice", "message"),
    [
        (7_999, {}, "outside the family: choose between 8000 and 2000000000"),
        (2_000_000_001, {}, "outside the family"),
        (25_000, {"head_size": 15}, "head_size=15 must be an even number"),
        (25_000, {"aspect_ratio": 0}, "aspect_ratio=0"),
        (25_000, {"activation": "relu"}, "activation='relu' is not known"),
    ],
)
def test_invalid_shape_request_is_a_one_line_error(target, choice, message):
    with pytest.raises(ValueError, match=message) as caught:
        choose_shape(target, **{"aspect_ratio": 16, "head_size": 16, "activation": "gelu", **choice})
    assert "\n" not in str(caught.value)
