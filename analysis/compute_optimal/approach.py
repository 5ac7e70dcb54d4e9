"""What one of Chinchilla's three approaches says: exponents and optima, each with its noise, in a common form.

Legend: R replicates.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from windtunnel.analysis.compute_optimal.envelope import Envelope, fit_envelope
from windtunnel.analysis.compute_optimal.isoflop import Isoflop, fit_isoflop
from windtunnel.analysis.compute_optimal.isoflop_interpolated import fit_interpolated_isoflop
from windtunnel.analysis.compute_optimal.noise_propagation import refits
from windtunnel.analysis.compute_optimal.optimum import OPEN_FACTOR
from windtunnel.analysis.compute_optimal.weighted_line import LEVEL, NoisyLine, quantile
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.prediction.delta_method import quantity_interval
from windtunnel.analysis.tables.seeds import MISFIT
from windtunnel.analysis.tables.table import Table

Interval = tuple[float, float]
Name = Literal["envelope", "isoflop", "parametric"]
# Replicates of the noise: of the points of a line, and of whole refits of the law (the first of the same draws).
REPLICATES = 2000
REFITS = 400


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % interval, what noise does to it (R,), and the variance of what noise does not explain."""

    value: float
    interval: Interval
    noise_R: Array
    scatter: float
    degrees: float


@dataclass(frozen=True)
class OptimumAt:
    """At a budget of C FLOPs: log N, log D, and the loss there where the approach gives one (else NaN)."""

    C: float
    log_N: Estimate
    log_D: Estimate
    loss: float


@dataclass(frozen=True)
class Approach:
    """`exponent_N`, `exponent_D` are None, and `optima` is empty, where the approach is refused."""

    name: Name
    status: str
    reason: str
    points: str
    noise: float
    """Standard deviation of log loss; 0 where nothing shows it."""
    exponent_N: Estimate | None = None
    exponent_D: Estimate | None = None
    optima: tuple[OptimumAt, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        return self.exponent_N is None


def by_envelope(table: Table, budgets: Sequence[float], seed: int) -> tuple[Approach, Envelope]:
    """Approach 1. The tokens follow from the size: C / D depends on N alone."""
    found = fit_envelope(table, replicates=REPLICATES, seed=seed)
    refused = [each.refusal for each in found.crossings if each.refusal is not None]
    notes = (
        [f"{found.sizes_without_curve} of {found.num_sizes} sizes have fewer than 3 horizons and no curve"]
        if found.sizes_without_curve
        else []
    )
    if refused:
        counts = ", ".join(f"{why} {refused.count(why)}" for why in dict.fromkeys(refused))
        notes.append(f"crossings refused: {counts}")
    points = f"{len(found.crossings) - len(refused)} crossings of {found.num_sizes} sizes"
    if found.line is None:
        return Approach("envelope", found.status, found.reason, points, found.noise, notes=tuple(notes)), found
    line, (log_cost, kappa) = found.line, found.flops_per_token
    low, high = line.slope_interval()
    noise_R, scatter = line.slope_noise(), line.slope_scatter()
    exponent_N = Estimate(
        value=1 / line.slope,
        interval=(1 / high, 1 / low),
        noise_R=-noise_R / line.slope**2,
        scatter=scatter / line.slope**4,
        degrees=line.degrees(float(np.var(noise_R)), scatter),
    )
    optima = []
    for C in budgets:
        log_N = line.centre + (math.log(C) - line.level) / line.slope
        noise_R, scatter = line.noise_at(log_N), line.scatter_at(log_N)
        variance = float(np.var(noise_R))
        half = line.half_width(variance, scatter) / line.slope
        size = Estimate(
            value=log_N,
            interval=(log_N - half, log_N + half),
            noise_R=-noise_R / line.slope,
            scatter=scatter / line.slope**2,
            degrees=line.degrees(variance, scatter),
        )
        optima.append(OptimumAt(C, size, _affine(size, math.log(C) - log_cost, -kappa), math.nan))
    approach = Approach(
        "envelope",
        found.status,
        "",
        points,
        found.noise,
        exponent_N,
        _affine(exponent_N, 1.0, -kappa),
        tuple(optima),
        tuple(notes),
    )
    return approach, found


def by_isoflop(table: Table, budgets: Sequence[float], seed: int) -> tuple[Approach, Isoflop]:
    """Approach 2: the runs' own budgets where three of them have a minimum, else budgets read off the sizes' curves."""
    found = fit_isoflop(table, replicates=REPLICATES, seed=seed)
    notes: tuple[str, ...] = ()
    if found.status != "converged":
        read = fit_interpolated_isoflop(table, replicates=REPLICATES, seed=seed)
        if read.status != "converged":
            minima = sum(each.refusal is None for each in read.minima)
            more = f"of {len(read.minima)} common budgets read off the sizes' curves {minima} have one"
            found = replace(found, reason=f"{found.reason}; {more}")
        else:
            notes = ("the runs' budgets do not line up: losses are interpolated to common budgets within each size",)
            found = read
    kept = [each for each in found.minima if each.refusal is None]
    points = f"{len(kept)} minima of {len(found.minima)} budgets"
    if found.size is None or found.tokens is None:
        return Approach("isoflop", found.status, found.reason, points, found.noise), found
    log_C, log_loss = np.log([each.C for each in kept]), np.log([each.loss for each in kept])
    optima = []
    for C in budgets:
        place = math.log(C)
        inside = log_C[0] <= place <= log_C[-1]
        loss = math.exp(float(np.interp(place, log_C, log_loss))) if inside else math.nan
        optima.append(OptimumAt(C, _on(found.size.line, place), _on(found.tokens.line, place), loss))
    approach = Approach(
        "isoflop",
        found.status,
        "",
        points,
        found.noise,
        _slope(found.size.line),
        _slope(found.tokens.line),
        tuple(optima),
        notes,
    )
    return approach, found


def by_law(table: Table, budgets: Sequence[float], noise: float, seed: int) -> tuple[Approach, Fit]:
    """Approach 3, refitted to draws of noise of standard deviation `noise`. C = c N^kappa D, as in the table."""
    law = law_named("chinchilla")
    found = fit(table, law)
    points = f"{found.num_points} points"
    loose = [name for name in ("alpha", "beta") if name in found.not_identified]
    if found.status in REFUSED or loose:
        reason = found.reason.split(", or say --")[0]
        return Approach("parametric", found.status, reason, points, noise), found
    columns = table.require("C", "N", "D")
    kappa, log_cost = np.polyfit(np.log(columns["N"]), np.log(columns["C"] / columns["D"]), 1)
    refits_RK = refits(found, table.run, noise, REFITS, seed) if noise > 0 else found.natural_row()

    def exponent(rows_RK: Array) -> Array:
        alpha_R, beta_R = (rows_RK[:, law.names.index(name)] for name in ("alpha", "beta"))
        return np.asarray(beta_R / (alpha_R + kappa * beta_R))

    def best_size(C: float, rows_RK: Array) -> Array:
        A_R, B_R, alpha_R, beta_R = (rows_RK[:, law.names.index(name)] for name in ("A", "B", "alpha", "beta"))
        with np.errstate(divide="ignore", invalid="ignore"):
            log_ratio_R = np.log(alpha_R * A_R) - np.log(kappa * beta_R * B_R)
            return np.asarray((log_ratio_R + beta_R * (math.log(C) - log_cost)) / (alpha_R + kappa * beta_R))

    degrees = max(found.num_points - law.num_parameters, 1)

    def estimate(quantity: Callable[[Array], Array]) -> Estimate:
        value = float(quantity(found.natural_row())[0])
        refit_R = quantity(refits_RK)
        finite_R = np.where(np.isfinite(refit_R), refit_R, value)
        low, high = quantity_interval(found, quantity, LEVEL)
        # The interval is of the residuals, which where the law is bent hold more than noise.
        variance = ((high - low) / 2 / quantile(degrees)) ** 2
        scatter = max(variance - float(np.var(finite_R)), 0.0)
        return Estimate(value, (low, high), finite_R - finite_R.mean(), scatter, degrees)

    exponent_N = estimate(exponent)
    optima = []
    for C in budgets:
        size = estimate(partial(best_size, C))
        tokens = _affine(size, math.log(C) - log_cost, -kappa)
        at = {"N": np.exp([size.value]), "D": np.exp([tokens.value])}
        optima.append(OptimumAt(C, size, tokens, float(found.predict(at)[0])))
    if any(each.log_N.interval[1] - each.log_N.interval[0] > math.log(OPEN_FACTOR) for each in optima):
        reason = "the data do not identify the optimum: its interval is open"
        return Approach("parametric", "not_identified", reason, points, noise), found
    notes = [f"the fit is {found.status}: {found.reason}"] if found.status != "converged" else []
    off = float(np.std(np.log(found.predict(found.points.columns) / found.points.target_P)))
    if off > MISFIT * noise > 0:
        notes.append(
            f"the law is off the losses by {100 * off:.2g} %, {off / noise:.1f} times the noise: it does not describe "
            "these runs"
        )
    approach = Approach(
        "parametric",
        found.status,
        "",
        points,
        noise,
        exponent_N,
        _affine(exponent_N, 1.0, -kappa),
        tuple(optima),
        tuple(notes),
    )
    return approach, found


def _slope(line: NoisyLine) -> Estimate:
    noise_R, scatter = line.slope_noise(), line.slope_scatter()
    degrees = line.degrees(float(np.var(noise_R)), scatter)
    return Estimate(line.slope, line.slope_interval(), noise_R, scatter, degrees)


def _on(line: NoisyLine, x: float) -> Estimate:
    noise_R, scatter, value = line.noise_at(x), line.scatter_at(x), line.at(x)
    variance = float(np.var(noise_R))
    half = line.half_width(variance, scatter)
    return Estimate(value, (value - half, value + half), noise_R, scatter, line.degrees(variance, scatter))


def _affine(of: Estimate, offset: float, factor: float) -> Estimate:
    """offset + factor * the estimate."""
    ends = sorted((offset + factor * of.interval[0], offset + factor * of.interval[1]))
    return Estimate(
        offset + factor * of.value, (ends[0], ends[1]), factor * of.noise_R, factor**2 * of.scatter, of.degrees
    )
