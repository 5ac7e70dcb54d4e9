"""Two arms (models, optimizers, data, schedules): which is better at a compute that neither was trained at, and how
sure that is (Nezhurina et al. 2025, arXiv 2506.04598; Xiao 2024, arXiv 2409.15156).

One law is fitted to each arm. Every replicate of the bootstrap draws the noise of all runs anew, as large as the
residuals show it and with runs that share seed and budget correlated as they are found to be, and fits both arms again:
what the arms have in common cancels in the difference.

Legend: P points, R replicates, K parameters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from windtunnel.analysis.comparison.crossover import Curves, Verdict, judge
from windtunnel.analysis.comparison.paired_noise import arm_noise, correlation, draw_noise, paired_units
from windtunnel.analysis.comparison.shared_irreducible_loss import ARM, arm_rows, can_tie, tie_floor
from windtunnel.analysis.compute_optimal.frontier import SIZE_COLUMNS
from windtunnel.analysis.fitting.fit import fit, global_optimum
from windtunnel.analysis.fitting.noise import ResidualNoise, residual_noise
from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.target import complete, refuse_far
from windtunnel.analysis.solver.identifiability import design_fault
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

REPLICATES = 1000
# A win at the scale of the data, in probability, whose loss at the target is worth a warning.
WIN = 0.75


@dataclass(frozen=True)
class Contrast:
    """`verdicts` has the floors free first, then tied where the law has a floor. `pairs` counts runs that share seed
    and budget with one of the other arm.
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

    def document(self) -> dict[str, Any]:
        """As JSON, the verdict with free floors on top: an unbounded value is null."""
        return {
            "at": {"C": self.flops},
            "law": self.law,
            **_plain_verdict(self.verdicts[0]),
            "floors": {each.floor: _plain_verdict(each) for each in self.verdicts},
            "arms": {
                letter: {"source": name, "parameters": found.parameters, "status": found.status}
                for letter, name, found in zip("AB", self.names, self.fits, strict=True)
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
    fixed: Mapping[str, float] | None = None,
    objective: str | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    far: bool = False,
) -> Contrast:
    """Contrasts arm A with arm B at a budget of `flops`. Without `law`: the additive law of N and D at its best size
    where both arms are grids that allow it, else a power law with a floor in C. `fixed` gives further columns, such as
    U. Raises InputError where an arm cannot be fitted or the target is too far beyond the data.
    """
    arms = (_with_compute(first), _with_compute(second))
    chosen = law or _default_law(arms)
    dropped = [0, 0]
    if not SIZE_COLUMNS & set(chosen.columns):
        fronts = tuple(_front(arm) for arm in arms)
        dropped = [len(arm) - len(front) for arm, front in zip(arms, fronts, strict=True)]
        arms = (fronts[0], fronts[1])
    fits = (_fit(arms[0], chosen, objective, "A"), _fit(arms[1], chosen, objective, "B"))
    costs = [np.asarray(complete(dict(arm.columns))["C"], dtype=np.float64) for arm in arms]
    smallest, largest = max(float(cost.min()) for cost in costs), min(float(cost.max()) for cost in costs)
    warnings = refuse_far({"C": np.array([smallest, largest])}, {"C": flops}, far)
    if smallest > largest:
        raise InputError("the arms have no compute in common: train both over one range of budgets")
    units_A, units_B, pairs = paired_units(*arms)
    problems = (_problem(fits[0]), _problem(fits[1]))
    matched = [_match(problem, found) for problem, found in zip(problems, fits, strict=True)]
    noises = [
        arm_noise(noise, found.points.weights_P, found.points.run_P) for noise, found in zip(matched, fits, strict=True)
    ]
    drawn = draw_noise(noises, pairs, (units_A, units_B), replicates, seed)
    rows = [replicate(*each) for each in zip(problems, matched, drawn, strict=True)]
    readings = [Curves(chosen, (rows[0][0], rows[1][0]), (rows[0][1], rows[1][1]), dict(fixed or {}))]
    if can_tie(chosen):
        readings.append(_tied(fits, np.concatenate(drawn, axis=1), readings[0].fixed, seed))
    verdicts = tuple(
        judge(curves, floor, flops, smallest, largest)
        for curves, floor in zip(readings, ("untied", "tied"), strict=False)
    )
    for letter, found, count in zip("AB", fits, dropped, strict=True):
        if found.status != "converged":
            warnings.append(f"the fit of {letter} is {found.status}: {found.reason}")
        if count:
            warnings.append(f"{count} rows of {letter} are off its front of loss against compute and left out")
    if not pairs:
        warnings.append("no run shares seed and budget with one of the other arm: nothing cancels")
    warnings += _reversals(verdicts, flops, largest)
    return Contrast(
        law=chosen.name,
        flops=flops,
        names=(first.source, second.source),
        verdicts=verdicts,
        fits=fits,
        pairs=len(pairs),
        correlation=correlation(noises, pairs),
        extrapolation=flops / largest,
        warnings=tuple(warnings),
    )


def _with_compute(table: Table) -> Table:
    known = complete({name: table.columns[name] for name in table.numeric if name in ("N", "D", "C", "M")})
    if "C" not in known:
        raise InputError(f"{table.source}: no column C, and no N and D to compute it; name them with --columns")
    return replace(table, columns={**table.columns, **known})


def _default_law(arms: tuple[Table, Table]) -> Law:
    additive = law_named("chinchilla")
    for arm in arms:
        if not {"N", "D"} <= set(arm.numeric) or design_fault(additive, arm.require("N", "D"), len(arm)) is not None:
            return law_named("power:C")
    return additive


def _front(table: Table) -> Table:
    """The rows that a law of C alone is about: configurations that no other one of at most their compute beats, by the
    mean loss of their seeds.
    """
    needed = table.require("C", "loss")
    names = [name for name in ("N", "D") if name in table.columns] or ["C"]
    keys = np.stack([np.round(np.log(table.columns[name]), 2) for name in names], axis=1)
    cell_P = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(cell_P)
    loss = np.bincount(cell_P, needed["loss"]) / counts
    log_C = np.bincount(cell_P, np.log(needed["C"])) / counts
    beaten = [bool(np.any((log_C <= log_C[cell] + 0.01) & (loss < loss[cell]))) for cell in range(len(counts))]
    return table.take(~np.array(beaten)[cell_P])


def _fit(table: Table, law: Law, objective: str | None, letter: str) -> Fit:
    found = fit(table, law, objective, profile=False)
    if found.status in REFUSED:
        raise InputError(f"arm {letter}, {table.source}: {found.status}: {found.reason}")
    return found


def _problem(found: Fit) -> Problem:
    points = found.points
    return Problem.of(found.law, points.columns, points.target_P, points.weights_P, parse_objective(found.objective))


def _match(problem: Problem, found: Fit) -> ResidualNoise:
    """The fit at a Huber threshold matched to its noise: at the objective's own, a few dozen points make a bootstrap of
    medians, which is coarse.
    """
    return residual_noise(problem, problem.coordinates.to_internal(found.natural_row()))


def replicate(problem: Problem, noise: ResidualNoise, drawn_RP: Array) -> tuple[Array, Array]:
    """Natural parameters of the fit (1, K) and of every replicate (R, K)."""
    fitted_RP = problem.predict(noise.internal_RK)
    own = replace(problem, target=fitted_RP * np.exp(drawn_RP) if problem.objective.log else fitted_RP + drawn_RP)
    size = len(drawn_RP)
    start_RK, delta_R1 = np.tile(noise.internal_RK, (size, 1)), np.tile(noise.delta_R1, (size, 1))
    found = own.solve(start_RK, [delta_R1], max_iterations=80, tolerance=1e-8)
    return problem.coordinates.to_natural(noise.internal_RK), problem.coordinates.to_natural(found.internal_RK)


def _tied(fits: tuple[Fit, Fit], drawn_RP: Array, fixed: Mapping[str, float], seed: int) -> Curves:
    law = fits[0].law
    tied = tie_floor(law, (fits[0].parameters, fits[1].parameters))
    points = [found.points for found in fits]
    columns = {name: np.concatenate([each.columns[name] for each in points]) for name in law.columns}
    columns[ARM] = np.repeat([0.0, 1.0], [len(each.target_P) for each in points])
    problem = Problem.of(
        tied,
        columns,
        np.concatenate([each.target_P for each in points]),
        np.concatenate([each.weights_P for each in points]),
        parse_objective(fits[0].objective),
    )
    internal_K, _ = global_optimum(problem, seed)
    fitted_RK, replicates_RK = replicate(problem, residual_noise(problem, internal_K[None]), drawn_RP)
    return Curves(
        law,
        (arm_rows(law, tied, fitted_RK, "A"), arm_rows(law, tied, fitted_RK, "B")),
        (arm_rows(law, tied, replicates_RK, "A"), arm_rows(law, tied, replicates_RK, "B")),
        fixed,
    )


def _reversals(verdicts: tuple[Verdict, ...], flops: float, largest: float) -> list[str]:
    """Wins at the scale of the data that are predicted to vanish, and floors that disagree on the winner."""
    warnings = []
    for each in verdicts:
        ahead = "A" if each.probability_a_better_at_data >= 0.5 else "B"
        chance, later = each.probability_a_better_at_data, each.probability_a_better
        if ahead == "B":
            chance, later = 1 - chance, 1 - later
        if chance >= WIN and later < 0.5 and flops > largest:
            where = f"; the curves cross near C = {each.crossover:.3g}" if each.crossover is not None else ""
            warnings.append(
                f"floors {each.floor}: {ahead} wins at C = {largest:.3g} (probability {chance:.2f}), and that win is "
                f"predicted to vanish before C = {flops:.3g} (probability {later:.2f} there){where}"
            )
    if len({each.winner for each in verdicts}) > 1:
        free, tied = verdicts
        warnings.append(
            f"the winner depends on the floor: {free.winner} with floors free, {tied.winner} with one floor; "
            "the range of compute is too short to tell a floor from an exponent"
        )
    return warnings


def _plain_verdict(verdict: Verdict) -> dict[str, Any]:
    return {name: _plain(value) for name, value in vars(verdict).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
