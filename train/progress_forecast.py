"""A forecast of the final loss beside the line of progress: made elsewhere, shown here.

Whoever starts training passes in how to make one (`MakeForecast`), since laws are no part of training. It can only
show: whatever goes wrong with it, training goes on, and it is asked so rarely that it costs nothing.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

Forecast = Callable[[Path], Callable[[], str]]  # of a run, by its folder -> a few words, whenever they are asked for
MakeForecast = Callable[[str], Forecast]  # by `logging.law`; raises InputError where it is no law

SECONDS_BETWEEN_FORECASTS = 5.0
# The time until the next is at least so many times what the last took: at most .5 % of the run.
REST = 200.0


class ForecastText:
    """The words for one run, as old as they may be."""

    def __init__(self, forecast: Forecast, folder: Path) -> None:
        self._text, self._due = "", 0.0
        self._ask: Callable[[], str] | None = None
        try:
            self._ask = forecast(folder)
        except Exception as error:
            self._give_up(error)

    def __call__(self) -> str:
        now = time.monotonic()
        if self._ask is None or now < self._due:
            return self._text
        try:
            self._text = self._ask()
        except Exception as error:
            self._give_up(error)
        ended = time.monotonic()
        self._due = ended + max(SECONDS_BETWEEN_FORECASTS, REST * (ended - now))
        return self._text

    def _give_up(self, error: Exception) -> None:
        self._ask, self._text = None, ""
        first = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"note: no forecast of the final loss: {first}", file=sys.stderr, flush=True)
