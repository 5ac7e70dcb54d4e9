"""The multi-power law: every drop of the rate lowers the loss by its own power law in the sum of the rates since.

L = L0 + A S1^-alpha - B sum over the drops at updates k < t of drop[k] G(rate[k]^-gamma S[k](t)), with S[k](t) the sum
of the rates from k on and G(x) = 1 - (1 + C x)^-beta. Drops are counted after the warm-up. The authors' code also
counts the drops of the warm-up, which are negative, so their L0 is lower by about B times the peak rate.

Legend: P points, Q quadrature nodes of the drops.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws.law import CurveLaw, Prior, Values
from windtunnel.analysis.laws.law import Array, Parameter

EXPONENTS = (0.2, 0.35, 0.5, 0.7, 1.0)
SCALES = (3.0, 30.0, 300.0)  # C peak^-gamma times the span of S1: the scale of x at the end of the curves
BETAS = (0.3, 0.6, 1.2)
GAMMAS = (0.3, 0.65)
SMALLEST_RELATIVE_RATE = 1e-9  # the rate of a drop to 0


def _log_rate(curve: LossCurve) -> Array:
    return np.log(np.maximum(curve.drop_quadrature.rate_PQ, SMALLEST_RELATIVE_RATE * curve.rates.peak))


def terms(values: Values, curve: LossCurve) -> Any:
    drops = curve.drop_quadrature
    scale_PQ = values["C"] * np.exp(-values["gamma"] * _log_rate(curve))
    response_PQ = -np.expm1(-values["beta"] * np.log1p(scale_PQ * drops.sum_since_PQ))
    response_P = np.sum(response_PQ * drops.weight_PQ, axis=1)
    power_P = np.exp(-values["alpha"] * curve.log_rate_sums)
    return np.stack([np.ones_like(response_P), power_P, -response_P], axis=1)


def term_derivatives(values: Values, curve: LossCurve) -> Mapping[str, Any]:
    drops, log_rate_PQ = curve.drop_quadrature, _log_rate(curve)
    x_PQ = values["C"] * np.exp(-values["gamma"] * log_rate_PQ) * drops.sum_since_PQ
    log_PQ = np.log1p(x_PQ)
    remaining_PQ = drops.weight_PQ * np.exp(-values["beta"] * log_PQ)
    by_log_C_PQ = values["beta"] * remaining_PQ * x_PQ / (1 + x_PQ)
    response_derivatives = {
        "C": by_log_C_PQ.sum(axis=1) / values["C"],
        "beta": (remaining_PQ * log_PQ).sum(axis=1),
        "gamma": -(by_log_C_PQ * log_rate_PQ).sum(axis=1),
    }
    zero_P, log_sum_P = np.zeros(curve.num_points), curve.log_rate_sums
    by_alpha_P = -np.exp(-values["alpha"] * log_sum_P) * log_sum_P
    derivatives = {name: np.stack([zero_P, zero_P, -by_P], axis=1) for name, by_P in response_derivatives.items()}
    return {**derivatives, "alpha": np.stack([zero_P, by_alpha_P, zero_P], axis=1)}


def start_grid(curves: Sequence[LossCurve]) -> Mapping[str, Sequence[float]]:
    span = max(float(curve.rate_sums[-1]) for curve in curves)
    peak = max(curve.rates.peak for curve in curves)
    return {
        "alpha": EXPONENTS,
        "C": tuple(scale / span * peak**gamma for scale in SCALES for gamma in GAMMAS),
        "beta": BETAS,
        "gamma": GAMMAS,
    }


def priors(curves: Sequence[LossCurve]) -> Sequence[Prior]:
    span = max(float(curve.rate_sums[-1]) for curve in curves)
    peak = max(curve.rates.peak for curve in curves)
    return (
        Prior({"C": 1.0, "gamma": -math.log(peak)}, math.log(300 / span), 1.5),
        Prior({"beta": 1.0}, math.log(0.5), 0.5),
        Prior({"gamma": 1.0}, 0.5, 0.3),
    )


LAW = CurveLaw(
    name="multi-power",
    title="Multi-power law",
    formula="L = L0 + A S1^-alpha - B sum of drop[k] G(rate[k]^-gamma S[k](t)), G(x) = 1 - (1 + C x)^-beta",
    citation="Luo et al. 2025, arXiv 2503.12811, equation 1",
    required_curves="three curves of different schedules, a two-stage one among them; C, beta, gamma are weakly "
    "identified",
    parameters=(
        Parameter("L0", "loss of a long run at the peak rate, nats per token"),
        Parameter("A", "amplitude of the power law, nats per token at S1 = 1"),
        Parameter("B", "nats per token for each unit that the rate drops"),
        Parameter("alpha", "exponent of the sum of the rates", upper=10.0),
        Parameter("C", "speed of the response to a drop, per unit of rate[k]^-gamma S[k]"),
        Parameter("beta", "exponent of the response to a drop", upper=10.0),
        Parameter("gamma", "exponent of the rate that a drop arrives at", positive=False, lower=-1.0, upper=3.0),
    ),
    linear=("L0", "A", "B"),
    terms=terms,
    start_grid=start_grid,
    term_derivatives=term_derivatives,
    priors=priors,
    size_dependent=("alpha",),
)
