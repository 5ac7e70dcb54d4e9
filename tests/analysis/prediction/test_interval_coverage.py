"""Coverage of 90 % prediction intervals at 8x N and 8x D. The benchmark `interval_coverage` has the whole grid."""

import pytest

from tests.benchmarks.interval_coverage import coverage, make_studies


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.002, 0.005, 0.01])
def test_90_percent_interval_covers_nine_in_ten(noise: float) -> None:
    """Of 500 studies, a true 90 % gives 87-93 % all but once in forty times; the seed is fixed."""
    of_run, of_value = coverage(make_studies(6, 7, noise, num_studies=500))
    assert 0.87 <= of_run <= 0.93
    assert 0.87 <= of_value <= 0.93
