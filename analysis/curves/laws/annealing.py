"""The annealing (momentum) law: the loss falls with the sum of the rates, and by what the rate has dropped, with a
delay.

S2 is the sum over the updates so far of a momentum m[i] = lambda m[i-1] + (rate[i-1] - rate[i]). A drop that is n
updates old counts for memory (1 - (1 - 1/memory)**n) of that sum, memory = 1 / (1 - lambda): S2 is memory times (drops
less faded drops). A rate that rises again after its warm-up raises the loss by the same rule.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.laws.law import Parameter

EXPONENTS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5)
# Of the span of the curves; at most what an update's momentum can be.
MEMORIES = (0.001, 0.004, 0.015, 0.05, 0.2)


def terms(values: Values, curve: Curve) -> Any:
    faded_P = curve.rates.faded(curve.drop_places, values["memory"])
    response_P = -values["memory"] * (curve.dropped - faded_P)
    power_P = np.exp(-values["alpha"] * curve.log_sums)
    return np.stack([np.ones_like(response_P), power_P, response_P], axis=1)


def slopes(values: Values, curve: Curve) -> Mapping[str, Any]:
    memory, zero_P = values["memory"], np.zeros(curve.num_points)
    step = memory * 1e-20  # a complex step: the value and its derivative at once, exact to rounding
    faded_P = curve.rates.faded(curve.drop_places, memory + 1j * step)
    by_memory_P = -(curve.dropped - faded_P.real) + memory * faded_P.imag / step
    by_alpha_P = -np.exp(-values["alpha"] * curve.log_sums) * curve.log_sums
    return {
        "alpha": np.stack([zero_P, by_alpha_P, zero_P], axis=1),
        "memory": np.stack([zero_P, zero_P, by_memory_P], axis=1),
    }


def start_grid(curves: Sequence[Curve]) -> Mapping[str, Sequence[float]]:
    span = max(float(curve.time_P[-1]) for curve in curves)
    return {"alpha": EXPONENTS, "memory": tuple(max(2.0, share * span) for share in MEMORIES)}


LAW = CurveLaw(
    name="annealing",
    title="Annealing (momentum) law",
    formula="L = L0 + A S1^-alpha - C S2; S2 = sum of m, m[i] = lambda m[i-1] + drop[i], memory = 1/(1 - lambda)",
    citation="Tissue et al. 2024, arXiv 2408.11029, equation 1",
    runs="two curves of different schedules; a two-stage one tells the memory",
    parameters=(
        Parameter("L0", "loss of a long run at the peak rate, nats per token"),
        Parameter("A", "amplitude of the power law, nats per token at S1 = 1"),
        Parameter("C", "nats per token for each unit of S2"),
        Parameter("alpha", "exponent of the sum of the rates", upper=10.0),
        Parameter("memory", "updates after which the momentum has faded to 1/e", lower=1.5),
    ),
    linear=("L0", "A", "C"),
    terms=terms,
    start_grid=start_grid,
    slopes=slopes,
    size_dependent=("alpha",),
)
