"""The sublinear law: twice the rate is less than twice the progress, and less than twice the noise.

L = L0 + A P^-alpha - B sum of (drop of rate^noise_exponent at k) S[k](t) / (memory + S[k](t)): P is the sum of
rate^progress_exponent over the updates so far, S[k](t) the sum of the rates from update k on. With both exponents at 1
it is an annealing law whose memory fades as a power of the rates since, not exponentially in updates: half of a drop is
felt when they have come to `memory`.

Why so. Fitted to whole families (two corpora of ours, the multi-power law's public curves), laws in sums of the rates
said runs at low rates too high, the ends of runs that stay at the peak too low and the ends of short decays too low.
Adaptive optimisers move by less than in proportion to the rate, so progress does; and the noise of a run at rest in a
valley with many curvatures rises slower than the rate, since the flat directions have not come to rest.

Legend: P points, I pieces of a run that fall or rise.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.cache import kept
from windtunnel.analysis.curves.laws.law import CurveLaw, Expectation, Values
from windtunnel.analysis.laws.law import Array, Parameter

EXPONENTS = (0.4, 0.6, 0.9)
RATE_EXPONENTS = (0.45, 0.8)
MEMORIES = (0.001, 0.01, 0.05)  # of the span of S1
# What both exponents came to on whole families of the studies schedules and schedules-plays, and how far apart.
PROGRESS, NOISE, APART = 0.55, 0.6, 0.25
SMALL = 1e-6  # a piece this short beside the memory is taken at its middle


@kept(lambda curve: curve.falls.since_PI.size)
def felt(curve: Curve, noise_exponent: float, memory: float) -> tuple[Array, Array, Array]:
    """What of the drops is felt at each point, and its derivatives by the noise exponent and the memory: (P,)."""
    falls = curve.falls
    # The share of a piece's drop that is not felt yet, its mean over the sums of rates since.
    far_PI = memory + falls.since_PI
    width_PI = falls.span_PI / far_PI
    small_PI = width_PI < SMALL
    safe_PI = np.where(small_PI, 1.0, width_PI)
    mean_PI = np.where(small_PI, 1 - width_PI / 2, np.log1p(safe_PI) / safe_PI)
    felt_PI = 1 - memory / far_PI * mean_PI
    by_memory_PI = (falls.since_PI * mean_PI - memory * (1 / (1 + width_PI) - mean_PI)) / far_PI**2
    before_PI, after_PI = np.exp(noise_exponent * falls.log_before_PI), np.exp(noise_exponent * falls.log_after_PI)
    drop_PI = before_PI - after_PI
    drop_slope_PI = before_PI * falls.log_before_PI - after_PI * falls.log_after_PI
    return (
        np.sum(drop_PI * felt_PI, axis=1),
        np.sum(drop_slope_PI * felt_PI, axis=1),
        -np.sum(drop_PI * by_memory_PI, axis=1),
    )


@kept(lambda curve: curve.num_points)
def progress(curve: Curve, exponent: float) -> tuple[Array, Array]:
    """The sum of rate^exponent so far, and its derivative by the exponent: (P,)."""
    return curve.rates.power_sum(curve.time_P, exponent)


def terms(values: Values, curve: Curve) -> Any:
    felt_P, _, _ = felt(curve, values["noise_exponent"], values["memory"])
    sum_P, _ = progress(curve, values["progress_exponent"])
    return np.stack([np.ones_like(felt_P), np.exp(-values["alpha"] * np.log(sum_P)), -felt_P], axis=1)


def slopes(values: Values, curve: Curve) -> Mapping[str, Any]:
    _, by_noise_P, by_memory_P = felt(curve, values["noise_exponent"], values["memory"])
    sum_P, by_exponent_P = progress(curve, values["progress_exponent"])
    log_P, zero_P = np.log(sum_P), np.zeros(curve.num_points)
    power_P = np.exp(-values["alpha"] * log_P)
    by_progress_P = -values["alpha"] * power_P * by_exponent_P / sum_P
    return {
        "alpha": np.stack([zero_P, -power_P * log_P, zero_P], axis=1),
        "progress_exponent": np.stack([zero_P, by_progress_P, zero_P], axis=1),
        "noise_exponent": np.stack([zero_P, zero_P, -by_noise_P], axis=1),
        "memory": np.stack([zero_P, zero_P, -by_memory_P], axis=1),
    }


def start_grid(curves: Sequence[Curve]) -> Mapping[str, Sequence[float]]:
    span = max(float(curve.sums[-1]) for curve in curves)
    return {
        "alpha": EXPONENTS,
        "progress_exponent": RATE_EXPONENTS,
        "noise_exponent": RATE_EXPONENTS,
        "memory": tuple(share * span for share in MEMORIES),
    }


def expectations(curves: Sequence[Curve]) -> Sequence[Expectation]:
    span = max(float(curve.sums[-1]) for curve in curves)
    return (
        Expectation({"progress_exponent": 1.0}, math.log(PROGRESS), APART),
        Expectation({"noise_exponent": 1.0}, math.log(NOISE), APART),
        Expectation({"memory": 1.0}, math.log(5e-3 * span), 1.5),
    )


LAW = CurveLaw(
    name="sublinear",
    title="Sublinear law",
    formula="L = L0 + A P^-alpha - B sum of drop[k] of rate^noise_exponent x S[k](t) / (memory + S[k](t)), "
    "P = sum of rate^progress_exponent",
    citation="ours; power memory after Luo et al. 2025, arXiv 2503.12811",
    runs="three curves of different schedules, a two-stage one and one that falls far among them",
    parameters=(
        Parameter("L0", "loss of a long run at the peak rate, nats per token"),
        Parameter("A", "amplitude of the power law, nats per token at P = 1"),
        Parameter("B", "nats per token for each unit that rate^noise_exponent drops"),
        Parameter("alpha", "exponent of progress", upper=10.0),
        Parameter("progress_exponent", "exponent of the rate in the progress of an update", upper=3.0),
        Parameter("noise_exponent", "exponent of the rate in the noise that it keeps up", upper=3.0),
        Parameter("memory", "sum of rates after which half of a drop is felt"),
    ),
    linear=("L0", "A", "B"),
    terms=terms,
    start_grid=start_grid,
    slopes=slopes,
    expectations=expectations,
    size_dependent=("alpha",),
)
