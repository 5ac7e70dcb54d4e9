"""Loss curves from run folders: the logged losses under the recorded schedule.

A line of the training curve is the mean over the steps since the line before; its time is the middle of those steps. An
evaluation is of the model after a number of updates.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import MIN_POINTS, LossCurve, LossKind
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.laws.law import Array
from windtunnel.train.errors import InputError
from windtunnel.train.records import read_metrics, read_record
from windtunnel.train.schedules import Schedule, multiplier

# The rows of the metrics that hold the losses, and the name of the loss in them.
METRICS: dict[LossKind, tuple[Literal["train", "evaluation"], str]] = {
    "training": ("train", "loss"),
    "validation": ("evaluation", "validation_nats_per_token"),
}


def curve_from_run(folder: Path, losses: LossKind = "training") -> LossCurve:
    """The loss curve of a run, so far if it has not finished. Raises InputError for a diverged run and for one with too
    few losses.
    """
    folder = Path(folder)
    record = read_record(folder)
    if record["status"] == "diverged":
        raise InputError(f"{folder}: the run diverged; curve laws do not describe it: leave it out")
    config = record["config"]
    rates = learning_rates(Schedule(**config["schedule"]), config["optimizer"]["rate"])
    kind, key = METRICS[losses]
    rows = read_metrics(folder, kind)
    time_P = times_of_steps(np.array([row["step"] for row in rows], dtype=np.float64), losses)
    loss_P = np.array([row[key] for row in rows], dtype=np.float64)
    used_P = usable_points(rates, time_P, loss_P)
    if used_P.sum() < MIN_POINTS:
        raise InputError(
            f"{folder}: {int(used_P.sum())} {losses} losses after the warm-up, which ends at step {rates.warmup}; "
            f"a curve needs {MIN_POINTS} or more"
        )
    return LossCurve(
        name=str(folder),
        rates=rates,
        time_P=time_P[used_P],
        loss_P=loss_P[used_P],
        size=size_of_record(record),
        batch=float(config["optimizer"]["tokens_per_step"]),
        notes=() if record["status"] == "finished" else (f"{folder}: {record['status']}: its curve so far",),
        losses=losses,
    )


def times_of_steps(step_P: Array, losses: LossKind) -> Array:
    """The time of each logged loss, from the step at which it was logged: (P,)."""
    if losses == "validation":
        return step_P
    # The loss of a step is computed before its update.
    return (np.concatenate([[0.0], step_P[:-1]]) + step_P - 1) / 2 if len(step_P) else step_P


def usable_points(rates: LearningRates, time_P: Array, loss_P: Array) -> NDArray[np.bool_]:
    """Which losses are finite, positive and logged after the warm-up: (P,)."""
    return (time_P >= max(rates.warmup, 1)) & np.isfinite(loss_P) & (loss_P > 0)


def size_of_record(record: dict[str, Any]) -> float:
    """The number of parameters that curve laws use: without the embedding, with the head."""
    parameters = record["counts"]["parameters"]
    return float(parameters["non_embedding"] + parameters["head"])


def learning_rates(schedule: Schedule, peak: float) -> LearningRates:
    """The learning rate of every update of a schedule with this peak."""
    rate_S = peak * multiplier(schedule, np.arange(schedule.total_steps))
    return LearningRates.from_updates(rate_S, schedule.warmup_steps)
