"""A baseline without memory: a power law in the sum of the rates, plus a power law in the current rate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.laws.law import Array, Parameter

EXPONENTS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5)
RATE_EXPONENTS = (0.3, 0.7, 1.2, 2.0)
SMALLEST_RELATIVE_RATE = 1e-12  # replaces a rate of 0 under a logarithm


def _log_rate(curve: LossCurve) -> Array:
    return np.log(np.maximum(curve.relative_rates, SMALLEST_RELATIVE_RATE))


def terms(values: Values, curve: LossCurve) -> Any:
    power_P = np.exp(-values["alpha"] * curve.log_rate_sums)
    rate_P = np.exp(values["g"] * _log_rate(curve))
    return np.stack([np.ones_like(power_P), power_P, rate_P], axis=1)


def term_derivatives(values: Values, curve: LossCurve) -> Mapping[str, Any]:
    zero_P, log_rate_P = np.zeros(curve.num_points), _log_rate(curve)
    by_alpha_P = -np.exp(-values["alpha"] * curve.log_rate_sums) * curve.log_rate_sums
    return {
        "alpha": np.stack([zero_P, by_alpha_P, zero_P], axis=1),
        "g": np.stack([zero_P, zero_P, np.exp(values["g"] * log_rate_P) * log_rate_P], axis=1),
    }


def start_grid(curves: Sequence[LossCurve]) -> Mapping[str, Sequence[float]]:
    return {"alpha": EXPONENTS, "g": RATE_EXPONENTS}


LAW = CurveLaw(
    name="instantaneous",
    title="Baseline without memory",
    formula="L = L0 + A S1^-alpha + B (rate / peak)^g",
    citation="ours: a baseline for laws with memory",
    required_curves="two curves of different schedules",
    parameters=(
        Parameter("L0", "loss of a long run at a rate of 0, nats per token"),
        Parameter("A", "amplitude of the power law, nats per token at S1 = 1"),
        Parameter("B", "cost of the peak rate, nats per token"),
        Parameter("alpha", "exponent of the sum of the rates", upper=10.0),
        Parameter("g", "exponent of the rate", upper=10.0),
    ),
    linear=("L0", "A", "B"),
    terms=terms,
    start_grid=start_grid,
    term_derivatives=term_derivatives,
    size_dependent=("alpha",),
)
