"""Additive law of size and data: E + A / N^alpha + B / D^beta. Its fit is the third approach to the best size
(`windtunnel.analysis.compute_optimal.approaches`).
"""

from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values


def predict(values: Values, columns: Columns) -> Any:
    size_RP = values["A"] * np.exp(-values["alpha"] * np.log(columns["N"]))
    data_RP = values["B"] * np.exp(-values["beta"] * np.log(columns["D"]))
    return values["E"] + size_RP + data_RP


def jacobian(values: Values, columns: Columns) -> Array:
    log_N, log_D = np.log(columns["N"]), np.log(columns["D"])
    size_RP = np.exp(-values["alpha"] * log_N)
    data_RP = np.exp(-values["beta"] * log_D)
    ones_RP = np.ones_like(size_RP)
    return np.stack([ones_RP, size_RP, data_RP, -values["A"] * size_RP * log_N, -values["B"] * data_RP * log_D], axis=1)


LAW = Law(
    name="chinchilla",
    title="Additive law of size and data; the third approach of `windtunnel approaches`",
    formula="L = E + A/N^alpha + B/D^beta",
    citation="Hoffmann et al. 2022, arXiv 2203.15556; Besiroglu et al. 2024, arXiv 2404.10102",
    grid="at least 4 sizes x 3 token budgets (9 runs or more), every schedule finished",
    columns=("N", "D"),
    parameters=(
        Parameter("E", "irreducible loss, nats per token"),
        Parameter("A", "amplitude of the size term, nats per token at N = 1"),
        Parameter("B", "amplitude of the data term, nats per token at D = 1"),
        Parameter("alpha", "exponent of size", upper=10.0),
        Parameter("beta", "exponent of data", upper=10.0),
    ),
    predict=predict,
    jacobian=jacobian,
    linear=("E", "A", "B"),
    start_grid={
        "alpha": (0.03, 0.06, 0.1, 0.16, 0.25, 0.36, 0.5, 0.7, 1.0, 1.5),
        "beta": (0.03, 0.06, 0.1, 0.16, 0.25, 0.36, 0.5, 0.7, 1.0, 1.5),
    },
    couplings=(("A", "alpha", "N"), ("B", "beta", "D")),
)
