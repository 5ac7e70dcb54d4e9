"""A run that may still be in training: its whole schedule, and its curve so far, read on from where the last look
ended.

Legend: P logged points, G times of a grid.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.from_runs import Losses, rates_of, size_of, times_of
from windtunnel.analysis.laws.law import Array
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json, read_record
from windtunnel.train.schedules import Schedule

KINDS: dict[Losses, tuple[str, str]] = {
    "training": ("train", "loss"),
    "validation": ("evaluation", "validation_nats_per_token"),
}
# Where a law of the run's schedule is worked out: as many even times, and half as many that grow, for the early bend.
EVEN_TIMES = 256


class RunInTraining:
    """Raises InputError where the folder holds no readable record."""

    def __init__(self, folder: Path, losses: Losses = "training") -> None:
        self.folder, self.losses = Path(folder), losses
        record = read_record(self.folder)
        config = record["config"]
        self.run_id = str(record["run_id"])
        self.rates = rates_of(Schedule(**config["schedule"]), config["optimizer"]["rate"])
        self.total_steps = self.rates.num_updates
        self.size, self.batch = size_of(record), float(config["optimizer"]["tokens_per_step"])
        self.seed = int(config["seed"])
        self.data = str(config["data"]["content_hash"])
        self.every_steps = int(config["logging"]["every_steps"])
        self._step_P, self._loss_P = np.zeros(0), np.zeros(0)
        self._read_to, self._file = 0, -1

    def record(self) -> Json:
        """The record as it is now."""
        return read_record(self.folder)

    @property
    def whole(self) -> Curve:
        """Its schedule from the end of the warm-up to its last loss, without losses. The last is that of as many steps
        as any other line averages, also where fewer are left for the last line.
        """
        last = float(self.total_steps)
        if self.losses == "training":
            last = max(1.0, last - (self.every_steps + 1) / 2)
        first = min(float(max(self.rates.warmup, 1)), last)
        growing = np.geomspace(first, last, EVEN_TIMES // 2)
        time_G = np.unique(np.concatenate([np.linspace(first, last, EVEN_TIMES), growing[1:-1]]))
        unknown_G = np.full(len(time_G), np.nan)
        return Curve(str(self.folder), self.rates, time_G, unknown_G, self.size, self.batch, losses=self.losses)

    def look(self) -> tuple[Array, Array]:
        """Times and losses of the lines after the warm-up that there are by now: (P,) each. Reads what is new."""
        self._read_on()
        time_P = times_of(self._step_P, self.losses)
        used_P = (time_P >= max(self.rates.warmup, 1)) & np.isfinite(self._loss_P) & (self._loss_P > 0)
        return time_P[used_P], self._loss_P[used_P]

    @property
    def step(self) -> int:
        """The step of the last line that was read."""
        return int(self._step_P[-1]) if len(self._step_P) else 0

    @property
    def last_loss(self) -> float | None:
        """The last logged loss."""
        return float(self._loss_P[-1]) if len(self._loss_P) and np.isfinite(self._loss_P[-1]) else None

    def _read_on(self) -> None:
        path = self.folder / "metrics.jsonl"
        kind, key = KINDS[self.losses]
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._file or status.st_size < self._read_to:  # a resumed run writes it anew
                    self._step_P, self._loss_P = np.zeros(0), np.zeros(0)
                    self._read_to, self._file = 0, status.st_ino
                file.seek(self._read_to)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]  # the line after it may be half written
        rows = [row for row in map(self._row, whole.splitlines()) if row["kind"] == kind]
        self._read_to += len(whole)
        self._step_P = np.append(self._step_P, [float(row["step"]) for row in rows])
        self._loss_P = np.append(self._loss_P, [np.nan if row.get(key) is None else float(row[key]) for row in rows])

    def _row(self, line: bytes) -> dict[str, Any]:
        try:
            row: dict[str, Any] = json.loads(line)
            if row["kind"] and row["step"] + 0 is not None:
                return row
        except (ValueError, TypeError, KeyError):
            pass
        raise InputError(f"{self.folder / 'metrics.jsonl'}: not rows of a curve; delete the run folder to train again")
