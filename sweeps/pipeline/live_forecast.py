"""`logging.law` of `windtunnel train`: the final loss that a fitted law predicts for a run, shown on its progress line.

`windtunnel.train` may not import laws, so the command passes this function in (`MakeForecast`).
"""

from collections.abc import Callable
from pathlib import Path

from windtunnel.train.progress_forecast import Forecast


def make_forecast(law: str) -> Forecast:
    """Forecasts by the fit of curves in the file `law`, for runs given by their folder. Raises InputError where the
    file is not a fit of curves.
    """
    # Laws load only when a run names one: they would delay every `windtunnel train`.
    from windtunnel.analysis.curves.monitoring.run_monitor import RunMonitor
    from windtunnel.analysis.curves.result import FittedCurveLaw

    fit = FittedCurveLaw.from_json(Path(law))

    def forecast(folder: Path) -> Callable[[], str]:
        return RunMonitor(fit, folder, fit.loss_kind).format_final_loss

    return forecast
