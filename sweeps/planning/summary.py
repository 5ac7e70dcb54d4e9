"""What a plan comes to: by size, by target and in total, on this machine or on named GPUs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from windtunnel.sweeps.planning.budget import exceeded
from windtunnel.sweeps.planning.cost import Pace, Shape, shape_of, shapes_of, step_flops
from windtunnel.sweeps.planning.extrapolation import Fitted, TargetPoint, fitted_runs, target_points
from windtunnel.sweeps.planning.simulation import Timeline, simulate
from windtunnel.sweeps.planning.warnings import notes_of
from windtunnel.sweeps.study.plan import Plan, PlannedRun, Role
from windtunnel.train.config.run_id import scientific

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Machine:
    """What trains: `words` for people, so many runs at a time, and the pace of each shape ({}: not known)."""

    words: str
    workers: int
    paces: Mapping[Shape, Pace]
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class SizeRow:
    """The runs of one shape in one role."""

    role: Role
    parameters: int
    non_embedding: int
    non_embedding_and_head: int
    width: int
    depth: int
    horizons: tuple[int, ...]  # tokens
    least_seeds: int  # of a cell, which is runs equal but for their seed
    most_seeds: int
    runs: int
    tokens: int  # trained, each shared step once
    flops: float  # 6 N D of all parameters and those tokens
    hours: float | None  # of one worker


@dataclass(frozen=True)
class Totals:
    runs: int
    trunks: int
    tokens: int
    separate_tokens: int
    flops: float
    separate_flops: float
    worker_hours: float | None
    hours: float | None
    longest_path_hours: float | None
    peak_bytes: int
    left_bytes: int

    @property
    def saving(self) -> float:
        """Share of the FLOPs of separate runs that branching saves."""
        return 1 - self.flops / self.separate_flops


@dataclass(frozen=True)
class Outlook:
    plan: Plan
    machine: Machine
    fitted: Fitted
    targets: list[TargetPoint]
    timeline: Timeline

    @cached_property
    def sizes(self) -> list[SizeRow]:
        groups: dict[tuple[Role, Any], list[PlannedRun]] = {}
        for run in self.plan.runs:
            groups.setdefault((run.role, shape_of(run.config).model), []).append(run)
        rows = [self._row(role, runs) for (role, _), runs in groups.items()]
        return sorted(rows, key=lambda row: (row.role == "target", row.parameters))

    def _row(self, role: Role, runs: Sequence[PlannedRun]) -> SizeRow:
        first, count = runs[0].config.model, runs[0].parameters
        seeds = seeds_by_cell(runs).values()
        return SizeRow(
            role=role,
            parameters=count.total,
            non_embedding=count.non_embedding,
            non_embedding_and_head=count.non_embedding + first.vocabulary_size * first.width,
            width=first.width,
            depth=first.depth,
            horizons=tuple(sorted({run.tokens for run in runs})),
            least_seeds=min(seeds),
            most_seeds=max(seeds),
            runs=len(runs),
            tokens=sum(run.new_tokens for run in runs),
            flops=sum(new_flops(run) for run in runs),
            hours=self.hours(runs),
        )

    def hours(self, runs: Iterable[PlannedRun]) -> float | None:
        """Of one worker, one run after another."""
        return self._known(sum(self.timeline.seconds_by_id[run.run_id] for run in runs))

    def _known(self, seconds: float) -> float | None:
        return seconds / SECONDS_PER_HOUR if self.machine.paces else None

    @cached_property
    def totals(self) -> Totals:
        runs, timeline = self.plan.runs, self.timeline
        return Totals(
            runs=len(runs),
            trunks=sum(run.parent is None for run in runs),
            tokens=sum(run.new_tokens for run in runs),
            separate_tokens=sum(run.tokens for run in runs),
            flops=sum(new_flops(run) for run in runs),
            separate_flops=sum(run.flops for run in runs),
            worker_hours=self._known(timeline.work),
            hours=self._known(timeline.seconds),
            longest_path_hours=self._known(timeline.longest_path),
            peak_bytes=timeline.peak_bytes,
            left_bytes=timeline.left_bytes,
        )

    @cached_property
    def exceeded(self) -> list[str]:
        """The lines of `budget` that this goes beyond, in words. Workers wait for room on disk, so what counts is the
        room that one of them needs.
        """
        totals, budget = self.totals, self.plan.file.study.budget
        disk_bytes = totals.peak_bytes
        if budget.disk_gigabytes is not None and disk_bytes > budget.disk_gigabytes * 1e9:
            disk_bytes = min(disk_bytes, simulate(self.plan, _paces(self.plan, self.machine), 1).peak_bytes)
        return exceeded(budget, totals.tokens, totals.flops, totals.hours, disk_bytes)

    @cached_property
    def notes(self) -> list[str]:
        notes = []
        room = self.plan.file.study.budget.disk_gigabytes
        if room is not None and self.totals.peak_bytes > room * 1e9:
            notes.append("workers will wait for room on disk, to stay within budget.disk_gigabytes")
        if not self.plan.prepared:
            notes.append(
                "the data are not prepared: run ids will be others, and whether they suffice is not checked "
                "(windtunnel data prepare)"
            )
        return [*notes, *notes_of(self.plan, self.fitted, self.targets)]

    def document(self) -> dict[str, Any]:
        """Everything, for programs."""
        sources = sorted({pace.source for pace in self.machine.paces.values()})
        return {
            "study": self.plan.file.name,
            "title": self.plan.file.study.title,
            "prepared": self.plan.prepared,
            "machine": {"name": self.machine.words, "workers": self.machine.workers, "paces": sources},
            "assumptions": list(self.machine.assumptions),
            "sizes": [asdict(row) for row in self.sizes],
            "targets": [
                {
                    "runs": [run.run_id for run in point.runs],
                    "at": dict(point.at),
                    "beyond": dict(point.beyond),
                    "tokens_per_parameter": point.tokens_per_parameter,
                }
                for point in self.targets
            ],
            "fitted_runs": len(self.fitted.runs),
            "totals": {**asdict(self.totals), "saving": self.totals.saving},
            "notes": self.notes,
            "exceeded": self.exceeded,
            "runs": [self._run(run) for run in self.plan.runs],
        }

    def _run(self, run: PlannedRun) -> dict[str, Any]:
        return {
            "run": run.run_id,
            "role": run.role,
            "parent": run.parent,
            "parent_step": run.parent_step if run.parent else None,
            "N": run.parameters.total,
            "tokens": run.tokens,
            "new_tokens": run.new_tokens,
            "flops": run.flops,
            "new_flops": new_flops(run),
            "seed": run.config.seed,
            "rate": run.config.optimizer.rate,
            "hours": self.hours([run]),
        }


def look_ahead(plan: Plan, machine: Machine) -> Outlook:
    """Raises InputError for an `analysis` that cannot be read."""
    fitted = fitted_runs(plan)
    timeline = simulate(plan, _paces(plan, machine), machine.workers)
    return Outlook(plan, machine, fitted, target_points(plan, fitted), timeline)


def _paces(plan: Plan, machine: Machine) -> Mapping[Shape, Pace]:
    """Where none is known, in proportion to FLOPs: the order of events and so the disk can be told all the same."""
    if machine.paces:
        return machine.paces
    steps = {shape: (config, step_flops(config)) for shape, config in shapes_of(plan.runs).items()}
    return {
        shape: Pace(0.0, flops, flops / 3 / config.tokens_per_step, 0.0, "extrapolated")
        for shape, (config, flops) in steps.items()
    }


def new_flops(run: PlannedRun) -> float:
    return 6.0 * run.parameters.total * run.new_tokens


def seeds_by_cell(runs: Iterable[PlannedRun]) -> dict[str, int]:
    """How many seeds each cell has."""
    cells: dict[str, int] = {}
    for run in runs:
        key = json.dumps(scientific(replace(run.config, seed=0)))
        cells[key] = cells.get(key, 0) + 1
    return cells
