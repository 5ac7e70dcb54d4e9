"""The loss curve of a run that may still be in training, read incrementally.

Legend: P logged points, G times of a grid.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve, LossKind
from windtunnel.analysis.curves.from_runs import METRICS, learning_rates, size_of_record, times_of_steps, usable_points
from windtunnel.analysis.laws.law import Array
from windtunnel.train.errors import InputError
from windtunnel.train.records import Json, read_record
from windtunnel.train.schedules import Schedule

METRICS_FILE = "metrics.jsonl"
GRID_TIMES = 256  # evenly spaced times at which a law is evaluated; half as many more are spaced geometrically


class PartialCurve:
    """The schedule of a run and its losses so far. Raises InputError where the folder has no readable record."""

    def __init__(self, folder: Path, losses: LossKind = "training") -> None:
        self.folder, self.losses = Path(folder), losses
        record = read_record(self.folder)
        config = record["config"]
        self.run_id = str(record["run_id"])
        self.rates = learning_rates(Schedule(**config["schedule"]), config["optimizer"]["rate"])
        self.total_steps = self.rates.num_updates
        self.size, self.batch = size_of_record(record), float(config["optimizer"]["tokens_per_step"])
        self.seed = int(config["seed"])
        self.data = str(config["data"]["content_hash"])
        self.every_steps = int(config["logging"]["every_steps"])
        self._step_P, self._loss_P = np.zeros(0), np.zeros(0)
        self._bytes_read, self._inode = 0, -1

    def record(self) -> Json:
        """The current record."""
        return read_record(self.folder)

    @property
    def query(self) -> LossCurve:
        """The whole schedule, from the end of the warm-up to the time of its last loss. The last training loss is taken
        as a mean over `every_steps` steps, also where fewer are left for it.
        """
        last = float(self.total_steps)
        if self.losses == "training":
            last = max(1.0, last - (self.every_steps + 1) / 2)
        first = min(float(max(self.rates.warmup, 1)), last)
        geometric_G = np.geomspace(first, last, GRID_TIMES // 2)[1:-1]
        time_G = np.unique(np.concatenate([np.linspace(first, last, GRID_TIMES), geometric_G]))
        return LossCurve.query(str(self.folder), self.rates, time_G, self.size, self.batch, self.losses)

    def read(self) -> tuple[Array, Array]:
        """The times and losses after the warm-up, so far: (P,) each. Reads only what is new."""
        self._read_new_lines()
        time_P = times_of_steps(self._step_P, self.losses)
        used_P = usable_points(self.rates, time_P, self._loss_P)
        return time_P[used_P], self._loss_P[used_P]

    @property
    def step(self) -> int:
        """The step of the last line that was read."""
        return int(self._step_P[-1]) if len(self._step_P) else 0

    @property
    def last_loss(self) -> float | None:
        return float(self._loss_P[-1]) if len(self._loss_P) and np.isfinite(self._loss_P[-1]) else None

    def _read_new_lines(self) -> None:
        kind, key = METRICS[self.losses]
        try:
            with (self.folder / METRICS_FILE).open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._bytes_read:  # a resumed run rewrites the file
                    self._step_P, self._loss_P = np.zeros(0), np.zeros(0)
                    self._bytes_read, self._inode = 0, status.st_ino
                file.seek(self._bytes_read)
                new = file.read()
        except FileNotFoundError:
            return
        complete = new[: new.rfind(b"\n") + 1]  # the last line may be half written
        rows = [row for row in map(self._row, complete.splitlines()) if row["kind"] == kind]
        self._bytes_read += len(complete)
        self._step_P = np.append(self._step_P, [float(row["step"]) for row in rows])
        self._loss_P = np.append(self._loss_P, [np.nan if row.get(key) is None else float(row[key]) for row in rows])

    def _row(self, line: bytes) -> dict[str, Any]:
        try:
            row: dict[str, Any] = json.loads(line)
            if row["kind"] and row["step"] + 0 is not None:
                return row
        except (ValueError, TypeError, KeyError):
            pass
        raise InputError(f"{self.folder / METRICS_FILE}: not rows of a curve; delete the run folder to train again")
