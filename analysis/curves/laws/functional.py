"""The functional scaling law: a power law in intrinsic time, and the noise of every update, forgotten by a kernel.

Intrinsic time T is the sum of the rates. L = L0 + A (1 + T/tau)^-s + integral over z of K(T - z) (F (1 + z/tau)^-s + B)
rate(z)/peak dz/tau, K(x) = (1 + x/tau)^-p with p = 2 - 1/beta between 1 and 2: the excess loss itself and the
irreducible noise feed the noise of an update. The authors' law has this kernel up to constants; its unit of time is
tau.

The kernel is integrated in closed form over pieces, the rest taken at their middles.

Legend: P points, E edges, I pieces between them (E - 1).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.cache import kept
from windtunnel.analysis.curves.laws.law import CurveLaw, Expectation, Values
from windtunnel.analysis.laws.law import Array, Parameter

EXPONENTS = (0.2, 0.4, 0.6, 1.0)
KERNEL_EXPONENTS = (1.1, 1.4, 1.8)
UNITS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the span of intrinsic time


@dataclass(frozen=True)
class Kernel:
    """How much of a piece of a schedule is not forgotten by each logged time, and its derivatives in p and tau: (P, I).
    It depends on the times alone: runs that differ in seed or size share it, and in a fit over a family it is most of
    what is to be worked out.
    """

    remembered: Array
    by_p: Array
    by_tau: Array


@kept(lambda curve: curve.num_points * len(curve.mesh.sum_E))
def kernel(curve: Curve, p: float, tau: float) -> Kernel:
    since_PE = np.maximum(curve.sums[:, None] - curve.mesh.sum_E, 0.0)
    log_PE = np.log1p(since_PE / tau)
    power_PE = np.exp((1 - p) * log_PE)
    return Kernel(
        np.diff(power_PE / (p - 1), axis=1),
        np.diff(-power_PE * (log_PE / (p - 1) + 1 / (p - 1) ** 2), axis=1),
        np.diff(power_PE / (1 + since_PE / tau) * since_PE / tau**2, axis=1),
    )


def terms(values: Values, curve: Curve) -> Any:
    mesh, tau = curve.mesh, values["tau"]
    kernel_PI = kernel(curve, values["p"], tau).remembered
    excess_I = np.exp(-values["s"] * np.log1p(mesh.middle_I / tau))
    return np.stack(
        [
            np.ones_like(kernel_PI[:, 0]),
            np.exp(-values["s"] * np.log1p(curve.sums / tau)),
            kernel_PI @ (excess_I * mesh.rate_share_I),
            kernel_PI @ mesh.rate_share_I,
        ],
        axis=1,
    )


def slopes(values: Values, curve: Curve) -> Mapping[str, Any]:
    mesh = curve.mesh
    s, p, tau = values["s"], values["p"], values["tau"]
    found = kernel(curve, p, tau)
    kernel_PI, by_p_PI, by_tau_PI = found.remembered, found.by_p, found.by_tau
    log_P, log_I = np.log1p(curve.sums / tau), np.log1p(mesh.middle_I / tau)
    learned_P, excess_I = np.exp(-s * log_P), np.exp(-s * log_I)
    zero_P = np.zeros(curve.num_points)
    by_s = [zero_P, -learned_P * log_P, kernel_PI @ (-excess_I * log_I * mesh.rate_share_I), zero_P]
    by_p = [zero_P, zero_P, by_p_PI @ (excess_I * mesh.rate_share_I), by_p_PI @ mesh.rate_share_I]
    learned_by_tau_P = s * learned_P / (1 + curve.sums / tau) * curve.sums / tau**2
    excess_by_tau_I = s * excess_I / (1 + mesh.middle_I / tau) * mesh.middle_I / tau**2
    fed_P = by_tau_PI @ (excess_I * mesh.rate_share_I) + kernel_PI @ (excess_by_tau_I * mesh.rate_share_I)
    by_tau = [zero_P, learned_by_tau_P, fed_P, by_tau_PI @ mesh.rate_share_I]
    return {name: np.stack(each, axis=1) for name, each in (("s", by_s), ("p", by_p), ("tau", by_tau))}


def start_grid(curves: Sequence[Curve]) -> Mapping[str, Sequence[float]]:
    span = max(float(curve.sums[-1]) for curve in curves)
    return {"s": EXPONENTS, "p": KERNEL_EXPONENTS, "tau": tuple(share * span for share in UNITS)}


def expectations(curves: Sequence[Curve]) -> Sequence[Expectation]:
    span = max(float(curve.sums[-1]) for curve in curves)
    return (Expectation({"tau": 1.0}, math.log(3e-3 * span), 1.5), Expectation({"p": 1.0}, math.log(1.5), 0.2))


LAW = CurveLaw(
    name="functional",
    title="Functional scaling law",
    formula="L = L0 + A (1 + T/tau)^-s + integral of (1 + (T - z)/tau)^-p (F (1 + z/tau)^-s + B) (rate/peak) dz/tau",
    citation="Li et al. 2025, arXiv 2509.19189; the constants of its kernel, and tau, are free",
    runs="three curves of different schedules, a two-stage one among them",
    parameters=(
        Parameter("L0", "loss of a long run at a rate of 0, nats per token"),
        Parameter("A", "excess loss at the start, nats per token"),
        Parameter("F", "noise that the excess loss feeds, nats per token"),
        Parameter("B", "noise at the peak rate, nats per token for each tau of intrinsic time"),
        Parameter("s", "exponent of intrinsic time (the source exponent)", upper=10.0),
        Parameter("p", "exponent of forgetting, 2 - 1/beta of the capacity exponent", lower=1.001, upper=2.0),
        Parameter("tau", "unit of intrinsic time, in sums of rates"),
    ),
    linear=("L0", "A", "F", "B"),
    terms=terms,
    start_grid=start_grid,
    slopes=slopes,
    expectations=expectations,
    size_dependent=("s",),
)
