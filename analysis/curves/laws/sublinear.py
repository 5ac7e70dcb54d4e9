"""The sublinear law: twice the rate gives less than twice the progress, and less than twice the noise.

L = L0 + A P^-alpha - B sum of (drop of rate^noise_exponent at k) S[k](t) / (memory + S[k](t)): P is the sum of
rate^progress_exponent over the updates so far, S[k](t) the sum of the rates from update k on. With both exponents at 1
it is an annealing law whose memory decays as a power of the sum of the rates, not exponentially in updates: half of the
response to a drop has come when the rates since sum to `memory`.

Motivation. Fitted to whole families (two corpora of ours, and the public curves of the multi-power law), laws in sums
of the rates predict too high a loss for runs at low rates, and too low a loss at the end of runs that stay at the peak
and of short decays. The updates of adaptive optimizers are less than proportional to the rate, and so is the progress.
The noise of a stationary run in a valley with many curvatures also grows less than proportionally, because its flat
directions are not stationary yet.

Legend: P points, I pieces of a run over which the rate changes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws.cache import cached
from windtunnel.analysis.curves.laws.law import CurveLaw, Prior, Values
from windtunnel.analysis.laws.law import Array, Parameter

EXPONENTS = (0.4, 0.6, 0.9)
RATE_EXPONENTS = (0.45, 0.8)
MEMORY_FRACTIONS = (0.001, 0.01, 0.05)  # of the span of S1
# Prior means of both exponents, as fitted to the studies schedules and schedules-plays, and their standard deviation.
PROGRESS_EXPONENT, NOISE_EXPONENT, EXPONENT_DEVIATION = 0.55, 0.6, 0.25
SHORT_PIECE = 1e-6  # relative to the memory: a shorter piece is evaluated at its midpoint


@cached(lambda curve: curve.rate_changes.sum_since_PI.size)
def drop_response(curve: LossCurve, noise_exponent: float, memory: float) -> tuple[Array, Array, Array]:
    """The response to the drops so far, and its derivatives with respect to the noise exponent and the memory: (P,)
    each.
    """
    changes = curve.rate_changes
    # The mean of memory / (memory + S) over a piece, which is the part of its response that is still to come.
    distance_PI = memory + changes.sum_since_PI
    width_PI = changes.sum_within_PI / distance_PI
    short_PI = width_PI < SHORT_PIECE
    safe_PI = np.where(short_PI, 1.0, width_PI)
    mean_PI = np.where(short_PI, 1 - width_PI / 2, np.log1p(safe_PI) / safe_PI)
    response_PI = 1 - memory / distance_PI * mean_PI
    remaining_by_memory_PI = (changes.sum_since_PI * mean_PI - memory * (1 / (1 + width_PI) - mean_PI)) / distance_PI**2
    before_PI, after_PI = np.exp(noise_exponent * changes.log_before_PI), np.exp(noise_exponent * changes.log_after_PI)
    drop_PI = before_PI - after_PI
    drop_by_exponent_PI = before_PI * changes.log_before_PI - after_PI * changes.log_after_PI
    return (
        np.sum(drop_PI * response_PI, axis=1),
        np.sum(drop_by_exponent_PI * response_PI, axis=1),
        -np.sum(drop_PI * remaining_by_memory_PI, axis=1),
    )


@cached(lambda curve: curve.num_points)
def progress(curve: LossCurve, exponent: float) -> tuple[Array, Array]:
    """The sum of rate^exponent so far, and its derivative with respect to the exponent: (P,) each."""
    return curve.rates.power_sum(curve.time_P, exponent)


def terms(values: Values, curve: LossCurve) -> Any:
    response_P, _, _ = drop_response(curve, values["noise_exponent"], values["memory"])
    sum_P, _ = progress(curve, values["progress_exponent"])
    return np.stack([np.ones_like(response_P), np.exp(-values["alpha"] * np.log(sum_P)), -response_P], axis=1)


def term_derivatives(values: Values, curve: LossCurve) -> Mapping[str, Any]:
    _, by_noise_P, by_memory_P = drop_response(curve, values["noise_exponent"], values["memory"])
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


def start_grid(curves: Sequence[LossCurve]) -> Mapping[str, Sequence[float]]:
    span = max(float(curve.rate_sums[-1]) for curve in curves)
    return {
        "alpha": EXPONENTS,
        "progress_exponent": RATE_EXPONENTS,
        "noise_exponent": RATE_EXPONENTS,
        "memory": tuple(share * span for share in MEMORY_FRACTIONS),
    }


def priors(curves: Sequence[LossCurve]) -> Sequence[Prior]:
    span = max(float(curve.rate_sums[-1]) for curve in curves)
    return (
        Prior({"progress_exponent": 1.0}, math.log(PROGRESS_EXPONENT), EXPONENT_DEVIATION),
        Prior({"noise_exponent": 1.0}, math.log(NOISE_EXPONENT), EXPONENT_DEVIATION),
        Prior({"memory": 1.0}, math.log(5e-3 * span), 1.5),
    )


LAW = CurveLaw(
    name="sublinear",
    title="Sublinear law",
    formula="L = L0 + A P^-alpha - B sum of drop[k] of rate^noise_exponent x S[k](t) / (memory + S[k](t)), "
    "P = sum of rate^progress_exponent",
    citation="ours; power memory after Luo et al. 2025, arXiv 2503.12811",
    required_curves="three curves of different schedules, among them a two-stage one and one that decays far",
    parameters=(
        Parameter("L0", "loss of a long run at the peak rate, nats per token"),
        Parameter("A", "amplitude of the power law, nats per token at P = 1"),
        Parameter("B", "nats per token for each unit that rate^noise_exponent drops"),
        Parameter("alpha", "exponent of progress", upper=10.0),
        Parameter("progress_exponent", "exponent of the rate in the progress of an update", upper=3.0),
        Parameter("noise_exponent", "exponent of the rate in the noise", upper=3.0),
        Parameter("memory", "sum of rates after which half of the response to a drop has come"),
    ),
    linear=("L0", "A", "B"),
    terms=terms,
    start_grid=start_grid,
    term_derivatives=term_derivatives,
    priors=priors,
    size_dependent=("alpha",),
)
