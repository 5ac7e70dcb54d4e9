"""The annealing (momentum) law: the loss falls with the sum of the rates, and, with a delay, with the drop of the rate.

S2 is the sum over the updates so far of a momentum m[i] = lambda m[i-1] + (rate[i-1] - rate[i]). A drop of age n
updates contributes memory (1 - (1 - 1/memory)**n) of itself, memory = 1 / (1 - lambda), so S2 is memory times (the sum
of the drops less the decayed sum of the drops). A rate that rises again after the warm-up raises the loss by the same
rule.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.laws.law import Parameter

EXPONENTS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5)
MEMORY_FRACTIONS = (0.001, 0.004, 0.015, 0.05, 0.2)  # of the longest curve
MIN_MEMORY = 2.0  # updates, of a start


def terms(values: Values, curve: LossCurve) -> Any:
    decayed_P = curve.rates.decayed_drop_sum(curve.drop_position, values["memory"])
    response_P = -values["memory"] * (curve.drop_sums - decayed_P)
    power_P = np.exp(-values["alpha"] * curve.log_rate_sums)
    return np.stack([np.ones_like(response_P), power_P, response_P], axis=1)


def term_derivatives(values: Values, curve: LossCurve) -> Mapping[str, Any]:
    memory, zero_P = values["memory"], np.zeros(curve.num_points)
    step = memory * 1e-20  # a complex step gives the value and its derivative at once, exact to rounding
    decayed_P = curve.rates.decayed_drop_sum(curve.drop_position, memory + 1j * step)
    by_memory_P = -(curve.drop_sums - decayed_P.real) + memory * decayed_P.imag / step
    by_alpha_P = -np.exp(-values["alpha"] * curve.log_rate_sums) * curve.log_rate_sums
    return {
        "alpha": np.stack([zero_P, by_alpha_P, zero_P], axis=1),
        "memory": np.stack([zero_P, zero_P, by_memory_P], axis=1),
    }


def start_grid(curves: Sequence[LossCurve]) -> Mapping[str, Sequence[float]]:
    length = max(float(curve.time_P[-1]) for curve in curves)
    return {"alpha": EXPONENTS, "memory": tuple(max(MIN_MEMORY, share * length) for share in MEMORY_FRACTIONS)}


LAW = CurveLaw(
    name="annealing",
    title="Annealing (momentum) law",
    formula="L = L0 + A S1^-alpha - C S2; S2 = sum of m, m[i] = lambda m[i-1] + drop[i], memory = 1/(1 - lambda)",
    citation="Tissue et al. 2024, arXiv 2408.11029, equation 1",
    required_curves="two curves of different schedules; a two-stage one identifies the memory",
    parameters=(
        Parameter("L0", "loss of a long run at the peak rate, nats per token"),
        Parameter("A", "amplitude of the power law, nats per token at S1 = 1"),
        Parameter("C", "nats per token for each unit of S2"),
        Parameter("alpha", "exponent of the sum of the rates", upper=10.0),
        Parameter("memory", "updates after which the momentum has decayed to 1/e", lower=1.5),
    ),
    linear=("L0", "A", "C"),
    terms=terms,
    start_grid=start_grid,
    term_derivatives=term_derivatives,
    size_dependent=("alpha",),
)
