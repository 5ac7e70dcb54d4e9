"""Numbers as text."""

import math

import pytest

from windtunnel.analysis.report.number_format import (
    format_interval,
    format_loss,
    format_magnitude,
    format_magnitudes,
    format_percent,
)


def test_number_just_below_a_power_of_ten_is_one() -> None:
    values = (9.999e14, 1e15, 1.2e18, 9.97e14)
    assert [format_magnitude(value, "C") for value in values] == ["10¹⁵", "10¹⁵", "1.2×10¹⁸", "9.97×10¹⁴"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(713_952, "714k"), (665_360, "665k"), (1_049_600, "1.05M"), (999_600, "1M"), (2e9, "2B"), (7, "7")],
)
def test_sizes_have_three_digits_and_a_suffix(value: float, text: str) -> None:
    assert format_magnitude(value) == text


def test_target_is_its_size_and_data_first() -> None:
    assert format_magnitudes({"rate": 0.01, "D": 1_200_128, "N": 713_952}) == "N = 714k, D = 1.2M, rate = 0.01"


def test_losses_keep_their_last_zero() -> None:
    assert [format_loss(value) for value in (1.289, 12.0, 0.5)] == ["1.2890", "12.000", "0.50000"]
    assert format_interval(1.2051, 1.289, format_loss) == "[1.2051, 1.2890]"
    assert format_interval(1.2051, math.inf, format_loss) == "[1.2051, unbounded]"


def test_percent_has_a_leading_zero_and_a_dash_for_none() -> None:
    assert [format_percent(share) for share in (0.0021, None)] == ["0.21 %", "–"]
