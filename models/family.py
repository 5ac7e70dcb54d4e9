"""The family rule: from a size in parameters to width, depth and heads of constant proportions (no torch).

Scaling laws extrapolate over one model at different sizes: aspect ratio (width / depth) and head size stay constant as
far as whole numbers allow.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from reprlib import repr as shortened
from typing import cast, get_args

from windtunnel.models.accounting import matrix_parameters
from windtunnel.models.configuration import Activation

SMALLEST_TARGET = 8_000
LARGEST_TARGET = 2_000_000_000
"""Range of non-embedding parameters of `choose_shape`."""

LARGEST_COUNT = 10**18
"""Upper limit of `parse_count`: beyond any run, and within 64 bits."""

_SUFFIXES = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_MINIMUM_DEPTH = 2
_MINIMUM_HEADS = 2
# Feed-forward widths of swiglu are multiples of this, for vector units.
_FEEDFORWARD_MULTIPLE = 8
# Weight of a deviation of the aspect ratio relative to one of the parameter count, both in logarithms.
_ASPECT_WEIGHT = 0.5


@dataclass(frozen=True)
class Shape:
    """The fields of a `ModelConfig` that differ within a family."""

    width: int
    depth: int
    head_count: int
    feedforward_width: int


def parse_count(text: str | int | float) -> int:
    """A count in common notation: "200k", "1.5B", "200m", "2e8", 12345. Suffixes in either case.

    Raises ValueError unless it is a whole number from 1 to 10 ** 18.
    """
    too_large = f"is too large for a count: write one of at most {LARGEST_COUNT:.0e}"
    if isinstance(text, int) and abs(text) > LARGEST_COUNT:
        raise ValueError(f"a number of {text.bit_length()} bits {too_large}")
    written = str(text).strip().lower().replace("_", "")
    digits, scale = (written[:-1], _SUFFIXES[written[-1]]) if written[-1:] in _SUFFIXES else (written, 1)
    try:
        value = Decimal(digits) * scale
    except ArithmeticError:
        value = Decimal("NaN")
    if isinstance(text, bool) or not value.is_finite() or value < 1 or value != value.to_integral_value():
        raise ValueError(f"{shortened(text)} is not a count: write a whole number such as 200k, 1.5M, 2B, 2e8 or 12345")
    if value > LARGEST_COUNT:
        raise ValueError(f"{shortened(text)} {too_large}")
    return int(value)


def format_count(count: float) -> str:
    """A count to three digits: 665_360 is "665k" and 1_050_000 is "1.05M"."""
    for suffix, scale in reversed(_SUFFIXES.items()):
        if 0.9995 * scale <= abs(count) < 999.5 * scale:
            return f"{count / scale:.3g}{suffix if suffix == 'k' else suffix.upper()}"
    return f"{count:.3g}"


@lru_cache(maxsize=4096)  # a plan of thousands of runs asks for a few sizes
def choose_shape(non_embedding_parameters: int, *, aspect_ratio: int, head_size: int, activation: str) -> Shape:
    """The shape of the family that is nearest to a size.

    Minimizes |log(count / target)| + 0.5 |log(width / depth / aspect_ratio)| over depth >= 2 and at least 2 heads. The
    count is that of the hidden matrices, about 12 depth width ** 2: gains of norms, under 1 %, are left out.
    Width is a multiple of `head_size`; below twice the head size there are 2 heads of half the width each.
    feedforward_width is 4 width (gelu), or 8/3 width to the nearest multiple of 8 (swiglu): the same count.

    Proportions come first, so small sizes are coarse: at aspect ratio 16 and head size 16 the count differs from the
    target by a factor of up to 1.36 below 100k, 1.25 below 1M, 1.11 below 10M and 1.05 above. A larger target never
    gives a smaller model. Fits use the exact count of the model, never the target.

    Raises ValueError for a target outside [SMALLEST_TARGET, LARGEST_TARGET], an odd head size or an unknown activation.
    """
    target = non_embedding_parameters
    if not SMALLEST_TARGET <= target <= LARGEST_TARGET:
        raise ValueError(
            f"size={target} non-embedding parameters is outside the family: "
            f"choose between {SMALLEST_TARGET} and {LARGEST_TARGET}"
        )
    if aspect_ratio < 1:
        raise ValueError(f"aspect_ratio={aspect_ratio} must be a whole number of at least 1")
    if head_size < 2 or head_size % 2:
        raise ValueError(
            f"head_size={head_size} must be an even number of at least 2: rotary positions pair dimensions"
        )
    if activation not in get_args(Activation):
        raise ValueError(f"activation={activation!r} is not known: choose one of {', '.join(get_args(Activation))}")
    known_activation = cast(Activation, activation)

    def distance(shape: Shape) -> float:
        count = matrix_parameters(shape.width, shape.depth, shape.feedforward_width, known_activation)
        aspect = shape.width / shape.depth
        return abs(math.log(count / target)) + _ASPECT_WEIGHT * abs(math.log(aspect / aspect_ratio))

    # At equal distance, the shallower, then the narrower shape: the first candidate, which min returns.
    return min(_candidates(target, head_size, known_activation), key=distance)


def _candidates(target: int, head_size: int, activation: Activation) -> Iterator[Shape]:
    """Candidate shapes: for each depth, the widths around the one that would match the target exactly.

    In a step of width the count weighs four times as much as the aspect ratio, so no other width can be best.
    """
    deepest = max(_MINIMUM_DEPTH, math.ceil((target / 12) ** (1 / 3)))
    for depth in range(_MINIMUM_DEPTH, deepest + 1):
        exact_width = math.sqrt(target / (12 * depth))
        for width in _widths_around(exact_width, head_size):
            head_count = max(_MINIMUM_HEADS, width // head_size)
            yield Shape(width, depth, head_count, feedforward_width_of(width, activation))


def _widths_around(exact_width: float, head_size: int) -> list[int]:
    """Valid widths next to `exact_width`.

    Multiples of 4 below twice the head size (2 heads of even size), multiples of the head size from there on.
    """
    widths = set()
    for grid in (4, head_size):
        below = math.floor(exact_width / grid) * grid
        for width in (below - grid, below, below + grid, below + 2 * grid):
            is_small = width < _MINIMUM_HEADS * head_size
            if width >= 4 and (is_small if grid == 4 else not is_small):
                widths.add(width)
    return sorted(widths | {_MINIMUM_HEADS * head_size})


def feedforward_width_of(width: int, activation: Activation) -> int:
    """4 width (gelu), or 8/3 width to the nearest multiple of 8 (swiglu, which has a third matrix)."""
    if activation == "gelu":
        return 4 * width
    return max(1, round(8 * width / 3 / _FEEDFORWARD_MULTIPLE)) * _FEEDFORWARD_MULTIPLE
