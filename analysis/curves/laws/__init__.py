"""The catalogue of curve laws. Each is one file that exposes `LAW`; adding one is that file, its name here, and one
test.
"""

from functools import cache
from importlib import import_module

from analysis.curves.law import CurveLaw
from analysis.nearest_name import did_you_mean
from train.errors import InputError

NAMES = ("annealing", "multi-power", "functional", "instantaneous", "trajectory", "last-window")


@cache
def curve_law(name: str) -> CurveLaw:
    """The law of that name. Raises InputError naming the laws there are."""
    if name not in NAMES:
        raise InputError(f"no curve law named {name!r}; there are {', '.join(NAMES)}{did_you_mean(name, NAMES)}")
    found: CurveLaw = import_module(f"analysis.curves.laws.{name.replace('-', '_')}").LAW
    return found
