"""The target of a prediction, such as `N=1e9,D=2e10`: what follows from it, and how far beyond the data it lies.

C = 6 N D wherever the columns of a target are completed, as in the default columns of a run table.

Legend: P points.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.tables.table import MAX_VALUE, POSITIVE_COLUMNS
from windtunnel.models.family import parse_count
from windtunnel.train.errors import InputError

FLOPS_PER_PARAMETER_TOKEN = 6.0
AXES = ("N", "D", "C")
SCALE = ("N", "D", "C", "M")
# A prediction further than this beyond the data, above or below, must be allowed explicitly.
MAX_EXTRAPOLATION = 30.0
# Relative difference up to which a run is the target: people round N and D, and the family rule takes whole heads.
SAME_TARGET = 0.02


def parse_at(text: str) -> dict[str, float]:
    """`N=1e9,D=2e10` as a dictionary. Magnitudes are above 0; other columns, such as the share of a domain, may be 0.
    Raises InputError.
    """
    at: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(parse_count(number)) if number[-1:].isalpha() else float(number)
        except ValueError:
            value = math.nan
        in_range = 0 < value < MAX_VALUE or (value == 0 and name not in POSITIVE_COLUMNS)
        if not equals or not name.isidentifier() or not in_range:
            raise InputError(
                f"at=... has {part.strip()!r}: write COLUMN=NUMBER, above 0 and below {MAX_VALUE:g}, "
                "such as N=1e9,D=2e10"
            )
        if name in at:
            raise InputError(f"at=... names {name} twice; keep one")
        at[name] = value
    return at


def format_target(at: Mapping[str, float]) -> str:
    """`N=1.2e+07, D=2e+08`: size first, whatever order a file sorted them in."""
    names = [*(name for name in SCALE if name in at), *(name for name in at if name not in SCALE)]
    return ", ".join(f"{name}={at[name]:.4g}" for name in names)


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
    """The law's columns at one target, (1,) each. Raises InputError where a column is missing or unknown, or the
    columns contradict each other.
    """
    completed = complete(at)
    missing = [name for name in law.columns if name not in completed]
    if missing:
        raise InputError(f"law {law.name} needs {', '.join(law.columns)}: add {missing[0]}=NUMBER")
    unknown = [name for name in at if name not in law.columns and name not in SCALE]
    if unknown:
        raise InputError(
            f"at=...: law {law.name} does not read {unknown[0]}; name its columns, {', '.join(law.columns)}, "
            f"or others of {', '.join(SCALE)} that they follow from"
        )
    scale = {name: at[name] for name in SCALE if name in at}
    for name, rule in (("M", "D / N"), ("C", "6 N D")):
        follows = complete({other: scale[other] for other in scale if other in ("N", "D")})
        if {"N", "D", name} <= scale.keys() and not _is_same(scale[name], follows[name]):
            raise InputError(f"at=...: {name} is not {rule}; leave one of the three out")
    if {"C", "M"} < scale.keys() and not {"N", "D"} <= scale.keys():
        (third,) = scale.keys() & {"N", "D"}
        if not _is_same(scale[third], complete({"C": scale["C"], "M": scale["M"]})[third]):
            raise InputError(
                f"at=...: {third} does not follow from C = 6 N D and M = D / N; leave one of the three out"
            )
    return {name: np.array([float(completed[name])]) for name in law.columns}


def _is_same(first: float, second: float) -> bool:
    return first == second or (first > 0 and second > 0 and abs(math.log(first / second)) <= SAME_TARGET)


def is_same_target(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Whether two targets agree in every column that either names or that follows."""
    one, other = complete(first), complete(second)
    return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)


def extrapolation(columns: Mapping[str, Array], at: Mapping[str, float]) -> dict[str, float | None]:
    """The target as a multiple of the largest N, D and C of the data; None where that is not known."""
    data, target = complete(columns), complete(at)
    return {
        name: float(target[name] / np.max(data[name])) if name in data and name in target else None for name in AXES
    }


def check_extrapolation(
    columns: Mapping[str, Array], at: Mapping[str, float], allow_extrapolation: bool = False
) -> list[str]:
    """A note where the target is more than `MAX_EXTRAPOLATION` times above the largest or below the smallest C, N or D
    of the data. Raises InputError there, unless `allow_extrapolation`.
    """
    data, target = complete(columns), complete(at)
    beyond = []
    for name in ("C", "N", "D"):
        if name in data and name in target:
            above, below = float(target[name] / np.max(data[name])), float(np.min(data[name]) / target[name])
            if max(above, below) > MAX_EXTRAPOLATION:
                side = "beyond" if above > below else "below"
                beyond.append(f"{max(above, below):.3g} times {side} the data in {name}")
    if not beyond:
        return []
    if not allow_extrapolation:
        raise InputError(
            f"the target is {' and '.join(beyond)}, more than {MAX_EXTRAPOLATION:g}: train runs nearer to it, or pass "
            "allow_extrapolation=True"
        )
    return [f"the target is {' and '.join(beyond)}, more than the {MAX_EXTRAPOLATION:g} a prediction is trusted to"]


def matching_rows(columns: Mapping[str, NDArray[Any]], at: Mapping[str, float], num_rows: int) -> NDArray[np.bool_]:
    """The rows (P,) whose values are the target's, within `SAME_TARGET`, in every column they have."""
    same_P = np.ones(num_rows, dtype=np.bool_)
    shared = [name for name in at if name in columns and np.asarray(columns[name]).dtype.kind in "fiu"]
    for name in shared:
        values_P = np.asarray(columns[name], dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            same_P &= np.abs(np.log(values_P / at[name])) <= SAME_TARGET if at[name] else values_P == 0
    return same_P if shared else np.zeros(num_rows, dtype=np.bool_)
