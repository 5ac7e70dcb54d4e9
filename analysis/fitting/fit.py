"""Fits a law to a table: starts, the global optimum, a certificate, intervals, or a typed refusal.

Legend: P points, R replicates (or starts), K parameters.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from windtunnel.analysis.fitting.bootstrap import bootstrap_replicates, percentile_intervals
from windtunnel.analysis.fitting.certificate import Status, verdict
from windtunnel.analysis.fitting.multistart import global_optimum
from windtunnel.analysis.fitting.profile import open_parameters, profile_parameters
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL, Fit, Points, TwoStepFit
from windtunnel.analysis.laws.law import Array, Columns, Law, require_columns
from windtunnel.analysis.laws.mixture import resolve_columns
from windtunnel.analysis.solver.identifiability import SCALE_COLUMNS, design_problem, rank_problem
from windtunnel.analysis.solver.objective import Objective, parse_objective
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import choose_starts
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError


def fit(
    table: Table,
    law: Law,
    objective: str | Objective | None = None,
    *,
    bootstrap: int = 0,
    seed: int = 0,
    profile: bool = True,
    allow_few_points: bool = False,
) -> Fit:
    """The fit of `law` to `table`.

    objective: default: the law's own. bootstrap: number of bootstrap replicates over runs; with any, intervals are
    those of the bootstrap. profile: profile likelihood intervals. allow_few_points: fit as many points as parameters.

    A design that cannot identify the law gives a Fit without parameters whose status and reason say why. Raises
    InputError where a column is missing or a value cannot be fitted.
    """
    began = time.perf_counter()
    if law.steps is not None:
        if objective is not None:
            raise InputError(f"law {law.name} is two steps, each with its own objective: leave out objective=...")
        return fit_two_step(
            table, law, bootstrap=bootstrap, seed=seed, profile=profile, allow_few_points=allow_few_points
        )
    prepared = _prepare_fit(table, law, objective)
    refused = design_problem(prepared.law, prepared.points.columns, len(prepared.points.target_P), allow_few_points)
    if refused is not None:
        return replace(prepared.unfitted(*refused), seconds=time.perf_counter() - began)
    problem = prepared.problem()
    starts_RK = choose_starts(problem)
    refused = rank_problem(problem, starts_RK)
    if refused is not None:
        return replace(prepared.unfitted(*refused), seconds=time.perf_counter() - began)
    law, run_P = prepared.law, prepared.points.run_P
    internal_K, certificate = global_optimum(problem, seed, starts_RK)
    natural_K = problem.coordinates.to_natural(internal_K[None])[0]
    intervals: dict[str, tuple[float, float]] = {}
    method, replicates_KR = "none", None
    if profile:
        intervals = profile_parameters(problem, internal_K, run_P, level=INTERVAL_LEVEL)
        method = "profile"
    if bootstrap:
        replicates_KR = bootstrap_replicates(problem, internal_K, run_P, bootstrap, seed)
        percentiles = percentile_intervals(problem.coordinates, replicates_KR, INTERVAL_LEVEL)
        # An unbounded profile interval is kept: resampled runs cannot bound what the data do not bound.
        intervals = percentiles | {name: intervals[name] for name in open_parameters(law, intervals)}
        method = "bootstrap over runs"
    not_identified = open_parameters(law, intervals)
    edges = [name for name in certificate.at_bound if name not in not_identified]
    status, reason = verdict(certificate, edges, _not_identified_reason(not_identified))
    return replace(
        prepared.unfitted(status, reason),
        parameters={name: float(value) for name, value in zip(law.names, natural_K, strict=True)},
        value=float(problem.value(internal_K[None])[0]),
        not_identified=not_identified,
        intervals=intervals,
        interval_method=method,
        certificate=certificate,
        replicates=replicates_KR,
        seconds=time.perf_counter() - began,
    )


def fit_two_step(
    table: Table,
    law: Law,
    *,
    bootstrap: int = 0,
    seed: int = 0,
    profile: bool = True,
    allow_few_points: bool = False,
    first_table: Table | None = None,
) -> TwoStepFit:
    """The fit of a law in two steps, each step fitted to its own column with its own objective. first_table: the table
    of the first step, where it leaves out rows that the second has. Raises InputError as `fit` does.
    """
    if law.steps is None:
        raise ValueError(f"law {law.name} has no steps")
    first, second = (
        fit(source, step, bootstrap=bootstrap, seed=seed, profile=profile, allow_few_points=allow_few_points)
        for source, step in zip((first_table or table, table), law.steps, strict=True)
    )
    return TwoStepFit.from_steps(law, first, second, table.digest)


def refusal_reason(table: Table, law: Law, objective: str | Objective | None = None) -> tuple[Status, str] | None:
    """Why `fit` would refuse this design whatever its losses are, as a status and a reason, or None. Raises InputError
    as `fit` does.
    """
    if law.steps is not None:
        reasons = (refusal_reason(table, step) for step in law.steps)
        return next((reason for reason in reasons if reason is not None), None)
    prepared = _prepare_fit(table, law, objective)
    reason = design_problem(prepared.law, prepared.points.columns, len(prepared.points.target_P))
    if reason is not None:
        return reason
    problem = prepared.problem()
    return rank_problem(problem, choose_starts(problem))


def fit_batch(
    law: Law, columns: Columns, target: Array, weights: Array, objective: str | Objective, starts_RK: Array
) -> tuple[Array, Array]:
    """Many replicates as one batch, each from its own start: natural parameters (R, K) and objective values (R,).
    `target` and `weights` are (P,) or (R, P); `starts_RK` are natural parameters.
    """
    problem = Problem.from_points(law, columns, target, weights, parse_objective(objective))
    solution = problem.solve(problem.coordinates.to_internal(starts_RK), problem.deltas())
    prediction_RP = problem.predict(solution.internal_RK)
    value_R = problem.objective.value(prediction_RP, np.atleast_2d(target), np.atleast_2d(weights))
    return problem.coordinates.to_natural(solution.internal_RK), value_R


@dataclass(frozen=True)
class _PreparedFit:
    """The law with the columns of the table, the objective, the seed noise, the points, and the rows they come from."""

    law: Law
    objective: Objective
    seed_noise: float | None
    points: Points
    table: Table

    def problem(self) -> Problem:
        points = self.points
        return Problem.from_points(self.law, points.columns, points.target_P, points.weights_P, self.objective)

    def unfitted(self, status: Status, reason: str) -> Fit:
        """The fit without parameters."""
        return Fit(
            law=self.law,
            objective=self.objective.name,
            parameters={},
            value=math.nan,
            status=status,
            reason=reason,
            not_identified=(),
            intervals={},
            interval_method="none",
            num_points=len(self.points.target_P),
            seconds=0.0,
            table_digest=self.table.digest,
            source=self.table.source,
            column_mapping=self.table.column_mapping,
            seed_noise=self.seed_noise,
            certificate=None,
            points=self.points,
        )


def _not_identified_reason(names: Sequence[str]) -> str:
    if len(names) > 1:
        return f"{', '.join(names)} are not identified: their profile likelihoods are unbounded on one side"
    return f"{names[0]} is not identified: its profile likelihood is unbounded on one side" if names else ""


def _prepare_fit(table: Table, law: Law, objective: str | Objective | None) -> _PreparedFit:
    """Raises InputError where a column is missing or a value cannot be fitted."""
    law = resolve_columns(law, table.columns)
    noise = seed_noise(table, law.target)
    parsed = parse_objective(objective or law.objective, noise)
    if law.rows is not None:
        table.require(*law.columns, law.target)
        table = table.take(law.rows(table.columns))
    return _PreparedFit(law, parsed, noise, _points(table, law, parsed), table)


def _points(table: Table, law: Law, objective: Objective) -> Points:
    require_columns(law, table.columns)
    names = (*law.columns, law.target, *([objective.noise_column] if objective.noise_column else []))
    columns = {name: np.asarray(value, dtype=np.float64) for name, value in table.require(*names).items()}
    coupled = {part for _, _, text in law.couplings for part in text.replace("/", "*").split("*")}
    for name, values_P in columns.items():
        positive = name in coupled or name in SCALE_COLUMNS or (name == law.target and objective.log)
        bad_P = ~np.isfinite(values_P) | ((values_P <= 0) if positive else False)
        if bad_P.any():
            row = int(np.flatnonzero(bad_P)[0])
            raise InputError(
                f"row {row + 1}, column {name}: {values_P[row]:g} is not a {'positive ' if positive else ''}number; "
                "correct it or leave the row out with where=..."
            )
    weights_P = objective.weights(columns, len(table))
    return Points({name: columns[name] for name in law.columns}, columns[law.target], weights_P, np.asarray(table.run))
