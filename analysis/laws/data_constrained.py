"""Repeated data: tokens beyond one epoch, and parameters beyond what the unique tokens can use, decay in value.

L = E + A/N'^alpha + B/D'^beta with D' = U + U R_D* (1 - exp(-(D/U - 1)/R_D*)) and
N' = U_N + U_N R_N* (1 - exp(-(N/U_N - 1)/R_N*)), where U_N = min(N, N_opt(U)) and N_opt(U) = (U G)^(beta/alpha) G,
G = (alpha A / (beta B))^(1/(alpha + beta)), is the size that would be compute-optimal for the unique tokens.

Runs of one epoch carry no information on R_D* and R_N*, and repeated runs little on the rest, so the authors fit in two
stages: E, A, B, alpha, beta on single-epoch runs, then the two half-lives with those fixed (`fix_parameters`). The form
is monotone in the number of epochs: overfitting is outside it.
"""

from itertools import product
from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values

EXPONENTS = (0.1, 0.2, 0.35, 0.55, 0.9)
HALF_LIVES = (0.5, 2.0, 8.0, 30.0, 150.0)
MAX_EXPONENT = 300.0  # of exp(), so that extreme trial values stay finite


def saturating(excess: Any, half_life: Any) -> Any:
    """log(1 + half_life (1 - exp(-excess / half_life))): the log of the value of an original and its repetitions."""
    return np.log1p(-half_life * np.expm1(-excess / half_life))


def saturating_slope(excess: Any, half_life: Any) -> Any:
    """d saturating / d half_life."""
    ratio = excess / half_life
    # 1 - exp(-ratio) (1 + ratio), as a series where the terms cancel.
    exact = -np.expm1(-ratio) - ratio * np.exp(-ratio)
    small = np.minimum(ratio, 1e-3)
    numerator = np.where(ratio < 1e-3, small**2 * (0.5 - small / 3.0 + small**2 / 8.0), exact)
    return numerator / (1.0 - half_life * np.expm1(-ratio))


def log_effective_tokens(half_life: Any, columns: Columns) -> Any:
    """log D': (R, P)."""
    return np.log(columns["U"]) + saturating(np.maximum(columns["D"] / columns["U"] - 1.0, 0.0), half_life)


def _log_ratio(values: Values) -> Any:
    alpha, beta = values["alpha"], values["beta"]
    return (np.log(alpha * values["A"]) - np.log(beta * values["B"])) / (alpha + beta)


def _log_excess_size(values: Values, columns: Columns) -> Any:
    """log(N / U_N): (R, P)."""
    log_G = _log_ratio(values)
    log_optimal_RP = (values["beta"] / values["alpha"]) * (np.log(columns["U"]) + log_G) + log_G
    excess_RP = np.log(columns["N"]) - log_optimal_RP
    # Not np.maximum: the values may be complex, and the real part decides.
    excess_RP = np.where(excess_RP.real > 0, excess_RP, 0.0)
    return np.where(excess_RP.real > MAX_EXPONENT, MAX_EXPONENT, excess_RP)


def log_effective_size(values: Values, columns: Columns) -> Any:
    """log N': (R, P)."""
    excess_RP = _log_excess_size(values, columns)
    return np.log(columns["N"]) - excess_RP + saturating(np.expm1(excess_RP), values["R_N*"])


def predict(values: Values, columns: Columns) -> Any:
    size_RP = np.log(values["A"]) - values["alpha"] * log_effective_size(values, columns)
    data_RP = np.log(values["B"]) - values["beta"] * log_effective_tokens(values["R_D*"], columns)
    return values["E"] + _exponential(size_RP) + _exponential(data_RP)


def jacobian(values: Values, columns: Columns) -> Array:
    alpha, beta = values["alpha"], values["beta"]
    log_size_RP = log_effective_size(values, columns)
    log_tokens_RP = log_effective_tokens(values["R_D*"], columns)
    size_RP = _exponential(np.log(values["A"]) - alpha * log_size_RP)
    data_RP = _exponential(np.log(values["B"]) - beta * log_tokens_RP)
    log_excess_RP = _log_excess_size(values, columns)
    excess_RP = np.expm1(log_excess_RP)
    decay_RP = np.exp(-excess_RP / values["R_N*"])
    worth_RP = 1.0 - values["R_N*"] * np.expm1(-excess_RP / values["R_N*"])
    # d log N' / d log N_opt, 0 where N is below N_opt.
    share_RP = np.where(log_excess_RP > 0, 1.0 - decay_RP * (excess_RP + 1.0) / worth_RP, 0.0)
    optimum_RP = -alpha * size_RP * share_RP
    log_G, log_U = _log_ratio(values), np.log(columns["U"])
    optimal_alpha_RP = -beta / alpha**2 * (log_U + log_G) + (1.0 / alpha - log_G) / alpha
    optimal_beta_RP = (log_U + log_G) / alpha - (1.0 / beta + log_G) / alpha
    repeats_P = np.maximum(columns["D"] / columns["U"] - 1.0, 0.0)
    gradients = {
        "E": np.ones_like(size_RP),
        "A": size_RP / values["A"] + optimum_RP / (alpha * values["A"]),
        "B": data_RP / values["B"] - optimum_RP / (alpha * values["B"]),
        "alpha": -size_RP * log_size_RP + optimum_RP * optimal_alpha_RP,
        "beta": -data_RP * log_tokens_RP + optimum_RP * optimal_beta_RP,
        "R_D*": -beta * data_RP * saturating_slope(repeats_P, values["R_D*"]),
        "R_N*": -alpha * size_RP * saturating_slope(excess_RP, values["R_N*"]),
    }
    return np.stack([gradients[parameter.name] for parameter in LAW.parameters], axis=1)


def _exponential(exponent: Any) -> Any:
    return np.exp(np.where(exponent.real > MAX_EXPONENT, MAX_EXPONENT, exponent))


def starts(columns: Columns, target_P: Array) -> dict[str, Array]:
    """Exponents and half-lives on a grid; E, A and B in closed form with N' = N, for relative residuals."""
    log_N = np.log(columns["N"])
    rows = []
    for alpha, beta, half_life in product(EXPONENTS, EXPONENTS, HALF_LIVES):
        log_D = log_effective_tokens(half_life, columns)
        terms = [np.exp(-alpha * (log_N - log_N.mean())), np.exp(-beta * (log_D - log_D.mean()))]
        coefficients = _positive_least_squares(np.stack([np.ones_like(log_N), *terms], axis=1), target_P)
        amplitude_A = coefficients[1] * np.exp(alpha * log_N.mean())
        amplitude_B = coefficients[2] * np.exp(beta * log_D.mean())
        for size_half_life in HALF_LIVES:
            rows.append([coefficients[0], amplitude_A, amplitude_B, alpha, beta, half_life, size_half_life])
    return dict(zip(("E", "A", "B", "alpha", "beta", "R_D*", "R_N*"), np.array(rows).T, strict=True))


def _positive_least_squares(basis_PJ: Array, target_P: Array) -> Array:
    """For relative residuals; a coefficient that would be negative is a thousandth of the target instead."""
    from scipy.optimize import nnls  # loads slowly

    coefficients, _ = nnls(basis_PJ / target_P[:, None], np.ones_like(target_P))
    return np.asarray(np.maximum(coefficients, 1e-3 * np.median(target_P) / basis_PJ.max(axis=0)))


LAW = Law(
    name="data-constrained",
    title="Repeated data and excess parameters",
    formula="L = E + A/N'^alpha + B/D'^beta; D' = U + U R_D* (1 - exp(-(D/U - 1)/R_D*)), "
    "N' = U_N + U_N R_N* (1 - exp(-(N/U_N - 1)/R_N*)), U_N = min(N, N_opt(U))",
    citation="Muennighoff et al. 2023, arXiv 2305.16264",
    grid="3 amounts of unique tokens x epochs 1 to 40 x 3 sizes, 8 or more runs of several epochs",
    columns=("N", "D", "U"),
    parameters=(
        Parameter("E", "irreducible loss, nats per token"),
        Parameter("A", "amplitude of the size term, nats per token at N' = 1"),
        Parameter("B", "amplitude of the data term, nats per token at D' = 1"),
        Parameter("alpha", "exponent of size", upper=10.0),
        Parameter("beta", "exponent of data", upper=10.0),
        Parameter(
            "R_D*", "repetitions after which a repeated token has lost 1 - 1/e of its value", lower=1e-3, upper=1e9
        ),
        Parameter(
            "R_N*",
            "excess, in multiples of N_opt(U), at which a parameter has lost 1 - 1/e of its value",
            lower=1e-3,
            upper=1e9,
        ),
    ),
    predict=predict,
    jacobian=jacobian,
    starts=starts,
    couplings=(("A", "alpha", "N"), ("B", "beta", "D")),
)
