"""The baseline that every curve law must beat: no memory, only the sum of the rates and the rate now."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.laws.law import Parameter

EXPONENTS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5)
RATE_EXPONENTS = (0.3, 0.7, 1.2, 2.0)
LEAST_SHARE = 1e-12  # of the peak: the logarithm of a rate of 0


def terms(values: Values, curve: Curve) -> Any:
    power_P = np.exp(-values["alpha"] * curve.log_sums)
    rate_P = np.exp(values["g"] * np.log(np.maximum(curve.rate_shares, LEAST_SHARE)))
    return np.stack([np.ones_like(power_P), power_P, rate_P], axis=1)


def slopes(values: Values, curve: Curve) -> Mapping[str, Any]:
    zero_P, log_share_P = np.zeros(curve.num_points), np.log(np.maximum(curve.rate_shares, LEAST_SHARE))
    by_alpha_P = -np.exp(-values["alpha"] * curve.log_sums) * curve.log_sums
    return {
        "alpha": np.stack([zero_P, by_alpha_P, zero_P], axis=1),
        "g": np.stack([zero_P, zero_P, np.exp(values["g"] * log_share_P) * log_share_P], axis=1),
    }


def start_grid(curves: Sequence[Curve]) -> Mapping[str, Sequence[float]]:
    return {"alpha": EXPONENTS, "g": RATE_EXPONENTS}


LAW = CurveLaw(
    name="instantaneous",
    title="Baseline without memory",
    formula="L = L0 + A S1^-alpha + B (rate / peak)^g",
    citation="ours: what a law with memory must beat",
    runs="two curves of different schedules",
    parameters=(
        Parameter("L0", "loss of a long run at a rate of 0, nats per token"),
        Parameter("A", "amplitude of the power law, nats per token at S1 = 1"),
        Parameter("B", "what the peak rate costs, nats per token"),
        Parameter("alpha", "exponent of the sum of the rates", upper=10.0),
        Parameter("g", "exponent of the rate", upper=10.0),
    ),
    linear=("L0", "A", "B"),
    terms=terms,
    start_grid=start_grid,
    slopes=slopes,
    size_dependent=("alpha",),
)
