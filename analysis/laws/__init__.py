"""The catalogue of laws. Each is one file that exposes `LAW`; adding one is that file, its name here, and one test."""

from functools import cache
from importlib import import_module

from analysis.law import Law
from train.errors import InputError

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


@cache
def law(name: str) -> Law:
    """The law of that name. `power:D` is the power law in the column D; laws that are one formula in any one column
    take it after a colon. `chinchilla@beta=alpha@E=1.8` holds or ties parameters, and `overtraining/error-loss` is a
    law in two steps, each of which may hold its own. Raises InputError naming the laws there are.
    """
    if "/" in name:
        from analysis.composed_law import compose

        first, _, second = name.partition("/")
        return compose(law(first), law(second))
    stem, *held = name.split("@")
    if held:
        from analysis.hold import hold, parse_held

        return hold(law(stem), parse_held(held))
    stem, _, column = name.partition(":")
    if stem not in NAMES:
        raise InputError(f"no law named {name!r}; there are {', '.join(NAMES)}")
    found: Law = import_module(f"analysis.laws.{stem.replace('-', '_')}").LAW
    if not column:
        return found
    if found.specialise is None:
        raise InputError(f"the law {stem} reads {', '.join(found.columns)}: write {stem}, not {name}")
    return found.specialise(column.split("+"))


def all_laws() -> tuple[Law, ...]:
    return tuple(law(name) for name in NAMES)
