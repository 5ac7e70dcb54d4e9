"""Law of size and data between additive (g = 1) and limited by the scarcer of the two (g near 0): a fact is lost when
it is too rare or exceeds the capacity, and the two losses need not add.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values

EXPONENTS = (0.06, 0.12, 0.2, 0.3, 0.45, 0.7, 1.0)
POWERS = (0.1, 0.3, 0.6, 1.0, 1.6)
LOSS_SHARES = (0.02, 0.3, 0.6, 0.85)  # E as a share of the smallest loss


def predict(values: Values, columns: Columns) -> Any:
    # Relative to the larger term, so that no power overflows at small g.
    size_RP = np.log(values["A"]) - values["alpha"] * np.log(columns["N"])
    data_RP = np.log(values["B"]) - values["beta"] * np.log(columns["D"])
    is_size_RP = size_RP.real > data_RP.real
    larger_RP, smaller_RP = np.where(is_size_RP, size_RP, data_RP), np.where(is_size_RP, data_RP, size_RP)
    share_RP = np.exp((smaller_RP - larger_RP) / values["g"])
    return values["E"] + np.exp(larger_RP + values["g"] * np.log1p(share_RP))


def starts(columns: Columns, target_P: Array) -> Mapping[str, Array]:
    """For given E, exponents and g, (L - E)^(1/g) is linear in A^(1/g) and B^(1/g)."""
    mean_N, mean_D = np.mean(np.log(columns["N"])), np.mean(np.log(columns["D"]))
    log_N, log_D = np.log(columns["N"]) - mean_N, np.log(columns["D"]) - mean_D
    rows = []
    for share, power in itertools.product(LOSS_SHARES, POWERS):
        E = share * float(target_P.min())
        log_excess_P = np.log(target_P - E)
        center = float(np.median(log_excess_P))
        # Weights that make the residuals relative residuals of the loss.
        weight_P = power * (target_P - E) / target_P
        relative_P = np.exp(-(log_excess_P - center) / power)
        for alpha, beta in itertools.product(EXPONENTS, EXPONENTS):
            size_P = np.exp(-alpha * log_N / power) * relative_P
            data_P = np.exp(-beta * log_D / power) * relative_P
            basis_P2 = np.stack([size_P, data_P], axis=1) * weight_P[:, None]
            gram_22 = basis_P2.T @ basis_P2
            determinant = gram_22[0, 0] * gram_22[1, 1] - gram_22[0, 1] ** 2
            moment_2 = basis_P2.T @ weight_P
            size = (gram_22[1, 1] * moment_2[0] - gram_22[0, 1] * moment_2[1]) / max(determinant, 1e-300)
            data = (gram_22[0, 0] * moment_2[1] - gram_22[0, 1] * moment_2[0]) / max(determinant, 1e-300)
            size, data = max(size, 1e-3 / np.median(size_P)), max(data, 1e-3 / np.median(data_P))
            log_A = power * np.log(size) + center + alpha * mean_N
            log_B = power * np.log(data) + center + beta * mean_D
            rows.append((E, np.exp(log_A), np.exp(log_B), alpha, beta, power))
    return {name: np.array(rows)[:, k] for k, name in enumerate(("E", "A", "B", "alpha", "beta", "g"))}


LAW = Law(
    name="general",
    title="Law of size and data from additive to limited by the scarcer",
    formula="L = E + [(A/N^alpha)^(1/g) + (B/D^beta)^(1/g)]^g",
    citation="the additive law of Hoffmann et al. 2022, arXiv 2203.15556, is g = 1",
    grid="at least 5 sizes x 4 token budgets, with points on both sides of the optimum",
    columns=("N", "D"),
    parameters=(
        Parameter("E", "irreducible loss, nats per token"),
        Parameter("A", "amplitude of the size term"),
        Parameter("B", "amplitude of the data term"),
        Parameter("alpha", "exponent of size", upper=10.0),
        Parameter("beta", "exponent of data", upper=10.0),
        Parameter("g", "how the terms combine: 1 they add, near 0 only the larger counts", lower=0.01, upper=5.0),
    ),
    predict=predict,
    starts=starts,
    couplings=(("A", "alpha", "N"), ("B", "beta", "D")),
)
