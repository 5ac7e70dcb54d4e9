"""A run folder to a curve: the losses that were logged, under the schedule that its recorded configuration is.

A line of the training curve is the mean of the steps since the line before: its time is their middle. An evaluation is
of the model after so many updates.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.from_file import LEAST_POINTS
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.laws.law import Array
from windtunnel.train.errors import InputError
from windtunnel.train.records import read_metrics, read_record
from windtunnel.train.schedules import Schedule, multiplier

Losses = Literal["training", "validation"]
LOSSES: tuple[Losses, ...] = get_args(Losses)


def run_curve(folder: Path, losses: Losses = "training") -> Curve:
    """The curve of a run. Raises InputError where there is none to fit."""
    folder = Path(folder)
    record = read_record(folder)
    if record["status"] == "diverged":
        raise InputError(f"{folder}: the run diverged; leave it out, no curve law describes it")
    config = record["config"]
    rates = rates_of(Schedule(**config["schedule"]), config["optimizer"]["rate"])
    notes = [] if record["status"] == "finished" else [f"{folder}: {record['status']}: its curve so far"]
    if losses == "training":
        rows, key = read_metrics(folder, "train"), "loss"
    else:
        rows, key = read_metrics(folder, "evaluation"), "validation_nats_per_token"
    time_P = times_of(np.array([row["step"] for row in rows], dtype=np.float64), losses)
    loss_P = np.array([row[key] for row in rows], dtype=np.float64)
    used_P = (time_P >= max(rates.warmup, 1)) & np.isfinite(loss_P) & (loss_P > 0)
    if used_P.sum() < LEAST_POINTS:
        raise InputError(
            f"{folder}: {int(used_P.sum())} {losses} losses after the warm-up, which ends at step {rates.warmup}; "
            f"a curve needs {LEAST_POINTS} or more"
        )
    return Curve(
        name=str(folder),
        rates=rates,
        time_P=time_P[used_P],
        loss_P=loss_P[used_P],
        size=size_of(record),
        batch=float(config["optimizer"]["tokens_per_step"]),
        notes=tuple(notes),
        losses=losses,
    )


def times_of(end_P: Array, losses: Losses) -> Array:
    """The time of each line by the step it stands at: (P,)."""
    if losses == "validation":
        return end_P
    # The loss of a step is that before its update.
    return (np.concatenate([[0.0], end_P[:-1]]) + end_P - 1) / 2 if len(end_P) else end_P


def size_of(record: dict[str, Any]) -> float:
    """The parameters that laws of curves read as the size."""
    parameters = record["counts"]["parameters"]
    return float(parameters["non_embedding"] + parameters["head"])


def rates_of(schedule: Schedule, rate: float) -> Rates:
    """The rate of every update, `rate` at the peak."""
    rate_S = rate * multiplier(schedule, np.arange(schedule.total_steps))
    return Rates.of_updates(rate_S, schedule.warmup_steps)
