"""The multi-power law: every drop of the rate lowers the loss by a power law of its own, in the sum of the rates since.

LD(t) = sum over the drops at updates k < t of drop[k] G(rate[k]^-gamma S[k](t)), S[k](t) the sum of the rates from k
on, G(x) = 1 - (1 + C x)^-beta. Drops are counted after the warm-up; the authors' code counts the warm-up's too, with
the other sign, so that their L0 is lower by about B times the peak rate.

Legend: P points, Q nodes of the drops.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.law import CurveLaw, Expectation, Values
from windtunnel.analysis.laws.law import Array, Parameter

EXPONENTS = (0.2, 0.35, 0.5, 0.7, 1.0)
# Of C peak^-gamma times the span of S1: how much of a drop has been felt at the end of the curves.
FELT = (3.0, 30.0, 300.0)
BETAS = (0.3, 0.6, 1.2)
GAMMAS = (0.3, 0.65)
LEAST_SHARE = 1e-9  # of the peak: the rate at which a drop to 0 is felt


def _log_rates(curve: Curve) -> Array:
    return np.log(np.maximum(curve.drops.rate_PQ, LEAST_SHARE * curve.rates.peak))


def terms(values: Values, curve: Curve) -> Any:
    scale_PQ = values["C"] * np.exp(-values["gamma"] * _log_rates(curve))
    felt_PQ = -np.expm1(-values["beta"] * np.log1p(scale_PQ * curve.drops.since_PQ))
    felt_P = np.sum(felt_PQ * curve.drops.weight_PQ, axis=1)
    power_P = np.exp(-values["alpha"] * curve.log_sums)
    return np.stack([np.ones_like(felt_P), power_P, -felt_P], axis=1)


def slopes(values: Values, curve: Curve) -> Mapping[str, Any]:
    weight_PQ, log_rate_PQ = curve.drops.weight_PQ, _log_rates(curve)
    x_PQ = values["C"] * np.exp(-values["gamma"] * log_rate_PQ) * curve.drops.since_PQ
    log_PQ = np.log1p(x_PQ)
    left_PQ = weight_PQ * np.exp(-values["beta"] * log_PQ)
    by_log_C_PQ = values["beta"] * left_PQ * x_PQ / (1 + x_PQ)
    zero_P, log_sum_P = np.zeros(curve.num_points), curve.log_sums
    felt = {
        "C": by_log_C_PQ.sum(axis=1) / values["C"],
        "beta": (left_PQ * log_PQ).sum(axis=1),
        "gamma": -(by_log_C_PQ * log_rate_PQ).sum(axis=1),
    }
    slope = {name: np.stack([zero_P, zero_P, -each_P], axis=1) for name, each_P in felt.items()}
    by_alpha_P = -np.exp(-values["alpha"] * log_sum_P) * log_sum_P
    return {**slope, "alpha": np.stack([zero_P, by_alpha_P, zero_P], axis=1)}


def start_grid(curves: Sequence[Curve]) -> Mapping[str, Sequence[float]]:
    span = max(float(curve.sums[-1]) for curve in curves)
    peak = max(curve.rates.peak for curve in curves)
    return {
        "alpha": EXPONENTS,
        "C": tuple(felt / span * peak**gamma for felt in FELT for gamma in GAMMAS),
        "beta": BETAS,
        "gamma": GAMMAS,
    }


def expectations(curves: Sequence[Curve]) -> Sequence[Expectation]:
    span = max(float(curve.sums[-1]) for curve in curves)
    peak = max(curve.rates.peak for curve in curves)
    return (
        Expectation({"C": 1.0, "gamma": -math.log(peak)}, math.log(300 / span), 1.5),
        Expectation({"beta": 1.0}, math.log(0.5), 0.5),
        Expectation({"gamma": 1.0}, 0.5, 0.3),
    )


LAW = CurveLaw(
    name="multi-power",
    title="Multi-power law",
    formula="L = L0 + A S1^-alpha - B sum of drop[k] G(rate[k]^-gamma S[k](t)), G(x) = 1 - (1 + C x)^-beta",
    citation="Luo et al. 2025, arXiv 2503.12811, equation 1",
    runs="three curves of different schedules, a two-stage one among them; C, beta, gamma are weakly identified",
    parameters=(
        Parameter("L0", "loss of a long run at the peak rate, nats per token"),
        Parameter("A", "amplitude of the power law, nats per token at S1 = 1"),
        Parameter("B", "nats per token for each unit that the rate drops"),
        Parameter("alpha", "exponent of the sum of the rates", upper=10.0),
        Parameter("C", "how fast a drop is felt, per unit of rate[k]^-gamma S[k]"),
        Parameter("beta", "exponent at which a drop is felt", upper=10.0),
        Parameter("gamma", "exponent of the rate a drop arrives at", positive=False, lower=-1.0, upper=3.0),
    ),
    linear=("L0", "A", "B"),
    terms=terms,
    start_grid=start_grid,
    slopes=slopes,
    expectations=expectations,
    size_dependent=("alpha",),
)
