"""Where a law is asked for a loss: `N=1e9,D=2e10`, what follows from it, and how far beyond the data it lies.

C = 6 N D wherever the columns of a target are completed, as in the default columns of a run table.

Legend: P points.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.tables.table import LARGEST, POSITIVE
from windtunnel.train.errors import InputError

FLOPS_PER_PARAMETER_TOKEN = 6.0
AXES = ("N", "D", "C")
SCALE = ("N", "D", "C", "M")
# Further than this beyond the data, up or down, a prediction is refused unless it is asked for.
FARTHEST = 30.0
# Relative difference up to which a run is the target: people round N and D, and the family rule takes whole heads.
SAME_TARGET = 0.02


def parse_at(text: str) -> dict[str, float]:
    """`N=1e9,D=2e10` as a dictionary. Magnitudes are above 0; other columns, such as the share of a domain, may be 0.
    Raises InputError, one line.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        in_range = 0 < value < LARGEST or (value == 0 and name not in POSITIVE)
        if not equals or not name.isidentifier() or not in_range:
            raise InputError(
                f"--at {part.strip()!r}: write COLUMN=NUMBER, above 0 and below {LARGEST:g}: --at N=1e9,D=2e10"
            )
        if name in found:
            raise InputError(f"--at names {name} twice; keep one")
        found[name] = value
    return found


def complete(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns with those of N, D, C and M that follow from two of them; U, unique tokens, is never more than D."""
    known = dict(columns)
    per = FLOPS_PER_PARAMETER_TOKEN
    if "N" not in known:
        if {"C", "D"} <= known.keys():
            known["N"] = known["C"] / (per * known["D"])
        elif {"C", "M"} <= known.keys():
            known["N"] = (known["C"] / (per * known["M"])) ** 0.5
        elif {"D", "M"} <= known.keys():
            known["N"] = known["D"] / known["M"]
    if "N" in known and "D" not in known:
        if "C" in known:
            known["D"] = known["C"] / (per * known["N"])
        elif "M" in known:
            known["D"] = known["M"] * known["N"]
    if {"N", "D"} <= known.keys():
        known.setdefault("C", per * known["N"] * known["D"])
        known.setdefault("M", known["D"] / known["N"])
    if {"U", "D"} <= known.keys():
        known["U"] = np.minimum(known["U"], known["D"])
    return known


def columns_at(law: Law, at: Mapping[str, float]) -> dict[str, Array]:
    """The law's columns at one target, (1,) each. Raises InputError naming what is missing, unknown or contradicts
    itself.
    """
    known = complete(at)
    missing = [name for name in law.columns if name not in known]
    if missing:
        raise InputError(f"law {law.name} needs {', '.join(law.columns)}: add {missing[0]}=NUMBER to --at")
    unknown = [name for name in at if name not in law.columns and name not in SCALE]
    if unknown:
        raise InputError(
            f"--at: law {law.name} does not read {unknown[0]}; name its columns, {', '.join(law.columns)}, "
            f"or others of {', '.join(SCALE)} that they follow from"
        )
    scale = {name: at[name] for name in SCALE if name in at}
    for name, rule in (("M", "D / N"), ("C", "6 N D")):
        follows = complete({other: scale[other] for other in scale if other in ("N", "D")})
        if {"N", "D", name} <= scale.keys() and not _is_same(scale[name], follows[name]):
            raise InputError(f"--at: {name} is not {rule}; leave one of the three out")
    if {"C", "M"} < scale.keys() and not {"N", "D"} <= scale.keys():
        (third,) = scale.keys() & {"N", "D"}
        if not _is_same(scale[third], complete({"C": scale["C"], "M": scale["M"]})[third]):
            raise InputError(f"--at: {third} does not follow from C = 6 N D and M = D / N; leave one of the three out")
    return {name: np.array([float(known[name])]) for name in law.columns}


def _is_same(first: float, second: float) -> bool:
    """Equal as far as people round."""
    return first == second or (first > 0 and second > 0 and abs(math.log(first / second)) <= SAME_TARGET)


def same_target(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Whether two targets are one, in every column that either names or that follows."""
    one, other = complete(first), complete(second)
    return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)


def extrapolation(columns: Mapping[str, Array], at: Mapping[str, float]) -> dict[str, float | None]:
    """How many times the largest value of the data the target is, by N, D and C; None where that is not known."""
    data, target = complete(columns), complete(at)
    return {
        name: float(target[name] / np.max(data[name])) if name in data and name in target else None for name in AXES
    }


def refuse_far(columns: Mapping[str, Array], at: Mapping[str, float], allowed: bool) -> list[str]:
    """A note where the target is far beyond the data, above the largest or below the smallest, in C, N or D. Raises
    InputError where that was not allowed.
    """
    data, target = complete(columns), complete(at)
    far = []
    for name in ("C", "N", "D"):
        if name in data and name in target:
            above, below = float(target[name] / np.max(data[name])), float(np.min(data[name]) / target[name])
            if max(above, below) > FARTHEST:
                far.append(f"{max(above, below):.3g} times {'beyond' if above > below else 'below'} the data in {name}")
    if not far:
        return []
    if not allowed:
        raise InputError(
            f"the target is {' and '.join(far)}, more than {FARTHEST:g}: train runs nearer to it, or say --far"
        )
    return [f"the target is {' and '.join(far)}, more than the {FARTHEST:g} a prediction is trusted to"]


def matches(columns: Mapping[str, NDArray[Any]], at: Mapping[str, float], num_rows: int) -> NDArray[np.bool_]:
    """The rows (P,) whose values are the target's, within `SAME_TARGET`, in every column they have."""
    same = np.ones(num_rows, dtype=np.bool_)
    shared = [name for name in at if name in columns and np.asarray(columns[name]).dtype.kind in "fiu"]
    for name in shared:
        values = np.asarray(columns[name], dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            same &= np.abs(np.log(values / at[name])) <= SAME_TARGET if at[name] else values == 0
    return same if shared else np.zeros(num_rows, dtype=np.bool_)
