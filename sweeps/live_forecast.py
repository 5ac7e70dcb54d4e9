"""`logging.law` of `windtunnel train`: the final loss that a fitted law expects of the run, for its line of progress.

Training may not import laws, so the command passes this in (`train.forecast.MakeForecast`). Laws load only when one is
named.
"""

from collections.abc import Callable
from pathlib import Path

from train.forecast import Forecast


def make_forecast(law: str) -> Forecast:
    """Of a run, by its folder. Raises InputError where the file is no fit of curves."""
    from analysis.curves.fitted_curves import FittedCurves
    from analysis.curves.live_run import LiveRun

    fit = FittedCurves.from_json(Path(law))

    def forecast(folder: Path) -> Callable[[], str]:
        return LiveRun(fit, folder, fit.kind).text

    return forecast
