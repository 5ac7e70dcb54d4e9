"""The catalogue of curve laws. Each is one file that exposes `LAW`; adding one is that file, its name here, and one
test.
"""

from collections.abc import Collection
from functools import cache
from importlib import import_module

from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.train.errors import InputError, did_you_mean

NAMES = ("annealing", "multi-power", "sublinear", "functional", "instantaneous", "trajectory", "last-window")
# What a law has to beat: it knows of no memory, or of no schedule.
BASELINES = ("instantaneous", "last-window")


def is_baseline(name: str) -> bool:
    return name.partition(":")[0] in BASELINES


@cache
def curve_law(name: str) -> CurveLaw:
    """The law of that name; `annealing:N` is the annealing law over several sizes. Raises InputError naming the laws
    there are.
    """
    stem, colon, column = name.partition(":")
    if colon:
        from windtunnel.analysis.curves.laws.size_dependence import over_sizes

        if stem not in NAMES:
            raise _unknown(name, stem)
        if column != "N":
            raise InputError(f"curve law {name!r}: only the size can follow the colon: write {stem}:N")
        return over_sizes(curve_law(stem))
    if name not in NAMES:
        raise _unknown(name, name)
    found: CurveLaw = import_module(f"windtunnel.analysis.curves.laws.{name.replace('-', '_')}").LAW
    return found


def _unknown(name: str, stem: str) -> InputError:
    """Of a name that is not in the catalogue. `auto` is no law: verbs that know it take it before they look here."""
    there_are = f"there are {', '.join(NAMES)}"
    if stem == "auto":
        return InputError(
            f"{name}: auto combines laws itself, those over sizes where there are several sizes, and is a "
            f"law of its own for fit and in a study only: write auto, or name laws; {there_are}"
        )
    if "*" in name or "+" in name:
        return InputError(f"no curve law named {name!r}: weights are not given but found, by auto; {there_are}")
    return InputError(f"no curve law named {name!r}; {there_are}{did_you_mean(stem, NAMES)}")


def law_of_fit(name: str, parameters: Collection[str]) -> CurveLaw:
    """The law that was fitted under that name: it has parameters of these names. Raises InputError."""
    from windtunnel.analysis.curves.laws.size_dependence import of_parameters

    stem, _, over = name.partition(":")
    if name == "trajectory":
        from windtunnel.analysis.curves.laws.trajectory import specialise_for

        return specialise_for(parameters)
    return of_parameters(curve_law(stem), parameters) if over else curve_law(stem)
