"""Numbers as text: magnitudes such as `665k`, significant digits, per cent, intervals, targets, commits."""

import math
from collections.abc import Callable, Mapping

from windtunnel.analysis.prediction.target import SCALE
from windtunnel.models.family import format_count

COUNTS = ("N", "D", "U", "B", "S")  # columns written with a suffix
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_magnitude(value: float, column: str = "N") -> str:
    """A magnitude of a column: 25M parameters, 3.2B tokens, 1.2×10¹⁸ FLOPs."""
    if not math.isfinite(value):
        return "unbounded"
    if value == 0:
        return "0"
    if column not in COUNTS:
        exponent = math.floor(math.log10(abs(value)) + 1e-9)
        if -3 <= exponent < 5:
            return format_number(value)
        mantissa, rounded = f"{value:.2e}".split("e")  # 9.999e14 is 10¹⁵, not 10×10¹⁴
        power = f"10{str(int(rounded)).translate(SUPERSCRIPTS)}"
        return power if float(mantissa) == 1 else f"{float(mantissa):g}×{power}"
    return format_count(value)


def format_number(value: float) -> str:
    """Four significant digits, in full below ten million."""
    text = f"{value:.4g}"
    return f"{float(text):,.0f}" if "e+0" in text and abs(value) < 1e7 else text


def format_loss(value: float) -> str:
    """Five significant digits: 1.2890."""
    return f"{value:#.5g}".rstrip(".")


def format_percent(share: float | None, spec: str = ".3g") -> str:
    """A share in per cent; a dash where it is None or not finite."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:{spec}} %"


def format_interval(low: float, high: float, form: str | Callable[[float], str] = ".5g") -> str:
    """`[1.3376, 1.4226]`. An infinite end is "unbounded"; a dash where the ends are NaN.

    form: a format specification, or a function, of the ends.
    """
    if math.isnan(low) or math.isnan(high):
        return "–"
    format_end = form if callable(form) else lambda end: format(end, form)
    low_text, high_text = ("unbounded" if math.isinf(end) else format_end(end) for end in (low, high))
    return f"[{low_text}, {high_text}]"


def format_magnitudes(at: Mapping[str, float]) -> str:
    """`N = 714k, D = 1.2M`: size and data first."""
    names = [*(name for name in SCALE if name in at), *(name for name in at if name not in SCALE)]
    return ", ".join(f"{name} = {format_magnitude(at[name], name)}" for name in names)


def format_commit(commit: str | None) -> str:
    """The first twelve digits, with the mark of uncommitted changes."""
    if commit is None:
        return "unknown"
    digits, plus, changes = commit.partition("+")
    return f"{digits[:12]}{plus}{changes}"
