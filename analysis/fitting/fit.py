"""Fits a law to a table: starts, the global optimum, a certificate, intervals, or a typed refusal.

Legend: P points, R replicates (or starts), K parameters.
"""

import math
import time
from dataclasses import replace

import numpy as np

from windtunnel.analysis.fitting.bootstrap import bootstrap_replicates, percentile_intervals
from windtunnel.analysis.fitting.profile import open_parameters, profile_parameters
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL, REFUSED, Certificate, Fit, Points, Status
from windtunnel.analysis.laws.law import Array, Columns, Law, require_columns
from windtunnel.analysis.laws.mixture import for_table
from windtunnel.analysis.solver.coordinates import AT_BOUND
from windtunnel.analysis.solver.identifiability import SCALE_COLUMNS, design_fault, rank_fault
from windtunnel.analysis.solver.least_absolute import sharpen
from windtunnel.analysis.solver.levenberg_marquardt import Solution
from windtunnel.analysis.solver.objective import Objective, parse_objective
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import KEPT, choose_starts, thinned
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

__all__ = ["REFUSED", "Fit", "fit", "fit_batch", "global_optimum", "refusal"]

# Two starts agree when their objectives do to this share (the kinks of absolute deviations are met less sharply), or to
# this part of what a standard deviation of one parameter costs: in a flat valley no more can be told.
AGREEMENT = {"huber": 1e-6, "mse": 1e-6, "lad": 1e-3}
INVISIBLE = 1e-3
# Starts this close in every internal coordinate, after the few points of a large table, have met.
MET = 1e-4
# Residuals smaller than this, in the objective's unit, are none: an amplitude at its floor leaves as much.
ROUNDING = 1e-7


def fit(
    table: Table,
    law: Law,
    objective: str | Objective | None = None,
    *,
    bootstrap: int = 0,
    seed: int = 0,
    profile: bool = True,
    few_points: bool = False,
) -> Fit:
    """The fit of `law` to `table`, with profile intervals, and bootstrap ones (over runs) where `bootstrap` replicates
    are asked for. A design that cannot identify the law gives a Fit without parameters and the status that says why.
    Raises InputError for values no law can be fitted to.
    """
    began = time.perf_counter()
    if law.steps is not None:
        from windtunnel.analysis.fitting.two_step import fit_chain

        if objective is not None:
            raise InputError(f"law {law.name} is two steps, each with its own objective: leave --objective out")
        return fit_chain(table, law, bootstrap=bootstrap, seed=seed, profile=profile, few_points=few_points)
    law, aim, noise, points, table = _set_out(table, law, objective)
    empty = Fit(
        law=law,
        objective=aim.name,
        parameters={},
        value=math.nan,
        status="not_converged",
        reason="",
        not_identified=(),
        intervals={},
        interval_method="none",
        num_points=len(points.target_P),
        seconds=0.0,
        table_digest=table.digest,
        source=table.source,
        named=table.named,
        seed_noise=noise,
        certificate=None,
        points=points,
    )
    fault = design_fault(law, points.columns, len(points.target_P), few_points)
    if fault is not None:
        return replace(empty, status=fault[0], reason=fault[1], seconds=time.perf_counter() - began)
    problem = Problem.of(law, points.columns, points.target_P, points.weights_P, aim)
    starts_RK = choose_starts(problem)
    fault = rank_fault(problem, starts_RK)
    if fault is not None:
        return replace(empty, status=fault[0], reason=fault[1], seconds=time.perf_counter() - began)
    internal_K, certificate = global_optimum(problem, seed, starts_RK)
    natural_K = problem.coordinates.to_natural(internal_K[None])[0]
    intervals: dict[str, tuple[float, float]] = {}
    method, replicates_KR = "none", None
    if profile:
        intervals = profile_parameters(problem, internal_K, points.run_P, level=INTERVAL_LEVEL)
        method = "profile"
    if bootstrap:
        replicates_KR = bootstrap_replicates(problem, internal_K, points.run_P, bootstrap, seed)
        percentiles = percentile_intervals(problem.coordinates, replicates_KR, INTERVAL_LEVEL)
        # A flat profile stands: resampling runs cannot show an end that the data do not have.
        intervals = percentiles | {name: intervals[name] for name in open_parameters(law, intervals)}
        method = "bootstrap over runs"
    not_identified = open_parameters(law, intervals)
    status, reason = _verdict(certificate, not_identified)
    return replace(
        empty,
        parameters={name: float(value) for name, value in zip(law.names, natural_K, strict=True)},
        value=float(problem.value(internal_K[None])[0]),
        status=status,
        reason=reason,
        not_identified=not_identified,
        intervals=intervals,
        interval_method=method,
        certificate=certificate,
        replicates=replicates_KR,
        seconds=time.perf_counter() - began,
    )


def refusal(table: Table, law: Law, objective: str | Objective | None = None) -> tuple[Status, str] | None:
    """Why `fit` would refuse this design whatever its losses are, as a status and a reason, or None. Raises InputError
    as `fit` does.
    """
    if law.steps is not None:
        return next((found for step in law.steps if (found := refusal(table, step)) is not None), None)
    law, aim, _, points, _ = _set_out(table, law, objective)
    fault = design_fault(law, points.columns, len(points.target_P))
    if fault is not None:
        return fault
    problem = Problem.of(law, points.columns, points.target_P, points.weights_P, aim)
    return rank_fault(problem, choose_starts(problem))


def _set_out(
    table: Table, law: Law, objective: str | Objective | None
) -> tuple[Law, Objective, float | None, Points, Table]:
    """What is fitted: the law with the columns of the table, the objective, the seed noise it knows, the points, and
    the rows they come from.
    """
    law = for_table(law, table.columns)
    noise = seed_noise(table, law.target)
    aim = parse_objective(objective or law.objective, noise)
    if law.rows is not None:
        table.require(*law.columns, law.target)
        table = table.take(law.rows(table.columns))
    return law, aim, noise, _points(table, law, aim), table


def fit_batch(
    law: Law, columns: Columns, target: Array, weights: Array, objective: str | Objective, starts_RK: Array
) -> tuple[Array, Array]:
    """Many replicates as one batch, each from its own start: natural parameters (R, K) and objective values (R,).
    `target` and `weights` are (P,) or (R, P); `starts_RK` are natural parameters.
    """
    problem = Problem.of(law, columns, target, weights, parse_objective(objective))
    found = problem.solve(problem.coordinates.to_internal(starts_RK), problem.deltas())
    value_R = problem.objective.value(problem.predict(found.internal_RK), np.atleast_2d(target), np.atleast_2d(weights))
    return problem.coordinates.to_natural(found.internal_RK), value_R


def global_optimum(problem: Problem, seed: int = 0, starts_RK: Array | None = None) -> tuple[Array, Certificate]:
    """The best of the starts after two restarts near it, in internal coordinates (K,), with its certificate."""
    kind, num_points = problem.objective.kind, np.shape(problem.target)[-1]
    rounding = num_points * (ROUNDING if kind == "lad" else ROUNDING**2)
    found = _from_starts(problem, choose_starts(problem) if starts_RK is None else starts_RK)
    independent_RK, decrement_R, value_R = found.internal_RK, found.decrement_R, problem.value(found.internal_RK)
    share = max(AGREEMENT[kind], INVISIBLE / max(num_points - problem.law.num_parameters, 1))
    if _agreeing(value_R, float(value_R.min()), share, rounding) < 2:
        more = _from_starts(problem, choose_starts(problem, 5 * KEPT)[KEPT:])
        independent_RK = np.concatenate([independent_RK, more.internal_RK])
        decrement_R = np.concatenate([decrement_R, more.decrement_R])
        value_R = np.concatenate([value_R, problem.value(more.internal_RK)])
    best_K = independent_RK[np.argmin(value_R)]
    if kind == "lad":
        best_K, best_value, decrement = sharpen(problem, best_K)
    else:
        nudge_2K = np.array([[0.0], [0.03]]) * np.random.default_rng(seed).standard_normal((2, len(best_K)))
        again = problem.solve(best_K + nudge_2K, problem.deltas()[-1:], max_iterations=400)
        every_RK = np.concatenate([independent_RK, again.internal_RK])
        every_R = np.concatenate([value_R, problem.value(again.internal_RK)])
        best = int(np.argmin(every_R))
        best_K, best_value = every_RK[best], float(every_R[best])
        # The solver's value of squares is half of theirs.
        decrement = float(np.concatenate([decrement_R, again.decrement_R])[best]) * (2.0 if kind == "mse" else 1.0)
    coordinates = problem.coordinates
    at_bound_K = (best_K <= coordinates.lower_K + AT_BOUND) | (best_K >= coordinates.upper_K - AT_BOUND)
    return best_K, Certificate(
        starts=len(value_R),
        starts_agreeing=_agreeing(value_R, best_value, share, rounding),
        newton_decrement=decrement / max(best_value, rounding),
        at_bound=tuple(name for name, bound in zip(problem.law.names, at_bound_K, strict=True) if bound),
    )


def _from_starts(problem: Problem, start_RK: Array) -> Solution:
    """Each start solved; in a large table first on a few of its points, and then once for all that met there."""
    few_points = thinned(problem)
    if few_points is problem or not len(start_RK):
        return problem.solve(start_RK, problem.deltas())
    few = few_points.solve(start_RK, problem.deltas())
    # The first of those that met stands for them.
    met_RR = (np.abs(few.internal_RK[:, None] - few.internal_RK) < MET).all(axis=2)
    first_R = np.argmax(met_RR, axis=1)
    meetings, place_R = np.unique(first_R, return_inverse=True)
    last = problem.deltas() if problem.objective.kind == "lad" else problem.deltas()[-1:]
    found = problem.solve(few.internal_RK[meetings], last)
    return Solution(
        found.internal_RK[place_R],
        found.value_R[place_R],
        found.decrement_R[place_R],
        few.iterations + found.iterations,
    )


def _agreeing(value_R: Array, best: float, share: float, rounding: float) -> int:
    return int(np.sum(value_R <= best * (1 + share) + rounding))


def _verdict(certificate: Certificate, not_identified: tuple[str, ...]) -> tuple[Status, str]:
    if certificate.starts_agreeing < 2 and certificate.starts > 1:
        return "not_converged", f"of {certificate.starts} independent starts only one reached this value"
    if certificate.newton_decrement > 1e-6:
        return "not_converged", f"the gradient is not small (relative decrement {certificate.newton_decrement:.1e})"
    held = [name for name in certificate.at_bound if name not in not_identified]
    if held:
        return "edge", f"{', '.join(held)} ended at a bound"
    if not_identified:
        return (
            "not_identified",
            f"the profile of {', '.join(not_identified)} is flat on one side: no number is known for it",
        )
    return "converged", ""


def _points(table: Table, law: Law, objective: Objective) -> Points:
    require_columns(law, table.columns)
    wanted = (*law.columns, law.target, *([objective.noise_column] if objective.noise_column else []))
    columns = {name: np.asarray(value, dtype=np.float64) for name, value in table.require(*wanted).items()}
    coupled = {part for _, _, text in law.couplings for part in text.replace("/", "*").split("*")}
    for name, values_P in columns.items():
        positive = name in coupled or name in SCALE_COLUMNS or (name == law.target and objective.log)
        bad_P = ~np.isfinite(values_P) | ((values_P <= 0) if positive else False)
        if bad_P.any():
            row = int(np.flatnonzero(bad_P)[0])
            raise InputError(
                f"row {row + 1}, column {name}: {values_P[row]:g} is not a {'positive ' if positive else ''}number; "
                "correct it or leave the row out with --where"
            )
    weights_P = objective.weights(columns, len(table))
    return Points({name: columns[name] for name in law.columns}, columns[law.target], weights_P, np.asarray(table.run))
