"""Sums over the runs of a plan: by size, and in total."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from windtunnel.sweeps.planning.cost import step_shape
from windtunnel.sweeps.planning.simulation import Timeline
from windtunnel.sweeps.study.plan import Plan, PlannedRun, Role
from windtunnel.train.config.run_id import scientific_part

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class SizeRow:
    """The runs of one model shape in one role."""

    role: Role
    parameters: int
    non_embedding: int
    non_embedding_and_head: int
    width: int
    depth: int
    horizons: tuple[int, ...]  # tokens
    least_seeds: int  # of a grid point: runs that are equal except for their seed
    most_seeds: int
    runs: int
    tokens: int  # trained, each shared step once
    flops: float  # 6 N D of all parameters and these tokens
    hours: float | None  # of one worker


@dataclass(frozen=True)
class Totals:
    """Sums over a plan. Hours are None where timings are unknown."""

    runs: int
    trunks: int
    tokens: int  # trained, each shared step once
    separate_tokens: int  # without shared steps
    flops: float
    separate_flops: float
    worker_hours: float | None
    hours: float | None
    longest_path_hours: float | None
    peak_bytes: int
    left_bytes: int

    @property
    def saving(self) -> float:
        """The share of the FLOPs of separate runs that shared steps save."""
        return 1 - self.flops / self.separate_flops


def size_rows(plan: Plan, timeline: Timeline, *, timed: bool) -> list[SizeRow]:
    """The family by size, then the targets by size. `timed`: whether the timeline is in seconds."""
    groups: dict[tuple[Role, Any], list[PlannedRun]] = {}
    for run in plan.runs:
        groups.setdefault((run.role, step_shape(run.config).model), []).append(run)
    rows = [_size_row(role, runs, hours_of(runs, timeline) if timed else None) for (role, _), runs in groups.items()]
    return sorted(rows, key=lambda row: (row.role == "target", row.parameters))


def _size_row(role: Role, runs: Sequence[PlannedRun], hours: float | None) -> SizeRow:
    model, count = runs[0].config.model, runs[0].parameters
    seeds = _count_seeds(runs)
    return SizeRow(
        role=role,
        parameters=count.total,
        non_embedding=count.non_embedding,
        non_embedding_and_head=count.non_embedding + model.vocabulary_size * model.width,
        width=model.width,
        depth=model.depth,
        horizons=tuple(sorted({run.tokens for run in runs})),
        least_seeds=min(seeds),
        most_seeds=max(seeds),
        runs=len(runs),
        tokens=sum(run.new_tokens for run in runs),
        flops=sum(run.new_flops for run in runs),
        hours=hours,
    )


def plan_totals(plan: Plan, timeline: Timeline, *, timed: bool) -> Totals:
    def hours(seconds: float) -> float | None:
        return seconds / SECONDS_PER_HOUR if timed else None

    return Totals(
        runs=len(plan.runs),
        trunks=sum(run.parent is None for run in plan.runs),
        tokens=sum(run.new_tokens for run in plan.runs),
        separate_tokens=sum(run.tokens for run in plan.runs),
        flops=sum(run.new_flops for run in plan.runs),
        separate_flops=sum(run.flops for run in plan.runs),
        worker_hours=hours(timeline.work),
        hours=hours(timeline.seconds),
        longest_path_hours=hours(timeline.longest_path),
        peak_bytes=timeline.peak_bytes,
        left_bytes=timeline.left_bytes,
    )


def hours_of(runs: Iterable[PlannedRun], timeline: Timeline) -> float:
    """Hours of one worker that trains these runs one after another."""
    return sum(timeline.seconds_by_id[run.run_id] for run in runs) / SECONDS_PER_HOUR


def _count_seeds(runs: Iterable[PlannedRun]) -> list[int]:
    """The number of seeds of each grid point."""
    counts: dict[str, int] = {}
    for run in runs:
        key = json.dumps(scientific_part(replace(run.config, seed=0)))
        counts[key] = counts.get(key, 0) + 1
    return list(counts.values())
