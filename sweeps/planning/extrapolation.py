"""How far each target lies beyond the runs that will be fitted, in the columns that the laws of the study read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.expressions import compute_column, evaluate_condition
from windtunnel.analysis.tables.selection import parse_columns
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.sweeps.study.run_columns import planned_columns
from windtunnel.train.errors import InputError

AXES = ("N", "D", "C")
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FittedRuns:
    """The family runs that `analysis.where` keeps. `undecided` is the reason where the condition cannot be evaluated
    before training; then all runs are taken.
    """

    runs: tuple[PlannedRun, ...]
    largest: Mapping[str, float]  # N, D and C
    undecided: str | None


@dataclass(frozen=True)
class TargetPoint:
    """The target runs of one size and horizon."""

    runs: tuple[PlannedRun, ...]
    at: Mapping[str, float]  # N, D and C
    extrapolation: Mapping[str, float]  # ratio to the largest fitted N, D and C

    @property
    def tokens_per_parameter(self) -> float:
        return self.runs[0].tokens / self.runs[0].parameters.total


def fitted_runs(plan: Plan) -> FittedRuns:
    """The family runs that will be fitted. Raises InputError with the line of an `analysis` that cannot be read."""
    family, analysis = plan.family, plan.file.study.analysis
    columns, undecided = _columns(plan, family), None
    keep = np.ones(len(family), dtype=bool)
    if analysis is not None and analysis.where is not None:
        try:
            keep = evaluate_condition(analysis.where, columns, len(family))
        except InputError as error:
            if "no column" not in str(error):
                raise plan.file.error_at(("analysis", "where"), f"where: {error}") from None
            undecided = str(error).split(";")[0]
        if not keep.any():
            raise plan.file.error_at(("analysis", "where"), f"where: {analysis.where!r} leaves no run to fit")
    largest = {name: float(np.max(columns[name][keep])) for name in AXES}
    return FittedRuns(tuple(compress(family, keep)), largest, undecided)


def target_points(plan: Plan, fitted: FittedRuns) -> list[TargetPoint]:
    """The targets of a plan, by N, D and C."""
    targets = plan.targets
    if not targets:
        return []
    columns = _columns(plan, targets)
    points: dict[tuple[float, ...], list[int]] = {}
    for index in range(len(targets)):
        points.setdefault(tuple(float(columns[name][index]) for name in AXES), []).append(index)
    return [
        TargetPoint(
            tuple(targets[index] for index in indices),
            dict(zip(AXES, at, strict=True)),
            {name: value / fitted.largest[name] for name, value in zip(AXES, at, strict=True)},
        )
        for at, indices in sorted(points.items())
    ]


def _columns(plan: Plan, runs: Sequence[PlannedRun]) -> Columns:
    """The columns as the laws read them: `analysis.columns` may choose another count for N."""
    columns: dict[str, NDArray[Any]] = dict(planned_columns([run.config for run in runs]))
    analysis = plan.file.study.analysis
    with plan.file.located(("analysis", "columns"), "columns: "):
        mapping = parse_columns(analysis.columns if analysis else None)
        axes = {name: compute_column(text, columns, len(runs)) for name, text in mapping.items() if name in AXES}
    return {**columns, **axes}
