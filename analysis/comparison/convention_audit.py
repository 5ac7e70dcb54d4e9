"""How far exponents move with the convention: the same losses refitted under every count of parameters and of FLOPs.

The exponent of the optimal size, N ~ C^a, is what papers disagree on (Porian et al. 2024, arXiv 2406.19146). Under
L = E + A/N^alpha + B/D^beta and a cost C = c(N) D with c ~ N^kappa it is a = beta / (alpha + kappa beta): kappa is 1
for 6 N D of the fitted N, and another number where the FLOPs count what that N does not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop
from windtunnel.analysis.compute_optimal.weighted_line import LEVEL
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.tables.conventions import counts, distinct, under
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

OPTIMAL = "optimal N"  # the exponent a of N ~ C^a


@dataclass(frozen=True)
class Estimate:
    value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Audited:
    """One source of exponents under one count of N (a column) and of C (a column, "6 N D", or "" where none is read).

    value: the objective, NaN for isoFLOP. Where there are no exponents `reason` says why.
    """

    source: Literal["law", "isoflop"]
    N: str
    C: str
    status: str
    reason: str
    exponents: Mapping[str, Estimate]
    value: float
    num_points: int


def audit(
    table: Table, law: Law, objective: str | None = None, *, replicates: int = 400, seed: int = 0
) -> list[Audited]:
    """The law under every convention it reads, the exponent of the optimal size under every pair of them where the law
    is additive, and isoFLOP exponents where runs of equal C line up. Raises InputError where there is nothing to audit.
    """
    sizes = distinct({name: table.columns[name] for name in counts(table, "N")})
    if not sizes or "D" not in table.numeric:
        raise InputError(f"{table.source}: an audit needs the columns N (and N_...) and D: name them with --columns")
    tokens = table.require("D")["D"]
    six = {"6 N D" if name == "N" else f"6 {name} D": 6 * values * tokens for name, values in sizes.items()}
    costs = distinct({name: table.columns[name] for name in counts(table, "C")} | six)
    if not {"N", "C", "M"} & set(law.columns):
        raise InputError(f"law {law.name} reads {', '.join(law.columns)}: no count of N or C to audit; try chinchilla")
    found: list[Audited] = []
    for size, size_values in sizes.items():
        fitted: Fit | None = None
        pairs = _is_additive(law) or "C" in law.columns
        for cost, cost_values in costs.items() if pairs else {"": tokens}.items():
            chosen = under(table, size_values, cost_values)
            fault = _fault(chosen, size, cost if pairs else "")
            if fault:
                found.append(Audited("law", size, cost, "refused", fault, {}, math.nan, len(table)))
                continue
            if fitted is None or "C" in law.columns:
                fitted = fit(chosen, law, objective, bootstrap=replicates, seed=seed)
            found.append(_of_fit(fitted, chosen, size, cost))
    return found + _isoflop(table, sizes, costs, replicates, seed)


def spread(found: list[Audited]) -> dict[str, tuple[float, float]]:
    """Lowest and highest estimate of every exponent, over all conventions."""
    values: dict[str, list[float]] = {}
    for each in found:
        for name, estimate in each.exponents.items():
            values.setdefault(name, []).append(estimate.value)
    return {name: (min(each), max(each)) for name, each in values.items()}


def _fault(table: Table, size: str, cost: str) -> str:
    for letter, name in (("N", size), ("C", cost)):
        try:
            if name:
                table.require(letter)
        except InputError as error:
            return str(error).removeprefix(f"{table.source}: ").replace(f"column {letter} ", f"column {name} ")
    return ""


def _is_additive(law: Law) -> bool:
    return law.name == "chinchilla"


def _of_fit(fitted: Fit, table: Table, size: str, cost: str) -> Audited:
    """The exponents of a fit, with the optimal size's where the law is additive."""
    law = fitted.law
    exponents: dict[str, Estimate] = {}
    names = list(dict.fromkeys(name for _, name, _ in law.couplings)) or list(law.start_grid)
    known = [name for name in names if name in fitted.parameters and name not in fitted.not_identified]
    for name in known:
        exponents[name] = Estimate(fitted.parameters[name], fitted.intervals[name])
    if _is_additive(law) and len(known) == 2 and fitted.replicates is not None:
        kappa = float(np.polyfit(np.log(table.columns["N"]), np.log(table.columns["C"] / table.columns["D"]), 1)[0])
        alpha_R, beta_R = (fitted.replicates[law.names.index(name)] for name in ("alpha", "beta"))
        low, high = np.quantile(beta_R / (alpha_R + kappa * beta_R), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        alpha, beta = fitted.parameters["alpha"], fitted.parameters["beta"]
        exponents[OPTIMAL] = Estimate(beta / (alpha + kappa * beta), (float(low), float(high)))
    return Audited("law", size, cost, fitted.status, fitted.reason, exponents, fitted.value, fitted.num_points)


def _isoflop(
    table: Table, sizes: Mapping[str, Array], costs: Mapping[str, Array], replicates: int, seed: int
) -> list[Audited]:
    """isoFLOP exponents under those conventions in which three budgets or more have a minimum."""
    found: list[Audited] = []
    for size, size_values in sizes.items():
        for cost, cost_values in costs.items():
            chosen = under(table, size_values, cost_values)
            if _fault(chosen, size, cost):
                continue
            fitted = fit_isoflop(chosen, replicates=max(2, replicates), seed=seed)
            if fitted.size is not None:
                exponents = {OPTIMAL: Estimate(fitted.size.exponent, fitted.size.interval)}
                found.append(Audited("isoflop", size, cost, "converged", "", exponents, math.nan, len(table)))
    return found
