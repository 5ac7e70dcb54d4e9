"""One training run, or one fleet of runs of one shape.

Calling the package trains a run (`windtunnel.runs.train`):

    import windtunnel as wt

    wt.train("size=25k", "horizon.tokens=2M")
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """`windtunnel.train` is a function of the public API and this package; one object is both."""

    def __call__(self, *overrides: str, **options: Any) -> Any:
        """Train one run; see `windtunnel.runs.train` for arguments and the result."""
        # `windtunnel.runs` is above this package in the import order, and it loads pandas.
        return import_module("windtunnel.runs").train(*overrides, **options)


sys.modules[__name__].__class__ = _CallableModule
