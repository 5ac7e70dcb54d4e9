"""One of Chinchilla's three approaches: exponents and optima, with their noise, in a common form.

Legend: R replicates, K parameters.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from windtunnel.analysis.compute_optimal.envelope import Envelope, fit_envelope
from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop
from windtunnel.analysis.compute_optimal.isoflop_interpolated import fit_interpolated_isoflop
from windtunnel.analysis.compute_optimal.noise_propagation import refit_parameters
from windtunnel.analysis.compute_optimal.optimum import OPEN_FACTOR
from windtunnel.analysis.compute_optimal.weighted_line import WeightedLine, student_quantile
from windtunnel.analysis.fitting.certificate import REFUSED
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL, Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.delta_method import quantity_interval
from windtunnel.analysis.signed_json import Interval, finite_or_none
from windtunnel.analysis.tables.seeds import MISFIT_RATIO
from windtunnel.analysis.tables.table import Table

ApproachName = Literal["envelope", "isoflop", "parametric"]
# Replicates of the noise: of the points of a line, and of refits of the law (the first of the same draws).
REPLICATES = 2000
REFITS = 400
MAX_LOG = 700.0  # exp of more overflows


@dataclass(frozen=True)
class NoisyEstimate:
    """A value with its 95 % interval, its noise in every replicate (R,), and the variance not due to noise."""

    value: float
    interval: Interval
    noise_R: Array
    scatter: float
    degrees: float

    def affine(self, offset: float, factor: float) -> "NoisyEstimate":
        """offset + factor * the estimate."""
        ends = sorted((offset + factor * self.interval[0], offset + factor * self.interval[1]))
        return NoisyEstimate(
            value=offset + factor * self.value,
            interval=(ends[0], ends[1]),
            noise_R=factor * self.noise_R,
            scatter=factor**2 * self.scatter,
            degrees=self.degrees,
        )


@dataclass(frozen=True)
class BudgetOptimum:
    """log N and log D at a budget of C FLOPs, and the loss there where the approach gives one (else NaN)."""

    C: float
    log_N: NoisyEstimate
    log_D: NoisyEstimate
    loss: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "C": self.C,
            "N": _to_dict(*exponential(self.log_N.value, self.log_N.interval)),
            "D": _to_dict(*exponential(self.log_D.value, self.log_D.interval)),
            "loss": finite_or_none(self.loss),
        }


@dataclass(frozen=True)
class Approach:
    """The result of one approach. Where it is refused the exponents are None and `optima` is empty."""

    name: ApproachName
    status: str
    reason: str
    points: str
    noise: float
    """Standard deviation of log loss; 0 where it cannot be estimated."""
    exponent_N: NoisyEstimate | None = None
    exponent_D: NoisyEstimate | None = None
    optima: tuple[BudgetOptimum, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        return self.exponent_N is None

    def to_dict(self) -> dict[str, Any]:
        """The approach as JSON."""
        exponents = {"exponent_N": self.exponent_N, "exponent_D": self.exponent_D}
        return {
            "approach": self.name,
            "status": self.status,
            "reason": self.reason,
            "points": self.points,
            "noise": self.noise,
            **{name: None if e is None else _to_dict(e.value, e.interval) for name, e in exponents.items()},
            "optima": [optimum.to_dict() for optimum in self.optima],
            "notes": list(self.notes),
        }


def exponential(value: float, interval: Interval) -> tuple[float, Interval]:
    """exp of a logarithm and of its interval, infinite where it overflows."""
    value, low, high = (math.exp(log) if log < MAX_LOG else math.inf for log in (value, *interval))
    return value, (low, high)


def _to_dict(value: float, interval: Interval) -> dict[str, Any]:
    return {"value": value, "interval": [finite_or_none(end) for end in interval]}


def envelope_approach(table: Table, budgets: Sequence[float], seed: int) -> Approach:
    """Approach 1. The tokens follow from the size: C / D is a function of N."""
    envelope = fit_envelope(table, replicates=REPLICATES, seed=seed)
    refused = [crossing.refusal for crossing in envelope.crossings if crossing.refusal is not None]
    notes = []
    if envelope.sizes_without_curve:
        notes.append(
            f"{envelope.sizes_without_curve} of {envelope.num_sizes} sizes have fewer than 3 horizons and no curve"
        )
    if refused:
        counts = ", ".join(f"{refusal} {refused.count(refusal)}" for refusal in dict.fromkeys(refused))
        notes.append(f"crossings refused: {counts}")
    points = f"{len(envelope.crossings) - len(refused)} crossings of {envelope.num_sizes} sizes"
    approach = Approach("envelope", envelope.status, envelope.reason, points, envelope.noise, notes=tuple(notes))
    if envelope.line is None:
        return approach
    exponent_N, kappa = _inverse_slope(envelope.line), envelope.flops_per_token[1]
    return replace(
        approach,
        exponent_N=exponent_N,
        exponent_D=exponent_N.affine(1.0, -kappa),
        optima=tuple(_envelope_optimum(envelope, envelope.line, C) for C in budgets),
    )


def isoflop_approach(table: Table, budgets: Sequence[float], seed: int) -> Approach:
    """Approach 2: the runs' own budgets where three of them have a minimum, else budgets interpolated between runs."""
    fitted = fit_isoflop(table, replicates=REPLICATES, seed=seed)
    notes: tuple[str, ...] = ()
    if fitted.status != "converged":
        interpolated = fit_interpolated_isoflop(table, replicates=REPLICATES, seed=seed)
        if interpolated.status != "converged":
            usable = sum(minimum.refusal is None for minimum in interpolated.minima)
            more = f"{usable} of {len(interpolated.minima)} common budgets interpolated on the sizes' curves have one"
            fitted = replace(fitted, reason=f"{fitted.reason}; {more}")
        else:
            notes = ("the runs' budgets do not line up: losses are interpolated to common budgets within each size",)
            fitted = interpolated
    minima = [minimum for minimum in fitted.minima if minimum.refusal is None]
    points = f"{len(minima)} minima of {len(fitted.minima)} budgets"
    approach = Approach("isoflop", fitted.status, fitted.reason, points, fitted.noise, notes=notes)
    if fitted.size is None or fitted.tokens is None:
        return approach
    log_C, log_loss = np.log([minimum.C for minimum in minima]), np.log([minimum.loss for minimum in minima])
    optima = []
    for C in budgets:
        at = math.log(C)
        inside = log_C[0] <= at <= log_C[-1]
        loss = math.exp(float(np.interp(at, log_C, log_loss))) if inside else math.nan
        optima.append(BudgetOptimum(C, _on_line(fitted.size.line, at), _on_line(fitted.tokens.line, at), loss))
    return replace(
        approach,
        exponent_N=_slope(fitted.size.line),
        exponent_D=_slope(fitted.tokens.line),
        optima=tuple(optima),
    )


def parametric_approach(table: Table, budgets: Sequence[float], noise: float, seed: int) -> Approach:
    """Approach 3, refitted to draws of noise of standard deviation `noise`. C = c N^kappa D, as in the table."""
    fitted = fit(table, get_law("chinchilla"))
    approach = Approach("parametric", fitted.status, "", f"{fitted.num_points} points", noise)
    if fitted.status in REFUSED or {"alpha", "beta"} & set(fitted.not_identified):
        return replace(approach, reason=fitted.reason.split(", or pass ")[0])
    columns = table.require("C", "N", "D")
    kappa, log_cost = np.polyfit(np.log(columns["N"]), np.log(columns["C"] / columns["D"]), 1)
    refits_RK = refit_parameters(fitted, table.run, noise, REFITS, seed) if noise > 0 else fitted.natural_row()
    exponent_N = _estimate(fitted, refits_RK, partial(_law_exponent, fitted.law, kappa))
    optima = []
    for C in budgets:
        log_product = math.log(C) - log_cost  # kappa log N + log D
        size = _estimate(fitted, refits_RK, partial(_law_log_size, fitted.law, kappa, log_product))
        tokens = size.affine(log_product, -kappa)
        at = {"N": np.exp([size.value]), "D": np.exp([tokens.value])}
        optima.append(BudgetOptimum(C, size, tokens, float(fitted.predict(at)[0])))
    if any(optimum.log_N.interval[1] - optimum.log_N.interval[0] > math.log(OPEN_FACTOR) for optimum in optima):
        return replace(
            approach, status="not_identified", reason="the optimum is not identified: its interval is unbounded"
        )
    notes = [f"the fit is {fitted.status}: {fitted.reason}"] if fitted.status != "converged" else []
    misfit = float(np.std(np.log(fitted.predict(fitted.points.columns) / fitted.points.target_P)))
    if misfit > MISFIT_RATIO * noise > 0:
        notes.append(
            f"the law is off the losses by {100 * misfit:.2g} %, {misfit / noise:.1f} times the noise: it does not "
            "describe these runs"
        )
    return replace(
        approach,
        exponent_N=exponent_N,
        exponent_D=exponent_N.affine(1.0, -kappa),
        optima=tuple(optima),
        notes=tuple(notes),
    )


def _inverse_slope(line: WeightedLine) -> NoisyEstimate:
    low, high = line.slope_interval()
    noise_R, scatter = line.slope_noise(), line.slope_scatter()
    return NoisyEstimate(
        value=1 / line.slope,
        interval=(1 / high, 1 / low),
        noise_R=-noise_R / line.slope**2,
        scatter=scatter / line.slope**4,
        degrees=line.degrees(float(np.var(noise_R)), scatter),
    )


def _envelope_optimum(envelope: Envelope, line: WeightedLine, C: float) -> BudgetOptimum:
    log_cost, kappa = envelope.flops_per_token
    log_N = line.center + (math.log(C) - line.level) / line.slope
    noise_R, scatter = line.noise_at(log_N), line.scatter_at(log_N)
    variance = float(np.var(noise_R))
    half = line.half_width(variance, scatter) / line.slope
    size = NoisyEstimate(
        value=log_N,
        interval=(log_N - half, log_N + half),
        noise_R=-noise_R / line.slope,
        scatter=scatter / line.slope**2,
        degrees=line.degrees(variance, scatter),
    )
    return BudgetOptimum(C, size, size.affine(math.log(C) - log_cost, -kappa), math.nan)


def _slope(line: WeightedLine) -> NoisyEstimate:
    noise_R, scatter = line.slope_noise(), line.slope_scatter()
    degrees = line.degrees(float(np.var(noise_R)), scatter)
    return NoisyEstimate(line.slope, line.slope_interval(), noise_R, scatter, degrees)


def _on_line(line: WeightedLine, x: float) -> NoisyEstimate:
    noise_R, scatter, value = line.noise_at(x), line.scatter_at(x), line.at(x)
    variance = float(np.var(noise_R))
    half = line.half_width(variance, scatter)
    return NoisyEstimate(value, (value - half, value + half), noise_R, scatter, line.degrees(variance, scatter))


def _law_exponent(law: Law, kappa: float, rows_RK: Array) -> Array:
    alpha_R, beta_R = (rows_RK[:, law.names.index(name)] for name in ("alpha", "beta"))
    return np.asarray(beta_R / (alpha_R + kappa * beta_R))


def _law_log_size(law: Law, kappa: float, log_product: float, rows_RK: Array) -> Array:
    """log N at the optimum of E + A/N^alpha + B/D^beta where kappa log N + log D = log_product."""
    A_R, B_R, alpha_R, beta_R = (rows_RK[:, law.names.index(name)] for name in ("A", "B", "alpha", "beta"))
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio_R = np.log(alpha_R * A_R) - np.log(kappa * beta_R * B_R)
        return np.asarray((log_ratio_R + beta_R * log_product) / (alpha_R + kappa * beta_R))


def _estimate(fitted: Fit, refits_RK: Array, quantity: Callable[[Array], Array]) -> NoisyEstimate:
    """The quantity of a fit's parameters, with its noise in the refits."""
    degrees = max(fitted.num_points - fitted.law.num_parameters, 1)
    value = float(quantity(fitted.natural_row())[0])
    refit_R = quantity(refits_RK)
    finite_R = np.where(np.isfinite(refit_R), refit_R, value)
    low, high = quantity_interval(fitted, quantity, INTERVAL_LEVEL)
    # The interval is that of the residuals, which include the misfit of the law.
    variance = ((high - low) / 2 / student_quantile(degrees)) ** 2
    scatter = max(variance - float(np.var(finite_R)), 0.0)
    return NoisyEstimate(value, (low, high), finite_R - finite_R.mean(), scatter, degrees)
