"""How exponents change with the convention: the same losses refitted under every count of parameters and of FLOPs.

The exponent a of the optimal size, N ~ C^a, is where papers disagree (Porian et al. 2024, arXiv 2406.19146). Under
L = E + A/N^alpha + B/D^beta and a cost C = c(N) D with c ~ N^kappa it is a = beta / (alpha + kappa beta): kappa is 1
for 6 N D of the fitted N, and another number where the FLOPs count other parameters than that N.

Legend: R replicates.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL, Fit
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.signed_json import Interval, finite_or_none
from windtunnel.analysis.tables.conventions import count_columns, distinct_columns, with_convention
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

OPTIMAL_SIZE = "optimal N"  # the name of the exponent a of N ~ C^a


@dataclass(frozen=True)
class ExponentEstimate:
    """An exponent with its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class ConventionExponents:
    """Exponents from one source under one convention.

    N: a column. C: a column, "6 N D", or "" where the law does not read C. value: the objective, NaN for isoFLOP.
    reason: why there are no exponents.
    """

    source: Literal["law", "isoflop"]
    N: str
    C: str
    status: str
    reason: str
    exponents: Mapping[str, ExponentEstimate]
    value: float
    num_points: int

    def to_dict(self) -> dict[str, Any]:
        """The exponents as JSON."""
        return {
            "source": self.source,
            "N": self.N,
            "C": self.C,
            "status": self.status,
            "reason": self.reason,
            "exponents": {
                name: {"value": estimate.value, "interval": [finite_or_none(end) for end in estimate.interval]}
                for name, estimate in self.exponents.items()
            },
            "objective_value": finite_or_none(self.value),
            "num_points": self.num_points,
        }


def audit_conventions(
    table: Table, law: Law, objective: str | None = None, *, replicates: int = 400, seed: int = 0
) -> list[ConventionExponents]:
    """The exponents of a law under every convention that it reads, and isoFLOP exponents where budgets line up.

    An additive law is also given the exponent of the optimal size, under every pair of counts. Raises InputError where
    the table or the law has no convention to vary.
    """
    sizes = distinct_columns({name: table.columns[name] for name in count_columns(table, "N")})
    if not sizes or "D" not in table.numeric:
        raise InputError(f"{table.source}: needs the columns N (and N_...) and D: name them with columns=...")
    tokens = table.require("D")["D"]
    six = {"6 N D" if name == "N" else f"6 {name} D": 6 * values * tokens for name, values in sizes.items()}
    costs = distinct_columns({name: table.columns[name] for name in count_columns(table, "C")} | six)
    if not {"N", "C", "M"} & set(law.columns):
        raise InputError(f"law {law.name} reads {', '.join(law.columns)}: no count of N or C to vary; try chinchilla")
    results: list[ConventionExponents] = []
    reads_cost = _is_additive(law) or "C" in law.columns
    for size, size_values in sizes.items():
        fitted: Fit | None = None
        for cost, cost_values in costs.items() if reads_cost else {"": tokens}.items():
            recounted = with_convention(table, size_values, cost_values)
            problem = _column_problem(recounted, size, cost if reads_cost else "")
            if problem:
                results.append(ConventionExponents("law", size, cost, "refused", problem, {}, math.nan, len(table)))
                continue
            if fitted is None or "C" in law.columns:
                fitted = fit(recounted, law, objective, bootstrap=replicates, seed=seed)
            results.append(_exponents_of_fit(fitted, recounted, size, cost))
    return results + _isoflop_exponents(table, sizes, costs, replicates, seed)


def exponent_ranges(results: list[ConventionExponents]) -> dict[str, tuple[float, float]]:
    """The lowest and the highest estimate of every exponent, over all conventions."""
    values: dict[str, list[float]] = {}
    for result in results:
        for name, estimate in result.exponents.items():
            values.setdefault(name, []).append(estimate.value)
    return {name: (min(estimates), max(estimates)) for name, estimates in values.items()}


def _column_problem(table: Table, size: str, cost: str) -> str:
    """What is wrong with the columns N and C, under their own names; empty where nothing is."""
    for letter, name in (("N", size), ("C", cost)):
        try:
            if name:
                table.require(letter)
        except InputError as error:
            return str(error).removeprefix(f"{table.source}: ").replace(f"column {letter} ", f"column {name} ")
    return ""


def _is_additive(law: Law) -> bool:
    return law.name == "chinchilla"


def _exponents_of_fit(fitted: Fit, table: Table, size: str, cost: str) -> ConventionExponents:
    """The identified exponents of a fit, and the exponent of the optimal size where the law is additive."""
    law = fitted.law
    names = list(dict.fromkeys(name for _, name, _ in law.couplings)) or list(law.start_grid)
    identified = [name for name in names if name in fitted.parameters and name not in fitted.not_identified]
    exponents = {name: ExponentEstimate(fitted.parameters[name], fitted.intervals[name]) for name in identified}
    if _is_additive(law) and len(identified) == 2 and fitted.replicates is not None:
        kappa = float(np.polyfit(np.log(table.columns["N"]), np.log(table.columns["C"] / table.columns["D"]), 1)[0])
        alpha_R, beta_R = (fitted.replicates[law.names.index(name)] for name in ("alpha", "beta"))
        ends = [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2]
        low, high = np.quantile(beta_R / (alpha_R + kappa * beta_R), ends)
        alpha, beta = fitted.parameters["alpha"], fitted.parameters["beta"]
        exponents[OPTIMAL_SIZE] = ExponentEstimate(beta / (alpha + kappa * beta), (float(low), float(high)))
    return ConventionExponents(
        "law", size, cost, fitted.status, fitted.reason, exponents, fitted.value, fitted.num_points
    )


def _isoflop_exponents(
    table: Table, sizes: Mapping[str, Array], costs: Mapping[str, Array], replicates: int, seed: int
) -> list[ConventionExponents]:
    """isoFLOP exponents under the conventions in which at least three budgets have a minimum."""
    results: list[ConventionExponents] = []
    for size, size_values in sizes.items():
        for cost, cost_values in costs.items():
            recounted = with_convention(table, size_values, cost_values)
            if _column_problem(recounted, size, cost):
                continue
            fitted = fit_isoflop(recounted, replicates=max(2, replicates), seed=seed)
            if fitted.size is not None:
                exponents = {OPTIMAL_SIZE: ExponentEstimate(fitted.size.exponent, fitted.size.interval)}
                results.append(
                    ConventionExponents("isoflop", size, cost, "converged", "", exponents, math.nan, len(table))
                )
    return results
