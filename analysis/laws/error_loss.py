"""Downstream error as a function of loss: Err = epsilon - k exp(-gamma L)."""

from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values


def predict(values: Values, columns: Columns) -> Any:
    return values["epsilon"] - values["k"] * np.exp(-values["gamma"] * columns["loss"])


def jacobian(values: Values, columns: Columns) -> Array:
    decay_RP = np.exp(-values["gamma"] * columns["loss"])
    return np.stack([np.ones_like(decay_RP), -decay_RP, values["k"] * columns["loss"] * decay_RP], axis=1)


LAW = Law(
    name="error-loss",
    title="Downstream error against loss",
    formula="Err = epsilon - k exp(-gamma L)",
    citation="Gadre et al. 2024, arXiv 2403.08540",
    grid="at least 5 models over a range of losses, one validation set for all, errors averaged over tasks",
    columns=("loss",),
    target="error",
    objective="mse",
    parameters=(
        Parameter("epsilon", "error of guessing, as a share"),
        Parameter("k", "amplitude: error below epsilon at a loss of 0, as a share"),
        Parameter("gamma", "rate at which error falls with loss, per nat", upper=50.0),
    ),
    predict=predict,
    jacobian=jacobian,
    linear=("epsilon", "k"),
    start_grid={"gamma": (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 8.0)},
)
