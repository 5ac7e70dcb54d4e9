"""The best size and token count for a budget under a fitted law, and what it costs to be off them.

For E + A/N^alpha + B/D^beta the optimum is N = G (C/6)^a with a = beta / (alpha + beta) and
G = (alpha A / (beta B))^(1 / (alpha + beta)) (Hoffmann et al. 2022, arXiv 2203.15556); here it is found for any law by
minimising, so that laws without a closed form have it too.

Legend: R replicates, K parameters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windtunnel.analysis.compute_optimal.frontier import SIZE_COLUMNS, frontier
from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.delta_method import quantity_interval
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.prediction.target import FLOPS_PER_PARAMETER_TOKEN, complete, extrapolation, refuse_far
from windtunnel.analysis.tables.table import LARGEST
from windtunnel.train.errors import InputError

LEVEL = 0.9
FACTORS = (0.1, 0.25, 0.5, 2.0, 4.0, 10.0)
EXPONENT_STEP = 0.25  # in log C, to either side
# An interval wider than this factor says no more than that nothing is known.
OPEN_FACTOR = 1e6

Interval = tuple[float, float]


@dataclass(frozen=True)
class Penalty:
    """The loss of a model `factor` times the best size, on the same budget. compute_lost: the share of the budget that
    would buy the same loss at its own best size is 1 - compute_lost.
    """

    factor: float
    N: float
    D: float
    loss: float
    penalty: float  # nats per token
    penalty_interval_90: Interval
    penalty_percent: float
    compute_lost: float


@dataclass(frozen=True)
class Optimum:
    """exponent: d log N / d log C at the optimum. loss_interval_90 is of one new run, seed noise included."""

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
    penalties: tuple[Penalty, ...]
    extrapolation: Mapping[str, float | None]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON: an unbounded end of an interval is null."""
        content = {name: _plain(value) for name, value in vars(self).items() if name != "penalties"}
        content["penalties"] = [{name: _plain(value) for name, value in vars(each).items()} for each in self.penalties]
        return content


def optimum(
    fit: Fit,
    flops: float,
    *,
    fixed: Mapping[str, float] | None = None,
    factors: Sequence[float] = FACTORS,
    far: bool = False,
) -> Optimum:
    """The optimum of a budget of `flops` = 6 N D. `fixed` gives further columns of the law, such as U.

    Raises InputError where the fit was refused, the law has no optimum over size, or the budget is too far.
    """
    law = fit.law
    if fit.status in REFUSED:
        raise InputError(f"the fit of {law.name} was refused ({fit.status}): {fit.reason}")
    if not 0 < flops < LARGEST:
        raise InputError(f"a budget of {flops:g} FLOPs; give a number above 0 and below {LARGEST:g}, such as 1e20")
    if not SIZE_COLUMNS & set(law.columns):
        raise InputError(f"law {law.name} reads {', '.join(law.columns)}: no size to choose; fit one of N and D")
    for name in fixed or {}:
        if name not in law.columns:
            raise InputError(f"--at {name}: law {law.name} reads only {', '.join(law.columns)}; leave {name} out")
    log_C, natural_RK, others = math.log(flops), fit.natural_row(), dict(fixed or {})
    best = frontier(law, natural_RK, log_C, others)
    log_N, loss = float(best.log_N[0]), float(best.loss[0])
    if math.isnan(log_N):
        raise InputError(
            f"law {law.name} has no optimum at {flops:.3g} FLOPs: its loss falls to the end of what they buy "
            f"({', '.join(fit.not_identified) or 'an amplitude or exponent'} is too close to zero)"
        )
    columns = _columns(law, flops, log_N, others)
    best_at = {"N": math.exp(log_N), "C": flops}
    ratios = extrapolation(fit.points.columns, best_at)
    # The budget is what was asked for; where its best size lies is the answer, and told of.
    notes = refuse_far(fit.points.columns, {"C": flops}, far) or refuse_far(fit.points.columns, best_at, True)
    if fit.status != "converged":
        notes.append(f"the fit is {fit.status}: {fit.reason}")
    ends = quantity_interval(fit, lambda rows_RK: frontier(law, rows_RK, log_C, others).log_N, LEVEL)
    if ends[1] - ends[0] > math.log(OPEN_FACTOR):
        notes.append("the data do not identify the optimum: its interval is open")
        ends = (-math.inf, math.inf)
    N, D = math.exp(log_N), flops / FLOPS_PER_PARAMETER_TOKEN / math.exp(log_N)
    N_interval = _holding((math.exp(ends[0]), math.exp(ends[1]) if ends[1] < math.inf else math.inf), N)
    D_interval = _reversed(flops / FLOPS_PER_PARAMETER_TOKEN, N_interval)
    exponent = float(_exponent(law, natural_RK, log_C, others)[0])
    exponent_ends = quantity_interval(fit, lambda rows_RK: _exponent(law, rows_RK, log_C, others), LEVEL)
    predicted, low, high = predict_interval(fit, columns, LEVEL)
    return Optimum(
        law=law.name,
        flops=flops,
        N=N,
        D=D,
        tokens_per_parameter=D / N,
        N_interval_90=N_interval,
        D_interval_90=D_interval,
        tokens_per_parameter_interval_90=(_divide(D_interval[0], N_interval[1]), _divide(D_interval[1], N_interval[0])),
        exponent=exponent,
        exponent_interval_90=_holding(exponent_ends, exponent),
        loss=float(predicted[0]),
        loss_interval_90=(float(low[0]), float(high[0])),
        penalties=tuple(_penalty(fit, flops, log_N, loss, factor, others) for factor in factors),
        extrapolation=ratios,
        notes=tuple(notes),
    )


def _columns(law: Law, flops: float, log_N: Array | float, fixed: Mapping[str, float]) -> dict[str, Array]:
    known = complete({**fixed, "C": flops, "N": np.exp(np.atleast_1d(log_N))})
    return {name: np.broadcast_to(np.asarray(known[name], dtype=np.float64), (1,)) for name in law.columns}


def _exponent(law: Law, natural_RK: Array, log_C: float, fixed: Mapping[str, float]) -> Array:
    above = frontier(law, natural_RK, log_C + EXPONENT_STEP, fixed).log_N
    below = frontier(law, natural_RK, log_C - EXPONENT_STEP, fixed).log_N
    return (above - below) / (2 * EXPONENT_STEP)


def _penalty(fit: Fit, flops: float, log_N: float, loss: float, factor: float, fixed: Mapping[str, float]) -> Penalty:
    law, log_C, log_factor = fit.law, math.log(flops), math.log(factor)

    def log_penalty(rows_RK: Array) -> Array:
        best = frontier(law, rows_RK, log_C, fixed)
        columns = complete({**fixed, "C": flops, "N": np.exp(best.log_N + log_factor)[:, None]})
        off_R = np.asarray(law.predict(law.values(rows_RK), columns), dtype=np.float64)[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(off_R - best.loss))

    penalty = float(np.exp(log_penalty(fit.natural_row())[0]))
    low, high = quantity_interval(fit, log_penalty, LEVEL)
    N = factor * math.exp(log_N)
    log_budget = float(log_budget_for(law, fit.natural_row(), loss + penalty, log_C, fixed)[0])
    return Penalty(
        factor=factor,
        N=N,
        D=flops / FLOPS_PER_PARAMETER_TOKEN / N,
        loss=loss + penalty,
        penalty=penalty,
        penalty_interval_90=_holding((math.exp(low), math.exp(high) if high < 700.0 else math.inf), penalty),
        penalty_percent=100.0 * penalty / loss,
        compute_lost=1.0 - math.exp(log_budget - log_C),
    )


def log_budget_for(
    law: Law,
    natural_RK: Array,
    loss_R: Array | float,
    log_near: float,
    fixed: Mapping[str, float] | None = None,
    *,
    reach: float = math.log(1e9),
    zooms: int = 12,
) -> Array:
    """The budget (natural logarithm of FLOPs) whose best loss is `loss_R`: (R,), by bisection within `reach` of
    `log_near`; infinite where no such budget buys it (or every one does).
    """
    low_R = np.full(len(natural_RK), log_near - reach)
    high_R = np.full(len(natural_RK), log_near + reach)
    never_R = frontier(law, natural_RK, high_R, fixed, zooms=zooms).loss > loss_R
    always_R = frontier(law, natural_RK, low_R, fixed, zooms=zooms).loss <= loss_R
    for _ in range(50):
        middle_R = 0.5 * (low_R + high_R)
        enough_R = frontier(law, natural_RK, middle_R, fixed, zooms=zooms).loss <= loss_R
        low_R, high_R = np.where(enough_R, low_R, middle_R), np.where(enough_R, middle_R, high_R)
    return np.where(never_R, np.inf, np.where(always_R, -np.inf, 0.5 * (low_R + high_R)))


def _holding(interval: Interval, value: float) -> Interval:
    """The interval, stretched by what rounding left between it and the value."""
    return min(interval[0], value), max(interval[1], value)


def _reversed(product: float, interval: Interval) -> Interval:
    return _divide(product, interval[1]), _divide(product, interval[0])


def _divide(numerator: float, denominator: float) -> float:
    if denominator == 0.0:
        return math.inf
    return 0.0 if denominator == math.inf else numerator / denominator


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return dict(value) if isinstance(value, Mapping) else value
