"""Loss of over-trained models in compute and tokens per parameter: in logarithms, lines of constant M are parallel."""

from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values


def predict(values: Values, columns: Columns) -> Any:
    log_C, log_M = np.log(columns["C"]), np.log(columns["M"])
    size_RP = values["a"] * np.exp(values["eta"] * (log_M - log_C))
    return values["E"] + size_RP + values["b"] * np.exp(-values["eta"] * (log_M + log_C))


def jacobian(values: Values, columns: Columns) -> Array:
    log_C, log_M = np.log(columns["C"]), np.log(columns["M"])
    size_RP = np.exp(values["eta"] * (log_M - log_C))
    data_RP = np.exp(-values["eta"] * (log_M + log_C))
    eta_RP = values["a"] * size_RP * (log_M - log_C) - values["b"] * data_RP * (log_M + log_C)
    return np.stack([np.ones_like(size_RP), size_RP, data_RP, eta_RP], axis=1)


LAW = Law(
    name="overtraining",
    title="Over-training law in compute and tokens per parameter",
    formula="L = E + (a*M^eta + b*M^-eta) * C^-eta, with M = D/N",
    citation="Gadre et al. 2024, arXiv 2403.08540",
    grid="4 sizes at one M and the smallest at a large M (5 points: allow few points), better 4 x 3",
    columns=("C", "M"),
    parameters=(
        Parameter("E", "irreducible loss, nats per token"),
        Parameter("a", "amplitude of the size term"),
        Parameter("b", "amplitude of the data term"),
        Parameter("eta", "exponent of compute: half the exponent of size and of data", upper=5.0),
    ),
    predict=predict,
    jacobian=jacobian,
    linear=("E", "a", "b"),
    start_grid={"eta": (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.13, 0.17, 0.22, 0.3, 0.4, 0.6, 0.9)},
    couplings=(("a", "eta", "C/M"), ("b", "eta", "C*M")),
)
