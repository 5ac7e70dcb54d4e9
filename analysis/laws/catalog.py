"""The catalog of laws. Each is one file that defines `LAW`; adding one takes that file, its name here, and a test."""

from functools import cache
from importlib import import_module

from windtunnel.analysis.laws.constraints import fix_parameters, parse_fixed
from windtunnel.analysis.laws.law import Law
from windtunnel.analysis.laws.two_step import compose
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
# Part of every ranking (`windtunnel.analysis.laws.baselines`), and not fitted by name.
BASELINES = ("constant", "power_no_floor")


@cache
def get_law(name: str) -> Law:
    """The law of that name.

    `power:D` is the power law in the column D: laws that are one formula in any column take it after a colon.
    `chinchilla@beta=alpha@E=1.8` fixes or ties parameters. `overtraining/error-loss` is a law in two steps, each of
    which may fix its own parameters.

    Raises InputError for an unknown name; the message lists the laws.
    """
    if "/" in name:
        first, _, second = name.partition("/")
        return compose(get_law(first), get_law(second))
    stem, *assignments = name.split("@")
    if assignments:
        return fix_parameters(get_law(stem), parse_fixed(assignments))
    stem, colon, column = name.partition(":")
    if stem in BASELINES:
        raise InputError(f"{stem} is a baseline: it is part of every ranking and cannot be fitted by name")
    if stem not in NAMES:
        raise InputError(f"no law named {name!r}; there are {', '.join(NAMES)}{did_you_mean(stem, NAMES)}")
    if colon and not all(column.split("+")):
        raise InputError(f"law {name!r}: name a column after the colon, such as {stem}:D")
    law: Law = import_module(f"windtunnel.analysis.laws.{stem.replace('-', '_')}").LAW
    if not column:
        return law
    if law.specialize is None:
        raise InputError(f"the law {stem} reads {', '.join(law.columns)}: write {stem}, not {name}")
    law = law.specialize(column.split("+"))
    if law.target in law.columns:
        raise InputError(f"law {name} predicts {law.target} and cannot read it: name another column")
    return law


def all_laws() -> tuple[Law, ...]:
    return tuple(get_law(name) for name in NAMES)
