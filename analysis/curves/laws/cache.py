"""A cache for quantities that depend on a curve's learning rates, its logged times and a few numbers. A law's terms and
their derivatives share them, and so do runs that differ in their seed or size.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from windtunnel.analysis.curves.curve import LossCurve

MAX_RESULTS = 16  # cached per function
MAX_ELEMENTS = 200_000  # of one result; larger ones are computed each time

Result = TypeVar("Result")


class _CacheKey:
    """A curve, compared by its learning rates and logged times."""

    def __init__(self, curve: LossCurve) -> None:
        self.curve = curve

    def __hash__(self) -> int:
        return hash(self.curve.times_key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CacheKey) and self.curve.times_key == other.curve.times_key


def cached(num_elements: Callable[[LossCurve], int]) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Decorator for a function of a curve's times and of numbers; `num_elements` is the size of its result."""

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        @lru_cache(maxsize=MAX_RESULTS)
        def from_cache(key: _CacheKey, *values: float) -> Result:
            return function(key.curve, *values)

        @wraps(function)
        def wrapped(curve: LossCurve, *values: float) -> Result:
            if num_elements(curve) > MAX_ELEMENTS:
                return function(curve, *values)
            return from_cache(_CacheKey(curve), *values)

        return wrapped

    return decorate
