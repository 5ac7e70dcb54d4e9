"""The catalog of curve laws. To add one, write a file that defines `LAW`, list it here, and write one test."""

import functools
from collections.abc import Collection

from windtunnel.analysis.curves.laws import (
    annealing,
    functional,
    instantaneous,
    last_window,
    multi_power,
    size_dependence,
    sublinear,
    trajectory,
)
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.train.errors import InputError, did_you_mean

LAWS = {
    module.LAW.name: module.LAW
    for module in (annealing, multi_power, sublinear, functional, instantaneous, trajectory, last_window)
}
NAMES = tuple(LAWS)
BASELINES = ("instantaneous", "last-window")  # laws without memory, or without a schedule


def is_baseline(name: str) -> bool:
    return name.partition(":")[0] in BASELINES


@functools.cache
def curve_law(name: str) -> CurveLaw:
    """The law of that name; `annealing:N` is the annealing law over several sizes. Raises InputError with the names of
    the catalog where there is none.
    """
    stem, colon, column = name.partition(":")
    if stem not in LAWS:
        raise _unknown_law(name)
    if colon and column != "N":
        raise InputError(f"curve law {name!r}: only the size can follow the colon; write {stem}:N")
    return size_dependence.size_dependent_law(LAWS[stem]) if colon else LAWS[stem]


def _unknown_law(name: str) -> InputError:
    stem, available = name.partition(":")[0], f"there are {', '.join(NAMES)}"
    if stem == "auto":
        return InputError(
            f"{name}: auto combines laws itself (over sizes where there are several) and is accepted by fits and "
            f"studies only; write auto, or name laws; {available}"
        )
    if "*" in name or "+" in name:
        return InputError(f"no curve law named {name!r}: weights cannot be given; auto finds them; {available}")
    return InputError(f"no curve law named {name!r}; {available}{did_you_mean(stem, NAMES)}")


def reconstruct_single_law(name: str, parameters: Collection[str]) -> CurveLaw:
    """The form of a law that was fitted under this name and has these parameters. Raises InputError."""
    stem, _, over_sizes = name.partition(":")
    if name == "trajectory":
        return trajectory.with_parameters(parameters)
    law = curve_law(stem)
    return size_dependence.with_parameters(law, parameters) if over_sizes else law
