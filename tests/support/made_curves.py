"""Curves of schedules written by hand, and sums over them taken update by update: the plain loops that laws must equal.

Legend: S updates, P points.
"""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.curves.schedule_sums import Rates

PEAK, WARMUP = 1e-3, 60
UPDATES = 3000


def schedules(updates: int = UPDATES) -> dict[str, NDArray[np.float64]]:
    """The rate of every update: constant, cosine to a tenth, two stages, and a stable rate that decays."""
    step_S = np.arange(updates)
    rise_S = np.minimum(step_S / WARMUP, 1.0)
    along_S = np.clip((step_S - WARMUP) / (updates - 1 - WARMUP), 0, 1)
    shapes = {
        "constant": np.ones(updates),
        "cosine": 0.55 + 0.45 * np.cos(np.pi * along_S),
        "two-stage": np.where(step_S < updates // 3, 1.0, 0.3),
        "decay": np.where(step_S < 0.7 * updates, 1.0, np.maximum(1 - (step_S / updates - 0.7) / 0.33, 0.05)),
    }
    return {name: PEAK * rise_S * shape_S for name, shape_S in shapes.items()}


def curve(name: str, every: int = 40, rates: Rates | None = None) -> Curve:
    """Without losses: they are NaN."""
    rates = Rates.of_updates(schedules()[name]) if rates is None else rates
    time_P = np.arange(WARMUP + every, rates.num_updates + 1, every, dtype=np.float64)
    return Curve(name, rates, time_P, np.full(len(time_P), np.nan))


def of_law(law: CurveLaw, values: dict[str, float], blank: Curve) -> Curve:
    """The curve with exactly the losses of the law."""
    loss_P = np.asarray(law.predict(values, blank), dtype=np.float64)
    return Curve(blank.name, blank.rates, blank.time_P, loss_P, blank.size, blank.batch)


def write_csv(path: Path, made: Curve, names: tuple[str, str, str] = ("step", "lr", "loss")) -> Path:
    """Rows as other people log them: the rate of the update that the step is about to make."""
    rate_P = np.interp(made.time_P, made.rates.step_J, made.rates.rate_J)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for step, rate, loss in zip(made.time_P, rate_P, made.loss_P, strict=True):
            writer.writerow([int(step), repr(float(rate)), repr(float(loss))])
    return path
