"""The state of a run in training: its loss so far, the forecast of its final loss, and whether it follows the collapsed
curve of its family.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from windtunnel.analysis.curves.curve import LossKind
from windtunnel.analysis.curves.monitoring.collapse import CollapseCheck, check_collapse
from windtunnel.analysis.curves.monitoring.forecast import FinalLossForecast, RunForecaster
from windtunnel.analysis.curves.monitoring.partial_curve import METRICS_FILE, PartialCurve
from windtunnel.analysis.curves.monitoring.run_family import RunFamily, family_member
from windtunnel.analysis.curves.predict import CurvePrediction
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.train.errors import InputError

TAIL_BYTES = 4096  # read from the end of the timings
# A run may have died when it has written nothing for the time of this many lines, and for at least this long.
SILENT_LINES, SILENT_SECONDS = 20, 120.0


@dataclass(frozen=True)
class RunStatus:
    """The state of a run. `loss` is the last logged one. `final` comes from the law alone until there are enough
    points; where there is none, `refusal` says why.
    """

    run: str
    status: str
    step: int
    total_steps: int
    loss: float | None
    seconds_left: float | None
    final: FinalLossForecast | None
    refusal: str
    collapse: CollapseCheck | None
    notes: tuple[str, ...]

    @property
    def progress(self) -> float:
        return self.step / self.total_steps

    @property
    def is_over(self) -> bool:
        """Whether the run does not continue unless it is started again."""
        return self.status not in ("planned", "running")

    def to_dict(self) -> dict[str, Any]:
        final: dict[str, Any] | None = None
        if self.final is not None:
            final = asdict(self.final)
            final["interval_90"] = None if self.final.interval_90 is None else list(self.final.interval_90)
            final["by"] = "law and own curve" if self.final.points else "law"
        names = ("run", "status", "step", "total_steps", "progress", "loss")
        return {
            **{name: getattr(self, name) for name in names},
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left, 1),
            "final": final,
            "refusal": self.refusal or None,
            "collapse": None if self.collapse is None else self.collapse.to_dict(),
            "notes": list(self.notes),
        }


class RunMonitor:
    """Monitors one run against a fitted law. Raises InputError where the folder has no readable record."""

    def __init__(self, fit: FittedCurveLaw, folder: Path, losses: LossKind = "training") -> None:
        self._fit, self._run = fit, PartialCurve(folder, losses)
        self._refusal = ""
        self._notes: list[str] = []
        self._prediction: CurvePrediction | None = None
        self._forecaster: RunForecaster | None = None
        try:
            self._prediction = fit.predict(self._run.query)
        except InputError as error:
            self._refusal = str(error).removeprefix(f"{folder}: ")
        else:
            self._forecaster = RunForecaster(fit, self._run.query)
            self._notes = self._prediction.notes

    def forecast(self) -> FinalLossForecast | None:
        """The forecast of the final loss; None where the run is outside the domain of the fit."""
        time_P, loss_P = self._run.read()
        forecast = None if self._forecaster is None else self._forecaster.forecast(time_P, loss_P)
        if forecast is None and self._prediction is not None:
            loss = self._prediction.final_loss
            return FinalLossForecast(loss, self._prediction.interval_90, 0.0, None, 0, 0.0)
        return forecast

    def format_final_loss(self) -> str:
        """The forecast for a line of progress."""
        forecast = self.forecast()
        return f"no final loss: {self._refusal}" if forecast is None else f"final {format_forecast(forecast)}"

    def check(self, family: RunFamily | None = None) -> RunStatus:
        """The current state of the run, compared with its family where there is one."""
        record = self._run.record()
        diverged = record["status"] == "diverged"
        final = None if diverged else self.forecast()
        notes, collapse = list(self._notes), None
        if family is not None and not diverged:
            members, left_out = family.comparable_with(self._run)
            collapse = check_collapse(family_member(self._fit, self._run), members, self._fit)
            notes += left_out
        speed = self._tokens_per_second()
        seconds_left = None
        if record["status"] == "running" and speed:
            seconds_left = (self._run.total_steps - self._run.step) * self._run.batch / speed
            notes += self._silence_notes(speed)
        return RunStatus(
            run=self._run.run_id,
            status=record["status"],
            step=self._run.step,
            total_steps=self._run.total_steps,
            loss=self._run.last_loss,
            seconds_left=seconds_left,
            final=final,
            refusal="it diverged" if diverged else self._refusal,
            collapse=collapse,
            notes=tuple(notes),
        )

    def _tokens_per_second(self) -> float | None:
        """From the last line of the timings."""
        try:
            with (self._run.folder / "timings.jsonl").open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                lines = file.read().split(b"\n")[:-1]
            return float(json.loads(lines[-1])["tokens_per_second"]) or None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _silence_notes(self, tokens_per_second: float) -> list[str]:
        try:
            silent = time.time() - (self._run.folder / METRICS_FILE).stat().st_mtime
        except OSError:
            return []
        seconds_per_line = self._run.every_steps * self._run.batch / tokens_per_second
        if silent < max(SILENT_SECONDS, SILENT_LINES * seconds_per_line):
            return []
        return [f"nothing written for {format_duration(silent)}: check that the run is still in training"]


def format_forecast(forecast: FinalLossForecast) -> str:
    """The final loss with its interval, and whether it comes from the law alone."""
    text = f"{forecast.loss:.4g}"
    if forecast.interval_90 is not None:
        text += " [{:.4g}, {:.4g}]".format(*forecast.interval_90)
    return text if forecast.points else f"{text} by the law alone"


def format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
