"""The functional scaling law: a power law in intrinsic time, plus the noise of every update, forgotten by a kernel.

Intrinsic time T is the sum of the rates. L = L0 + A (1 + T/tau)^-s + integral over z of K(T - z) (F (1 + z/tau)^-s + B)
rate(z)/peak dz/tau, K(x) = (1 + x/tau)^-p with p = 2 - 1/beta between 1 and 2: the noise of an update comes from the
excess loss and from the irreducible noise. The authors' law has this kernel up to constants; its unit of time is tau.

The kernel is integrated in closed form over pieces; the other factors are evaluated at their midpoints.

Legend: P points, E edges, I pieces between them (E - 1).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws.cache import cached
from windtunnel.analysis.curves.laws.law import CurveLaw, Prior, Values
from windtunnel.analysis.laws.law import Array, Parameter

EXPONENTS = (0.2, 0.4, 0.6, 1.0)
KERNEL_EXPONENTS = (1.1, 1.4, 1.8)
UNIT_FRACTIONS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the span of intrinsic time


@dataclass(frozen=True)
class Kernel:
    """The integral of the kernel over each piece, as each logged time sees it, and its derivatives with respect to p
    and tau: (P, I) each. Most of the cost of a fit; runs that differ in seed or size share it.
    """

    integral_PI: Array
    by_p_PI: Array
    by_tau_PI: Array


@cached(lambda curve: curve.num_points * len(curve.mesh.rate_sum_E))
def kernel(curve: LossCurve, p: float, tau: float) -> Kernel:
    since_PE = np.maximum(curve.rate_sums[:, None] - curve.mesh.rate_sum_E, 0.0)
    log_PE = np.log1p(since_PE / tau)
    power_PE = np.exp((1 - p) * log_PE)
    return Kernel(
        np.diff(power_PE / (p - 1), axis=1),
        np.diff(-power_PE * (log_PE / (p - 1) + 1 / (p - 1) ** 2), axis=1),
        np.diff(power_PE / (1 + since_PE / tau) * since_PE / tau**2, axis=1),
    )


def terms(values: Values, curve: LossCurve) -> Any:
    mesh, tau = curve.mesh, values["tau"]
    kernel_PI = kernel(curve, values["p"], tau).integral_PI
    excess_I = np.exp(-values["s"] * np.log1p(mesh.midpoint_rate_sum_I / tau))
    return np.stack(
        [
            np.ones_like(kernel_PI[:, 0]),
            np.exp(-values["s"] * np.log1p(curve.rate_sums / tau)),
            kernel_PI @ (excess_I * mesh.relative_rate_I),
            kernel_PI @ mesh.relative_rate_I,
        ],
        axis=1,
    )


def term_derivatives(values: Values, curve: LossCurve) -> Mapping[str, Any]:
    s, p, tau = values["s"], values["p"], values["tau"]
    at_values = kernel(curve, p, tau)
    kernel_PI, by_p_PI, by_tau_PI = at_values.integral_PI, at_values.by_p_PI, at_values.by_tau_PI
    time_P, time_I, rate_I = curve.rate_sums, curve.mesh.midpoint_rate_sum_I, curve.mesh.relative_rate_I
    log_P, log_I = np.log1p(time_P / tau), np.log1p(time_I / tau)
    excess_P, excess_I = np.exp(-s * log_P), np.exp(-s * log_I)
    zero_P = np.zeros(curve.num_points)
    by_s = [zero_P, -excess_P * log_P, kernel_PI @ (-excess_I * log_I * rate_I), zero_P]
    by_p = [zero_P, zero_P, by_p_PI @ (excess_I * rate_I), by_p_PI @ rate_I]
    excess_by_tau_P = s * excess_P / (1 + time_P / tau) * time_P / tau**2
    excess_by_tau_I = s * excess_I / (1 + time_I / tau) * time_I / tau**2
    noise_by_tau_P = by_tau_PI @ (excess_I * rate_I) + kernel_PI @ (excess_by_tau_I * rate_I)
    by_tau = [zero_P, excess_by_tau_P, noise_by_tau_P, by_tau_PI @ rate_I]
    return {name: np.stack(columns, axis=1) for name, columns in (("s", by_s), ("p", by_p), ("tau", by_tau))}


def start_grid(curves: Sequence[LossCurve]) -> Mapping[str, Sequence[float]]:
    span = max(float(curve.rate_sums[-1]) for curve in curves)
    return {"s": EXPONENTS, "p": KERNEL_EXPONENTS, "tau": tuple(share * span for share in UNIT_FRACTIONS)}


def priors(curves: Sequence[LossCurve]) -> Sequence[Prior]:
    span = max(float(curve.rate_sums[-1]) for curve in curves)
    return (Prior({"tau": 1.0}, math.log(3e-3 * span), 1.5), Prior({"p": 1.0}, math.log(1.5), 0.2))


LAW = CurveLaw(
    name="functional",
    title="Functional scaling law",
    formula="L = L0 + A (1 + T/tau)^-s + integral of (1 + (T - z)/tau)^-p (F (1 + z/tau)^-s + B) (rate/peak) dz/tau",
    citation="Li et al. 2025, arXiv 2509.19189; the constants of its kernel, and tau, are free",
    required_curves="three curves of different schedules, a two-stage one among them",
    parameters=(
        Parameter("L0", "loss of a long run at a rate of 0, nats per token"),
        Parameter("A", "excess loss at the start, nats per token"),
        Parameter("F", "noise that comes from the excess loss, nats per token"),
        Parameter("B", "noise at the peak rate, nats per token for each tau of intrinsic time"),
        Parameter("s", "exponent of intrinsic time (the source exponent)", upper=10.0),
        Parameter("p", "exponent of forgetting, 2 - 1/beta of the capacity exponent", lower=1.001, upper=2.0),
        Parameter("tau", "unit of intrinsic time, in sums of rates"),
    ),
    linear=("L0", "A", "F", "B"),
    terms=terms,
    start_grid=start_grid,
    term_derivatives=term_derivatives,
    priors=priors,
    size_dependent=("s",),
)
