"""Joint law of size and data without an irreducible loss."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values

EXPONENTS = (0.03, 0.05, 0.076, 0.11, 0.16, 0.25, 0.4, 0.6)


def predict(values: Values, columns: Columns) -> Any:
    ratio = values["alpha_N"] / values["alpha_D"]
    size_RP = np.exp(ratio * (np.log(values["N_c"]) - np.log(columns["N"])))
    return np.exp(values["alpha_D"] * np.log(size_RP + values["D_c"] / columns["D"]))


def starts(columns: Columns, target_P: Array) -> Mapping[str, Array]:
    """For given exponents L^(1/alpha_D) is linear in N_c^(alpha_N/alpha_D) and D_c."""
    rows = []
    for alpha_N, alpha_D in itertools.product(EXPONENTS, EXPONENTS):
        ratio = alpha_N / alpha_D
        # Relative to the loss and centered, so that the powers stay of order one.
        relative_P = (target_P / np.median(target_P)) ** (-1.0 / alpha_D)
        log_N = np.log(columns["N"]) - np.mean(np.log(columns["N"]))
        log_D = np.log(columns["D"]) - np.mean(np.log(columns["D"]))
        size_P, data_P = np.exp(-ratio * log_N) * relative_P, np.exp(-log_D) * relative_P
        basis_2P = np.stack([size_P, data_P])
        size, data = np.linalg.lstsq(basis_2P.T, np.ones_like(target_P), rcond=None)[0]
        size, data = max(float(size), 1e-4 / np.median(size_P)), max(float(data), 1e-4 / np.median(data_P))
        log_scale = np.log(np.median(target_P)) / alpha_D
        log_N_c = (np.log(size) + log_scale) / ratio + np.mean(np.log(columns["N"]))
        log_D_c = np.log(data) + log_scale + np.mean(np.log(columns["D"]))
        rows.append((log_N_c, log_D_c, alpha_N, alpha_D))
    table_RK = np.array(rows)
    table_RK = table_RK[(np.abs(table_RK[:, :2]) < 600).all(axis=1)]
    names = ("N_c", "D_c", "alpha_N", "alpha_D")
    return {name: np.exp(table_RK[:, k]) if k < 2 else table_RK[:, k] for k, name in enumerate(names)}


LAW = Law(
    name="kaplan",
    title="Joint law of size and data without a constant",
    formula="L = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D",
    citation="Kaplan et al. 2020, arXiv 2001.08361",
    grid="at least 4 sizes x 3 token budgets; N without embeddings is the authors' convention",
    columns=("N", "D"),
    parameters=(
        Parameter("N_c", "scale of size, parameters"),
        Parameter("D_c", "scale of data, tokens"),
        Parameter("alpha_N", "exponent of size", lower=1e-4, upper=10.0),
        Parameter("alpha_D", "exponent of data", lower=1e-4, upper=10.0),
    ),
    predict=predict,
    starts=starts,
)
