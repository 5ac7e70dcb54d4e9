"""The progress line of a run: loss, speed, share of the machine's GEMM peak, time left.

It is redrawn on a terminal, and written at intervals to anything else.
"""

import sys
import time
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_REDRAWS = 0.2


class Progress:
    """The progress line on standard error.

    peak: FLOP/s of the measured matrix product. forecast: called for a text to append, such as a predicted final loss.
    """

    def __init__(
        self,
        name: str,
        total_steps: int,
        tokens_per_step: int,
        flops_per_token: float,
        peak: float,
        forecast: Callable[[], str] | None = None,
    ) -> None:
        self._name = name
        self._total_steps = total_steps
        self._tokens_per_step = tokens_per_step
        self._flops_per_token = flops_per_token
        self._peak = peak
        self._forecast = forecast
        self._is_terminal = sys.stderr.isatty()
        self._last = time.monotonic()
        self._drawn = False

    def update(self, step: int, loss: float | None, tokens_per_second: float) -> None:
        """Write the line if it is due."""
        interval = SECONDS_BETWEEN_REDRAWS if self._is_terminal else SECONDS_BETWEEN_LINES
        if time.monotonic() - self._last < interval or not tokens_per_second:
            return
        self._last = time.monotonic()
        left = (self._total_steps - step) * self._tokens_per_step / tokens_per_second
        share = tokens_per_second * self._flops_per_token / self._peak
        text = (
            f"{self._name}  step {step}/{self._total_steps}  loss {'-' if loss is None else format(loss, '.4f')}  "
            f"{tokens_per_second:,.0f} tokens/s  {share:.0%} of peak  {_format_duration(left)} left"
        )
        if self._forecast is not None and (forecast := self._forecast()):
            text += f"  {forecast}"
        if self._is_terminal:
            sys.stderr.write("\r\x1b[2K" + text)
            self._drawn = True
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Erase the line from a terminal."""
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
