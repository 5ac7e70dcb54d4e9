"""Where a run in training stands: its loss so far, the final loss that is expected of it, and whether it is on its
family's collapsed curve.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from windtunnel.analysis.curves.from_runs import Losses
from windtunnel.analysis.curves.monitoring.collapse import Collapse, check_collapse
from windtunnel.analysis.curves.monitoring.forecast import Forecast, LawOfRun
from windtunnel.analysis.curves.monitoring.partial_curve import RunInTraining
from windtunnel.analysis.curves.monitoring.run_family import Family, member_of
from windtunnel.analysis.curves.predict import CurvePrediction, predict_curve
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.train.errors import InputError

TAIL_BYTES = 4096
# A run that has written nothing for as long as this many lines take, and no less than this, may have ended unheard.
SILENT_LINES, SILENT_SECONDS = 20, 120.0


@dataclass(frozen=True)
class Standing:
    """`final` is by the law alone until there are points enough; `refusal` says why there is none."""

    run: str
    status: str
    step: int
    total_steps: int
    loss: float | None  # the last that was logged
    seconds_left: float | None
    final: Forecast | None
    refusal: str
    collapse: Collapse | None
    notes: tuple[str, ...]

    @property
    def progress(self) -> float:
        return self.step / self.total_steps

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it unless it is begun again."""
        return self.status not in ("planned", "running")

    def document(self) -> dict[str, Any]:
        """For programs."""
        final: dict[str, Any] | None = None
        if self.final is not None:
            final = asdict(self.final)
            final["interval_90"] = None if self.final.interval_90 is None else list(self.final.interval_90)
            final["by"] = "law and own curve" if self.final.points else "law"
        own = {name: getattr(self, name) for name in ("run", "status", "step", "total_steps", "progress", "loss")}
        return {
            **own,
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left, 1),
            "final": final,
            "refusal": self.refusal or None,
            "collapse": None if self.collapse is None else {**asdict(self.collapse), "few": self.collapse.few},
            "notes": list(self.notes),
        }


class LiveRun:
    """One run that is looked at again and again. Raises InputError where there is no readable record."""

    def __init__(self, fit: FittedCurves, folder: Path, losses: Losses = "training") -> None:
        self._fit, self.run = fit, RunInTraining(folder, losses)
        self._refusal, self._notes = "", []
        self._alone: CurvePrediction | None = None
        self._law: LawOfRun | None = None
        try:
            self._alone = predict_curve(fit, self.run.whole)
        except InputError as error:
            self._refusal = str(error).removeprefix(f"{folder}: ")
        else:
            self._law = LawOfRun(fit, self.run.whole)
            if self._alone.beyond > 1.01:
                self._notes = [f"{self._alone.beyond:.3g} times as long as the longest curve that was fitted"]

    def forecast(self) -> Forecast | None:
        """The final loss by what is logged now; None where the law says nothing of such a run."""
        time_P, loss_P = self.run.look()
        found = None if self._law is None else self._law.forecast(time_P, loss_P)
        if found is None and self._alone is not None:
            return Forecast(float(self._alone.loss_P[-1]), self._alone.interval_90, 0.0, None, 0, 0.0)
        return found

    def text(self) -> str:
        """What a line of progress says of the final loss."""
        found = self.forecast()
        return f"no final loss: {self._refusal}" if found is None else f"final {in_words(found)}"

    def standing(self, family: Family | None = None) -> Standing:
        """All of it as it is now."""
        record = self.run.record()
        final = None if record["status"] == "diverged" else self.forecast()
        notes, collapse = list(self._notes), None
        if family is not None and record["status"] != "diverged":
            members, left_out = family.of(self.run)
            collapse = check_collapse(member_of(self._fit, self.run), members, self._fit)
            notes += left_out
        speed = self._tokens_per_second()
        left = None
        if record["status"] == "running" and speed:
            left = (self.run.total_steps - self.run.step) * self.run.batch / speed
            notes += self._silence(speed)
        return Standing(
            run=self.run.run_id,
            status=record["status"],
            step=self.run.step,
            total_steps=self.run.total_steps,
            loss=self.run.last_loss,
            seconds_left=left,
            final=final,
            refusal="it diverged" if record["status"] == "diverged" else self._refusal,
            collapse=collapse,
            notes=tuple(notes),
        )

    def _tokens_per_second(self) -> float | None:
        """By the last line of its timings."""
        try:
            with (self.run.folder / "timings.jsonl").open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                lines = file.read().split(b"\n")[:-1]
            return float(json.loads(lines[-1])["tokens_per_second"]) or None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _silence(self, tokens_per_second: float) -> list[str]:
        try:
            silent = time.time() - (self.run.folder / "metrics.jsonl").stat().st_mtime
        except OSError:
            return []
        if silent < max(SILENT_SECONDS, SILENT_LINES * self.run.every_steps * self.run.batch / tokens_per_second):
            return []
        return [f"it has written nothing for {duration(silent)}: is it still being trained?"]


def in_words(found: Forecast) -> str:
    """The final loss with its interval, and by what."""
    text = f"{found.loss:.4g}"
    if found.interval_90 is not None:
        text += " [{:.4g}, {:.4g}]".format(*found.interval_90)
    return text if found.points else f"{text} by the law alone"


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
