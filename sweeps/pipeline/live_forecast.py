"""`logging.law` of `windtunnel train`: the final loss that a fitted law expects of the run, for its line of progress.

Training may not import laws, so the command passes this in (`MakeForecast`). Laws load only when one is
named.
"""

from collections.abc import Callable
from pathlib import Path

from windtunnel.train.progress_forecast import Forecast


def make_forecast(law: str) -> Forecast:
    """Of a run, by its folder. Raises InputError where the file is no fit of curves."""
    from windtunnel.analysis.curves.monitoring.run_monitor import LiveRun
    from windtunnel.analysis.curves.result import FittedCurves

    fit = FittedCurves.from_json(Path(law))

    def forecast(folder: Path) -> Callable[[], str]:
        return LiveRun(fit, folder, fit.kind).text

    return forecast
