"""Train tiny transformers, fit scaling laws to them, and predict the big run before you train it.

    import windtunnel as wt

    runs = wt.load_table("points.csv", columns="N=params,D=tokens,loss=val_loss")
    fit = wt.fit(runs, "chinchilla")
    fit.predict(N=1e9, D=2e10).interval(0.9)

Names load when they are first used (PEP 562), so that `import windtunnel` takes milliseconds and no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; at run time `__getattr__` loads a name
    from windtunnel.analysis.curves.load import load_curves
    from windtunnel.analysis.tables.load import load_table
    from windtunnel.curve_fit import CurveFit, fit_curves, rank_curves
    from windtunnel.law_fit import Fit, Prediction, Ranking, Score, fit, laws, rank, score
    from windtunnel.runs import Run, Study, train
    from windtunnel.train.errors import InputError

_MODULES = {
    "CurveFit": "curve_fit",
    "Fit": "law_fit",
    "InputError": "train.errors",
    "Prediction": "law_fit",
    "Ranking": "law_fit",
    "Run": "runs",
    "Score": "law_fit",
    "Study": "runs",
    "fit": "law_fit",
    "fit_curves": "curve_fit",
    "laws": "law_fit",
    "load_curves": "analysis.curves.load",
    "load_table": "analysis.tables.load",
    "rank": "law_fit",
    "rank_curves": "curve_fit",
    "score": "law_fit",
}
__all__ = [*_MODULES, "__version__", "train"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # for start-up time

        return version("windtunnel")
    if name == "train":  # the package is callable: `wt.train(...)` and `windtunnel.train.records` both work
        return import_module(f"{__name__}.train")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
