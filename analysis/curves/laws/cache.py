"""What depends on a curve's rates and logged times and on a few numbers, kept: a law's terms and slopes ask for the
same, and runs that differ in their seed share it.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from windtunnel.analysis.curves.curve import Curve

# Results that are kept of each function, and the most elements of one that is worked out: larger ones are not kept.
KEPT, KEPT_ELEMENTS = 16, 200_000


class _Times:
    """A curve as far as its rates and logged times go."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve

    def __hash__(self) -> int:
        return hash(self.curve.times_key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Times) and self.curve.times_key == other.curve.times_key


Found = TypeVar("Found")


def kept(elements: Callable[[Curve], int]) -> Callable[[Callable[..., Found]], Callable[..., Found]]:
    """Decorates a function of a curve's times and of numbers; `elements` is how many it works out."""

    def decorate(function: Callable[..., Found]) -> Callable[..., Found]:
        @lru_cache(maxsize=KEPT)
        def known(times: _Times, *values: float) -> Found:
            return function(times.curve, *values)

        @wraps(function)
        def found(curve: Curve, *values: float) -> Found:
            return function(curve, *values) if elements(curve) > KEPT_ELEMENTS else known(_Times(curve), *values)

        return found

    return decorate
