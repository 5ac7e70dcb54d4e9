"""How far each target lies beyond the runs that will be fitted, in the columns that the study's laws will read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.expressions import choose_rows, compute_column
from windtunnel.analysis.tables.selection import parse_columns
from windtunnel.sweeps.study.plan import Plan, PlannedRun, columns_of
from windtunnel.train.errors import InputError

AXES = ("N", "D", "C")
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Fitted:
    """The family's runs that `analysis.where` keeps, and the largest N, D, C among them. `undecided`: why the
    condition says nothing before training, where it does not; then all are taken.
    """

    runs: tuple[PlannedRun, ...]
    largest: Mapping[str, float]
    undecided: str | None


@dataclass(frozen=True)
class TargetPoint:
    """Runs held out at one size and horizon. `beyond`: times the largest fitted N, D and C."""

    runs: tuple[PlannedRun, ...]
    at: Mapping[str, float]
    beyond: Mapping[str, float]

    @property
    def tokens_per_parameter(self) -> float:
        return self.runs[0].tokens / self.runs[0].parameters.total


def fitted_runs(plan: Plan) -> Fitted:
    """Raises InputError naming the line of an `analysis` that cannot be read."""
    family, analysis = plan.of("family"), plan.file.study.analysis
    columns, undecided = _columns(plan, family), None
    kept = np.ones(len(family), dtype=bool)
    if analysis is not None and analysis.where is not None:
        try:
            kept = choose_rows(analysis.where, columns, len(family))
        except InputError as error:
            if "no column" not in str(error):
                raise plan.file.fault(("analysis", "where"), f"where: {error}") from None
            undecided = str(error).split(";")[0]
        if not kept.any():
            raise plan.file.fault(("analysis", "where"), f"where: {analysis.where!r} leaves no run to fit")
    largest = {name: float(np.max(columns[name][kept])) for name in AXES}
    return Fitted(tuple(run for run, keep in zip(family, kept, strict=True) if keep), largest, undecided)


def target_points(plan: Plan, fitted: Fitted) -> list[TargetPoint]:
    targets = plan.of("target")
    if not targets:
        return []
    columns = _columns(plan, targets)
    points: dict[tuple[float, ...], list[int]] = {}
    for place in range(len(targets)):
        points.setdefault(tuple(float(columns[name][place]) for name in AXES), []).append(place)
    return [
        TargetPoint(
            tuple(targets[place] for place in places),
            dict(zip(AXES, at, strict=True)),
            {name: value / fitted.largest[name] for name, value in zip(AXES, at, strict=True)},
        )
        for at, places in sorted(points.items())
    ]


def _columns(plan: Plan, runs: Sequence[PlannedRun]) -> Columns:
    """Named as the laws will: `analysis.columns` may say that N is another count."""
    columns: dict[str, NDArray[Any]] = dict(columns_of([run.config for run in runs]))
    analysis = plan.file.study.analysis
    try:
        mapping = parse_columns(analysis.columns if analysis else None)
        chosen = {name: compute_column(text, columns, len(runs)) for name, text in mapping.items() if name in AXES}
    except InputError as error:
        raise plan.file.fault(("analysis", "columns"), f"columns: {error}") from None
    return {**columns, **chosen}
