"""Accuracy in two steps: a task's loss from size and data, then accuracy as a logistic function of that loss.

Its table has both the loss of the task (nats or bits per byte of the right answer) and its accuracy; each step is
fitted to its own column.
"""

from typing import Any

import numpy as np

from windtunnel.analysis.laws.chinchilla import LAW as LOSS_STEP
from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values
from windtunnel.analysis.laws.two_step import compose
from windtunnel.train.errors import InputError


def logistic(exponent: Any) -> Any:
    """1 / (1 + exp(exponent)) without overflow, for complex values too."""
    small = np.exp(np.where(exponent.real > 0, -exponent, exponent))
    return np.where(exponent.real > 0, small, 1.0) / (1.0 + small)


def predict(values: Values, columns: Columns) -> Any:
    return values["b"] + values["a"] * logistic(values["k"] * (columns["loss"] - values["L_0"]))


def starts(columns: Columns, target_P: Array) -> dict[str, Array]:
    """Steepness and midpoint on a grid over the losses; a and b in closed form."""
    outside_P = (target_P < 0) | (target_P > 1)
    if outside_P.any():
        row = int(np.argmax(outside_P))
        raise InputError(f"ladder: row {row + 1}, accuracy {target_P[row]:g}: give it as a share between 0 and 1")
    loss_P = columns["loss"]
    spread = float(np.ptp(loss_P)) or 1.0
    rows = []
    for steepness in np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 40.0]) / spread:
        for midpoint in loss_P.min() + spread * np.array([-1.0, -0.5, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3]):
            curve_P = logistic(steepness * (loss_P - midpoint))
            rise, lowest = np.polyfit(curve_P, target_P, 1) if np.ptp(curve_P) > 1e-9 else (np.nan, np.nan)
            rows.append([min(rise, 1.0) if rise > 0 else np.nan, lowest, steepness, midpoint])
    return dict(zip(("a", "b", "k", "L_0"), np.array(rows).T, strict=True))


ACCURACY_STEP = Law(
    name="logistic",
    title="Accuracy against the loss of its task",
    formula="accuracy = b + a / (1 + exp(k (loss - L_0)))",
    citation="Bhagia et al. 2024, arXiv 2412.04403",
    grid="6 models or more that span the rise of accuracy",
    columns=("loss",),
    target="accuracy",
    objective="mse",
    parameters=(
        Parameter("a", "rise of accuracy from guessing to the best a low loss can give", upper=1.0),
        Parameter("b", "accuracy of guessing", positive=False, lower=0.0, upper=1.0),
        Parameter("k", "steepness, per unit of the task's loss"),
        Parameter("L_0", "the task's loss at half the rise", positive=False),
    ),
    predict=predict,
    starts=starts,
)

LAW = compose(
    LOSS_STEP,
    ACCURACY_STEP,
    name="ladder",
    title="Accuracy through the loss of its task, in two steps",
    formula="loss = E + A/N^alpha + B/D^beta; accuracy = b + a / (1 + exp(k (loss - L_0)))",
    citation=ACCURACY_STEP.citation,
    grid="the grid of chinchilla with the task's loss and its accuracy, some models on the rise of accuracy",
)
