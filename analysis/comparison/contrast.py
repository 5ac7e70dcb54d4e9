"""Contrast of two arms (models, optimizers, data, schedules): which is better at a compute that neither was trained at,
and how certain that is (Nezhurina et al. 2025, arXiv 2506.04598; Xiao 2024, arXiv 2409.15156).

One law is fitted to each arm. Every bootstrap replicate draws new noise for all runs, as large as the residuals show
and correlated between runs that share seed and budget, and refits both arms: what the arms have in common cancels in
the difference.

Legend: P points, R replicates, K parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from windtunnel.analysis.comparison.crossover import ArmCurves, Verdict, compare_curves
from windtunnel.analysis.comparison.paired_noise import Pairs, draw_noise, estimate_noise, pair_correlation, pair_runs
from windtunnel.analysis.comparison.shared_irreducible_loss import (
    ARM,
    has_irreducible_loss,
    parameters_of_arm,
    share_irreducible_loss,
)
from windtunnel.analysis.compute_optimal.frontier import SIZE_COLUMNS
from windtunnel.analysis.fitting.certificate import REFUSED
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.multistart import global_optimum
from windtunnel.analysis.fitting.noise import ResidualNoise, residual_noise
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.target import check_extrapolation, complete
from windtunnel.analysis.signed_json import to_document
from windtunnel.analysis.solver.identifiability import design_problem
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

REPLICATES = 1000
# A lead at the scale of the data with at least this probability gets a warning where it vanishes at the target.
LIKELY_LEAD = 0.75
# A configuration of the compute frontier may have this much more compute, in log, than one that it is compared with.
SAME_COMPUTE = 0.01

Arms = tuple[Table, Table]


@dataclass(frozen=True)
class Contrast:
    """Two arms compared at one budget.

    verdicts: with separate irreducible losses, then with a shared one where the law has one. pairs: the number of runs
    that share seed and budget with a run of the other arm.
    """

    law: str
    flops: float
    names: tuple[str, str]
    verdicts: tuple[Verdict, ...]
    fits: tuple[Fit, Fit]
    pairs: int
    correlation: float  # of the noise of paired runs
    extrapolation: float
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The contrast as JSON, with the first verdict at the top level. An unbounded value is null."""
        return {
            "at": {"C": self.flops},
            "law": self.law,
            **to_document(self.verdicts[0]),
            "verdicts": {verdict.irreducible_loss: to_document(verdict) for verdict in self.verdicts},
            "arms": {
                letter: {"source": name, "parameters": fitted.parameters, "status": fitted.status}
                for letter, name, fitted in zip("AB", self.names, self.fits, strict=True)
            },
            "pairs": self.pairs,
            "correlation": self.correlation,
            "extrapolation": {"C": self.extrapolation},
            "warnings": list(self.warnings),
        }


def contrast(
    first: Table,
    second: Table,
    flops: float,
    *,
    law: Law | None = None,
    at: Mapping[str, float] | None = None,
    objective: str | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    allow_extrapolation: bool = False,
) -> Contrast:
    """Contrast arm A with arm B at a budget of `flops`.

    law: default the additive law of N and D at its optimal size where both arms are grids that identify it, else a
    power law of C. at: values of further columns of the law, such as U.

    Raises InputError where an arm cannot be fitted or the budget is too far beyond the data.
    """
    arms = (_with_compute(first), _with_compute(second))
    law = law or _default_law(arms)
    num_rows = [len(arm) for arm in arms]
    if not SIZE_COLUMNS & set(law.columns):
        arms = (_compute_frontier(arms[0]), _compute_frontier(arms[1]))
    dropped = [before - len(arm) for before, arm in zip(num_rows, arms, strict=True)]
    fits = (_fit(arms[0], law, objective, "A"), _fit(arms[1], law, objective, "B"))
    smallest, largest = _common_budgets(arms)
    warnings = check_extrapolation({"C": np.array([smallest, largest])}, {"C": flops}, allow_extrapolation)
    if smallest > largest:
        raise InputError("the arms have no compute in common: train both over one range of budgets")
    curves, pairs, correlation = _refit_arms(arms, fits, dict(at or {}), replicates, seed)
    verdicts = tuple(compare_curves(arm_curves, flops, smallest, largest) for arm_curves in curves)
    warnings += _fit_warnings(fits, dropped, pairs) + _reversal_warnings(verdicts, flops, largest)
    return Contrast(
        law=law.name,
        flops=flops,
        names=(first.source, second.source),
        verdicts=verdicts,
        fits=fits,
        pairs=len(pairs),
        correlation=correlation,
        extrapolation=flops / largest,
        warnings=tuple(warnings),
    )


def refit_to_noise(problem: Problem, noise: ResidualNoise, drawn_RP: Array) -> tuple[Array, Array]:
    """Natural parameters of the fit (1, K), and of its refits to draws of noise about it (R, K)."""
    fitted_RP = problem.predict(noise.internal_RK)
    noisy = replace(problem, target=fitted_RP * np.exp(drawn_RP) if problem.objective.log else fitted_RP + drawn_RP)
    num_draws = len(drawn_RP)
    start_RK, delta_R1 = np.tile(noise.internal_RK, (num_draws, 1)), np.tile(noise.delta_R1, (num_draws, 1))
    solved = noisy.solve(start_RK, [delta_R1], max_iterations=80, tolerance=1e-8)
    return problem.coordinates.to_natural(noise.internal_RK), problem.coordinates.to_natural(solved.internal_RK)


def _with_compute(table: Table) -> Table:
    columns = complete({name: table.columns[name] for name in table.numeric if name in ("N", "D", "C", "M")})
    if "C" not in columns:
        raise InputError(f"{table.source}: no column C, and no N and D to compute it; name them with columns=...")
    return replace(table, columns={**table.columns, **columns})


def _default_law(arms: Arms) -> Law:
    additive = get_law("chinchilla")
    for arm in arms:
        if not {"N", "D"} <= set(arm.numeric) or design_problem(additive, arm.require("N", "D"), len(arm)) is not None:
            return get_law("power:C")
    return additive


def _compute_frontier(table: Table) -> Table:
    """The rows that a law of C alone describes: configurations whose mean loss over seeds no other configuration of at
    most their compute beats.
    """
    needed = table.require("C", "loss")
    names = [name for name in ("N", "D") if name in table.columns] or ["C"]
    keys = np.stack([np.round(np.log(table.columns[name]), 2) for name in names], axis=1)
    cell_P = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(cell_P)
    loss = np.bincount(cell_P, needed["loss"]) / counts
    log_C = np.bincount(cell_P, np.log(needed["C"])) / counts
    beaten = [bool(np.any((log_C <= log_C[cell] + SAME_COMPUTE) & (loss < loss[cell]))) for cell in range(len(counts))]
    return table.take(~np.array(beaten)[cell_P])


def _fit(table: Table, law: Law, objective: str | None, letter: str) -> Fit:
    fitted = fit(table, law, objective, profile=False)
    if fitted.status in REFUSED:
        raise InputError(f"arm {letter}, {table.source}: {fitted.status}: {fitted.reason}")
    return fitted


def _common_budgets(arms: Arms) -> tuple[float, float]:
    """The smallest and the largest compute that both arms reach."""
    costs = [np.asarray(complete(dict(arm.columns))["C"], dtype=np.float64) for arm in arms]
    return max(float(cost.min()) for cost in costs), min(float(cost.max()) for cost in costs)


def _refit_arms(
    arms: Arms, fits: tuple[Fit, Fit], at: Mapping[str, float], replicates: int, seed: int
) -> tuple[list[ArmCurves], Pairs, float]:
    """The curves of both arms under draws of their noise, the pairs of runs, and the correlation of their noise.

    The curves come first with separate irreducible losses, then with a shared one where the law has one.
    """
    law = fits[0].law
    units_A, units_B, pairs = pair_runs(*arms)
    problems = (_problem(fits[0]), _problem(fits[1]))
    # The threshold is matched to the noise: at the objective's own Huber threshold, a few dozen points make a bootstrap
    # of medians, which is coarse.
    matched = [
        residual_noise(problem, problem.coordinates.to_internal(fitted.natural_row()))
        for problem, fitted in zip(problems, fits, strict=True)
    ]
    noises = [
        estimate_noise(noise, fitted.points.weights_P, fitted.points.run_P)
        for noise, fitted in zip(matched, fits, strict=True)
    ]
    drawn = draw_noise(noises, pairs, (units_A, units_B), replicates, seed)
    (fitted_A, refits_A), (fitted_B, refits_B) = (
        refit_to_noise(*arm) for arm in zip(problems, matched, drawn, strict=True)
    )
    curves = [ArmCurves(law, (fitted_A, fitted_B), (refits_A, refits_B), "separate", at)]
    if has_irreducible_loss(law):
        curves.append(_shared_curves(fits, np.concatenate(drawn, axis=1), at, seed))
    return curves, pairs, pair_correlation(noises, pairs)


def _problem(fitted: Fit) -> Problem:
    points = fitted.points
    return Problem.from_points(
        fitted.law, points.columns, points.target_P, points.weights_P, parse_objective(fitted.objective)
    )


def _shared_curves(fits: tuple[Fit, Fit], drawn_RP: Array, at: Mapping[str, float], seed: int) -> ArmCurves:
    law = fits[0].law
    shared = share_irreducible_loss(law, (fits[0].parameters, fits[1].parameters))
    points = [fitted.points for fitted in fits]
    columns = {name: np.concatenate([arm.columns[name] for arm in points]) for name in law.columns}
    columns[ARM] = np.repeat([0.0, 1.0], [len(arm.target_P) for arm in points])
    problem = Problem.from_points(
        shared,
        columns,
        np.concatenate([arm.target_P for arm in points]),
        np.concatenate([arm.weights_P for arm in points]),
        parse_objective(fits[0].objective),
    )
    internal_K, _ = global_optimum(problem, seed)
    fitted_1K, refits_RK = refit_to_noise(problem, residual_noise(problem, internal_K[None]), drawn_RP)
    return ArmCurves(
        law,
        (parameters_of_arm(law, shared, fitted_1K, "A"), parameters_of_arm(law, shared, fitted_1K, "B")),
        (parameters_of_arm(law, shared, refits_RK, "A"), parameters_of_arm(law, shared, refits_RK, "B")),
        "shared",
        at,
    )


def _fit_warnings(fits: tuple[Fit, Fit], dropped: list[int], pairs: Pairs) -> list[str]:
    warnings = []
    for letter, fitted, count in zip("AB", fits, dropped, strict=True):
        if fitted.status != "converged":
            warnings.append(f"the fit of {letter} is {fitted.status}: {fitted.reason}")
        if count:
            warnings.append(f"{count} rows of {letter} are above its compute frontier and left out")
    if not pairs:
        warnings.append("no run shares seed and budget with a run of the other arm: no noise cancels")
    return warnings


def _reversal_warnings(verdicts: tuple[Verdict, ...], flops: float, largest: float) -> list[str]:
    """Leads at the scale of the data that are predicted to vanish, and verdicts with different winners."""
    warnings = []
    for verdict in verdicts:
        leader = "A" if verdict.probability_a_better_at_data >= 0.5 else "B"
        at_data, at_target = verdict.probability_a_better_at_data, verdict.probability_a_better
        if leader == "B":
            at_data, at_target = 1 - at_data, 1 - at_target
        if at_data >= LIKELY_LEAD and at_target < 0.5 and flops > largest:
            where = f"; the curves cross near C = {verdict.crossover:.3g}" if verdict.crossover is not None else ""
            warnings.append(
                f"{verdict.irreducible_loss} E: {leader} is better at C = {largest:.3g} (probability {at_data:.2f}), "
                f"and that lead is predicted to vanish before C = {flops:.3g} (probability {at_target:.2f}){where}"
            )
    if len({verdict.winner for verdict in verdicts}) > 1:
        separate, shared = verdicts
        warnings.append(
            f"the winner depends on the irreducible loss E: {separate.winner} with separate E, {shared.winner} with "
            "shared E; the range of compute is too short to separate E from the exponent"
        )
    return warnings
