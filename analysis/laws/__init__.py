"""The catalogue of laws. Each is one file that exposes `LAW`; adding one is that file, its name here, and one test."""

from functools import cache
from importlib import import_module

from windtunnel.analysis.laws.law import Law
from windtunnel.train.errors import InputError, did_you_mean

NAMES = (
    "hestness",
    "kaplan",
    "power",
    "chinchilla",
    "overtraining",
    "general",
    "data-constrained",
    "error-loss",
    "ladder",
    "mixture",
    "routed",
    "broken",
)
# What every ranking has beside the laws that are asked for (`windtunnel.analysis.laws.baselines`).
RIVALS = ("constant", "floorless")


@cache
def law(name: str) -> Law:
    """The law of that name. `power:D` is the power law in the column D; laws that are one formula in any one column
    take it after a colon. `chinchilla@beta=alpha@E=1.8` holds or ties parameters, and `overtraining/error-loss` is a
    law in two steps, each of which may hold its own. Raises InputError naming the laws there are.
    """
    if "/" in name:
        from windtunnel.analysis.laws.two_step import compose

        first, _, second = name.partition("/")
        return compose(law(first), law(second))
    stem, *held = name.split("@")
    if held:
        from windtunnel.analysis.laws.constraints import hold, parse_held

        return hold(law(stem), parse_held(held))
    stem, colon, column = name.partition(":")
    if stem in RIVALS:
        raise InputError(
            f"{stem} is a plain rival, which `windtunnel rank` adds to every ranking, and cannot be fitted"
        )
    if stem not in NAMES:
        raise InputError(f"no law named {name!r}; there are {', '.join(NAMES)}{did_you_mean(stem, NAMES)}")
    if colon and not all(column.split("+")):
        raise InputError(f"law {name!r}: name a column after the colon, such as {stem}:D")
    found: Law = import_module(f"windtunnel.analysis.laws.{stem.replace('-', '_')}").LAW
    if not column:
        return found
    if found.specialise is None:
        raise InputError(f"the law {stem} reads {', '.join(found.columns)}: write {stem}, not {name}")
    found = found.specialise(column.split("+"))
    if found.target in found.columns:
        raise InputError(f"law {name} reads {found.target}, which is what it predicts: name another column")
    return found


def all_laws() -> tuple[Law, ...]:
    return tuple(law(name) for name in NAMES)
