"""A forecast of the final loss on the progress line.

Training does not import laws. The caller passes in a function that makes the forecast (`MakeForecast`). An error in it
is noted and does not stop training, and it is called so rarely that it costs almost nothing.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

Forecast = Callable[[Path], Callable[[], str]]  # from a run folder to a function that returns the current text
MakeForecast = Callable[[str], Forecast]  # from the value of `logging.law`; raises InputError if it is not a law

SECONDS_BETWEEN_FORECASTS = 5.0
# The pause after a forecast is at least this many times its duration: at most 0.5 % of the run is spent on it.
PAUSE_RATIO = 200.0


class ForecastText:
    """The text of one run's forecast, recomputed when it is due."""

    def __init__(self, forecast: Forecast, folder: Path) -> None:
        self._text, self._due = "", 0.0
        self._compute: Callable[[], str] | None = None
        try:
            self._compute = forecast(folder)
        except Exception as error:
            self._disable(error)

    def __call__(self) -> str:
        now = time.monotonic()
        if self._compute is None or now < self._due:
            return self._text
        try:
            self._text = self._compute()
        except Exception as error:
            self._disable(error)
        ended = time.monotonic()
        self._due = ended + max(SECONDS_BETWEEN_FORECASTS, PAUSE_RATIO * (ended - now))
        return self._text

    def _disable(self, error: Exception) -> None:
        self._compute, self._text = None, ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"note: no forecast of the final loss: {reason}", file=sys.stderr, flush=True)
