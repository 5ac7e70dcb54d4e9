"""Compute-optimal size and token count of a budget under a fitted law, and the cost of another size.

For E + A/N^alpha + B/D^beta the optimum is N = G (C/6)^a with a = beta / (alpha + beta) and
G = (alpha A / (beta B))^(1 / (alpha + beta)) (Hoffmann et al. 2022, arXiv 2203.15556). Here it is found numerically,
for any law of size and data.

Legend: R replicates, K parameters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.analysis.compute_optimal.frontier import EXACT_ZOOMS, SIZE_COLUMNS, frontier
from windtunnel.analysis.fitting.certificate import REFUSED
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.delta_method import quantity_interval
from windtunnel.analysis.prediction.predict import INTERVAL_LEVEL
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.prediction.target import (
    FLOPS_PER_PARAMETER_TOKEN,
    check_extrapolation,
    complete,
    extrapolation,
)
from windtunnel.analysis.signed_json import Interval, NumberOrNull, to_document
from windtunnel.analysis.tables.table import MAX_VALUE
from windtunnel.train.errors import InputError

SIZE_FACTORS = (0.1, 0.25, 0.5, 2.0, 4.0, 10.0)
EXPONENT_STEP = 0.25  # of the central difference, in log C
# An interval wider than this factor is unbounded for all practical purposes.
OPEN_FACTOR = 1e6
# exp() of a larger number overflows.
MAX_LOG = 700.0


@dataclass(frozen=True)
class SizePenalty:
    """The loss of a model `factor` times the optimal size, at the same budget.

    compute_lost: share of the budget wasted; 1 - compute_lost of it buys the same loss at its own optimal size.
    """

    factor: float
    N: float
    D: float
    loss: NumberOrNull
    penalty: NumberOrNull  # nats per token
    penalty_interval_90: Interval
    penalty_percent: NumberOrNull
    compute_lost: NumberOrNull


@dataclass(frozen=True)
class ComputeOptimum:
    """exponent: d log N / d log C at the optimum. loss_interval_90: of one new run, seed noise included."""

    law: str
    flops: float
    N: float
    D: float
    tokens_per_parameter: float
    N_interval_90: Interval
    D_interval_90: Interval
    tokens_per_parameter_interval_90: Interval
    exponent: float
    exponent_interval_90: Interval
    loss: float
    loss_interval_90: Interval
    extrapolation: Mapping[str, float | None]
    notes: tuple[str, ...]
    penalties: tuple[SizePenalty, ...]

    def to_dict(self) -> dict[str, Any]:
        """The optimum as JSON. An unbounded end of an interval is null."""
        return to_document(self)


def optimum(
    fit: Fit,
    flops: float,
    *,
    at: Mapping[str, float] | None = None,
    factors: Sequence[float] = SIZE_FACTORS,
    allow_extrapolation: bool = False,
) -> ComputeOptimum:
    """The optimum of a budget of `flops` = 6 N D.

    at: values of further columns of the law, such as U. factors: sizes, relative to the optimal one, whose penalty is
    computed.

    Raises InputError where the fit was refused, the law has no optimal size, or the budget is too far beyond the data.
    """
    law, others = fit.law, dict(at or {})
    _check_arguments(fit, flops, others)
    log_C, natural_1K = math.log(flops), fit.natural_row()
    best = frontier(law, natural_1K, log_C, others)
    log_N, best_loss = float(best.log_N[0]), float(best.loss[0])
    if math.isnan(log_N):
        raise InputError(
            f"law {law.name} has no optimum at {flops:.3g} FLOPs: its loss falls up to an end of what they buy "
            f"({', '.join(fit.not_identified) or 'an amplitude or exponent'} is too close to zero)"
        )
    optimal = {"N": math.exp(log_N), "C": flops}
    # The budget is the user's choice and must be allowed; its optimal size is a result and only noted.
    notes = check_extrapolation(fit.points.columns, {"C": flops}, allow_extrapolation) or check_extrapolation(
        fit.points.columns, optimal, True
    )
    if fit.status != "converged":
        notes.append(f"the fit is {fit.status}: {fit.reason}")
    ends = quantity_interval(fit, lambda rows_RK: frontier(law, rows_RK, log_C, others).log_N, INTERVAL_LEVEL)
    if ends[1] - ends[0] > math.log(OPEN_FACTOR):
        notes.append("the optimum is not identified: its interval is unbounded")
        ends = (-math.inf, math.inf)
    size_times_tokens = flops / FLOPS_PER_PARAMETER_TOKEN
    N, D = math.exp(log_N), size_times_tokens / math.exp(log_N)
    N_interval = _include((math.exp(ends[0]), _exp(ends[1])), N)
    D_interval = _divide(size_times_tokens, N_interval[1]), _divide(size_times_tokens, N_interval[0])
    exponent = float(_exponent(law, natural_1K, log_C, others)[0])
    exponent_ends = quantity_interval(fit, lambda rows_RK: _exponent(law, rows_RK, log_C, others), INTERVAL_LEVEL)
    loss, low, high = predict_interval(fit, _columns(law, flops, log_N, others), INTERVAL_LEVEL)
    return ComputeOptimum(
        law=law.name,
        flops=flops,
        N=N,
        D=D,
        tokens_per_parameter=D / N,
        N_interval_90=N_interval,
        D_interval_90=D_interval,
        tokens_per_parameter_interval_90=(_divide(D_interval[0], N_interval[1]), _divide(D_interval[1], N_interval[0])),
        exponent=exponent,
        exponent_interval_90=_include(exponent_ends, exponent),
        loss=float(loss[0]),
        loss_interval_90=(float(low[0]), float(high[0])),
        extrapolation=extrapolation(fit.points.columns, optimal),
        notes=tuple(notes),
        penalties=tuple(_penalty(fit, flops, log_N, best_loss, factor, others) for factor in factors),
    )


def log_budget_for_loss(
    law: Law,
    natural_RK: Array,
    loss_R: Array | float,
    log_near: float,
    at: Mapping[str, float] | None = None,
    *,
    reach: float = math.log(1e9),
    zooms: int = EXACT_ZOOMS,
) -> Array:
    """The budget (natural logarithm of FLOPs) whose lowest loss is `loss_R`: (R,), by bisection within `reach` of
    `log_near`. Infinite where no such budget reaches the loss, minus infinite where every one does.
    """
    low_R = np.full(len(natural_RK), log_near - reach)
    high_R = np.full(len(natural_RK), log_near + reach)
    never_R = frontier(law, natural_RK, high_R, at, zooms=zooms).loss > loss_R
    always_R = frontier(law, natural_RK, low_R, at, zooms=zooms).loss <= loss_R
    for _ in range(50):
        middle_R = 0.5 * (low_R + high_R)
        enough_R = frontier(law, natural_RK, middle_R, at, zooms=zooms).loss <= loss_R
        low_R, high_R = np.where(enough_R, low_R, middle_R), np.where(enough_R, middle_R, high_R)
    return np.where(never_R, np.inf, np.where(always_R, -np.inf, 0.5 * (low_R + high_R)))


def _check_arguments(fit: Fit, flops: float, at: Mapping[str, float]) -> None:
    law = fit.law
    if fit.status in REFUSED:
        raise InputError(f"the fit of {law.name} was refused ({fit.status}): {fit.reason}")
    if not 0 < flops < MAX_VALUE:
        raise InputError(f"a budget of {flops:g} FLOPs; give a number above 0 and below {MAX_VALUE:g}, such as 1e20")
    if not SIZE_COLUMNS & set(law.columns):
        raise InputError(f"law {law.name} reads {', '.join(law.columns)}: no size to choose; fit a law of N and D")
    for name in at:
        if name not in law.columns:
            raise InputError(f"at=...: law {law.name} reads only {', '.join(law.columns)}; leave {name} out")


def _columns(law: Law, flops: float, log_N: float, at: Mapping[str, float]) -> dict[str, Array]:
    columns = complete({**at, "C": flops, "N": np.exp(np.atleast_1d(log_N))})
    return {name: np.broadcast_to(np.asarray(columns[name], dtype=np.float64), (1,)) for name in law.columns}


def _exponent(law: Law, natural_RK: Array, log_C: float, at: Mapping[str, float]) -> Array:
    above = frontier(law, natural_RK, log_C + EXPONENT_STEP, at).log_N
    below = frontier(law, natural_RK, log_C - EXPONENT_STEP, at).log_N
    return (above - below) / (2 * EXPONENT_STEP)


def _penalty(
    fit: Fit, flops: float, log_N: float, best_loss: float, factor: float, at: Mapping[str, float]
) -> SizePenalty:
    law, log_C, log_factor = fit.law, math.log(flops), math.log(factor)

    def log_penalty(rows_RK: Array) -> Array:
        best = frontier(law, rows_RK, log_C, at)
        columns = complete({**at, "C": flops, "N": np.exp(best.log_N + log_factor)[:, None]})
        loss_R = np.asarray(law.predict(law.values(rows_RK), columns), dtype=np.float64)[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(loss_R - best.loss))

    penalty = float(np.exp(log_penalty(fit.natural_row())[0]))
    low, high = quantity_interval(fit, log_penalty, INTERVAL_LEVEL)
    N = factor * math.exp(log_N)
    log_budget = float(log_budget_for_loss(law, fit.natural_row(), best_loss + penalty, log_C, at)[0])
    return SizePenalty(
        factor=factor,
        N=N,
        D=flops / FLOPS_PER_PARAMETER_TOKEN / N,
        loss=best_loss + penalty,
        penalty=penalty,
        penalty_interval_90=_include((math.exp(low), _exp(high)), penalty),
        penalty_percent=100.0 * penalty / best_loss,
        compute_lost=1.0 - math.exp(log_budget - log_C),
    )


def _include(interval: Interval, value: float) -> Interval:
    """The interval, widened to contain a value that rounding may have left outside."""
    return min(interval[0], value), max(interval[1], value)


def _exp(value: float) -> float:
    return math.exp(value) if value < MAX_LOG else math.inf


def _divide(numerator: float, denominator: float) -> float:
    if denominator == 0.0:
        return math.inf
    return 0.0 if denominator == math.inf else numerator / denominator
