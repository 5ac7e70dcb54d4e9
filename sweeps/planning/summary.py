"""A plan with its cost, its extrapolation and warnings."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from windtunnel.sweeps.planning.budget import exceeded_limits
from windtunnel.sweeps.planning.cost import StepShape, Timing, step_flops, step_shapes
from windtunnel.sweeps.planning.extrapolation import FittedRuns, TargetPoint, fitted_runs, target_points
from windtunnel.sweeps.planning.gpu_throughput import parse_gpu
from windtunnel.sweeps.planning.machine import Machine, gpu_machine, local_machine
from windtunnel.sweeps.planning.plan_text import run_table, size_table, target_line, total_lines
from windtunnel.sweeps.planning.simulation import Timeline, simulate
from windtunnel.sweeps.planning.totals import SizeRow, Totals, hours_of, plan_totals, size_rows
from windtunnel.sweeps.planning.warnings import plan_warnings
from windtunnel.sweeps.study.load import StudyFile
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan

if TYPE_CHECKING:
    import pandas as pd  # for start-up

REPR_WIDTH = 120


@dataclass(frozen=True, repr=False)
class PlanSummary:
    """A plan on a machine. Its `repr` is the table that `windtunnel sweep plan` prints."""

    plan: Plan
    machine: Machine
    fitted: FittedRuns
    targets: list[TargetPoint]
    timeline: Timeline

    @cached_property
    def sizes(self) -> list[SizeRow]:
        return size_rows(self.plan, self.timeline, timed=bool(self.machine.timings))

    @cached_property
    def totals(self) -> Totals:
        return plan_totals(self.plan, self.timeline, timed=bool(self.machine.timings))

    @cached_property
    def exceeded(self) -> list[str]:
        """A description of each limit of the budget that the plan exceeds. Workers wait for disk space, so the plan
        exceeds the disk limit only where one worker alone would.
        """
        totals, budget = self.totals, self.plan.file.study.budget
        disk_bytes = totals.peak_bytes
        if budget.disk_gigabytes is not None and disk_bytes > budget.disk_gigabytes * 1e9:
            disk_bytes = min(disk_bytes, simulate(self.plan, _timings(self.plan, self.machine), 1).peak_bytes)
        return exceeded_limits(budget, totals.tokens, totals.flops, totals.hours, disk_bytes)

    @cached_property
    def notes(self) -> list[str]:
        """Warnings about the plan."""
        notes = []
        limit = self.plan.file.study.budget.disk_gigabytes
        if limit is not None and self.totals.peak_bytes > limit * 1e9:
            notes.append("workers will wait for disk space, to stay within budget.disk_gigabytes")
        if not self.plan.prepared:
            notes.append(
                "the data are not prepared: run ids will change, and whether the data suffice is not checked "
                "(windtunnel data prepare)"
            )
        return [*notes, *plan_warnings(self.plan, self.fitted, self.targets)]

    def seconds(self, run: PlannedRun) -> float | None:
        """Seconds that a run takes from the checkpoint that it starts from; None where timings are unknown."""
        return self.timeline.seconds_by_id[run.run_id] if self.machine.timings else None

    def hours(self, run: PlannedRun) -> float | None:
        return hours_of([run], self.timeline) if self.machine.timings else None

    def print(self, console: Console, *, every_run: bool = False) -> None:
        """Print the plan for people."""
        console.print(f"{self.plan.file.name}: {self.plan.file.study.title}", markup=False)
        console.print(size_table(self.sizes))
        if every_run:
            console.print(run_table(self.plan.runs, self.hours))
        for line in (*total_lines(self.totals, self.machine.description), *map(target_line, self.targets)):
            console.print(line, markup=False, soft_wrap=True)
        for note in (*self.machine.assumptions, *self.notes):
            console.print(f"note: {note}", markup=False, soft_wrap=True)

    def __repr__(self) -> str:
        text = StringIO()
        self.print(Console(file=text, width=REPR_WIDTH, highlight=False))
        return text.getvalue().rstrip()

    def to_pandas(self) -> "pd.DataFrame":
        """One row per run: run, part (family or target), parent, parameters, tokens, new_tokens, flops, seed, rate, and
        seconds (NaN where unknown). `new_tokens` and `seconds` leave out the steps that the parent trains.
        """
        import pandas as pd  # for start-up

        rows = [
            {
                "run": run.run_id,
                "part": run.role,
                "parent": run.parent,
                "parameters": run.parameters.total,
                "tokens": run.tokens,
                "new_tokens": run.new_tokens,
                "flops": run.flops,
                "seed": run.config.seed,
                "rate": run.config.optimizer.rate,
                "seconds": float("nan") if (seconds := self.seconds(run)) is None else seconds,
            }
            for run in self.plan.runs
        ]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        sources = sorted({timing.source for timing in self.machine.timings.values()})
        return {
            "study": self.plan.file.name,
            "title": self.plan.file.study.title,
            "prepared": self.plan.prepared,
            "machine": {"name": self.machine.description, "workers": self.machine.workers, "paces": sources},
            "assumptions": list(self.machine.assumptions),
            "sizes": [asdict(row) for row in self.sizes],
            "targets": [
                {
                    "runs": [run.run_id for run in point.runs],
                    "at": dict(point.at),
                    "beyond": dict(point.extrapolation),
                    "tokens_per_parameter": point.tokens_per_parameter,
                }
                for point in self.targets
            ],
            "fitted_runs": len(self.fitted.runs),
            "totals": {**asdict(self.totals), "saving": self.totals.saving},
            "notes": self.notes,
            "exceeded": self.exceeded,
            "runs": [self._run_to_dict(run) for run in self.plan.runs],
        }

    def _run_to_dict(self, run: PlannedRun) -> dict[str, Any]:
        return {
            "run": run.run_id,
            "role": run.role,
            "parent": run.parent,
            "parent_step": run.parent_step if run.parent else None,
            "N": run.parameters.total,
            "tokens": run.tokens,
            "new_tokens": run.new_tokens,
            "flops": run.flops,
            "new_flops": run.new_flops,
            "seed": run.config.seed,
            "rate": run.config.optimizer.rate,
            "hours": self.hours(run),
        }


def summarize_plan(plan: Plan, machine: Machine) -> PlanSummary:
    """The plan on a machine. Raises InputError for an `analysis` that cannot be read."""
    fitted = fitted_runs(plan)
    timeline = simulate(plan, _timings(plan, machine), machine.workers)
    return PlanSummary(plan, machine, fitted, target_points(plan, fitted), timeline)


def plan_study(
    study: StudyFile,
    runs_directory: str | Path = "runs",
    data_directory: str | Path = "data",
    *,
    gpu: str | None = None,
    workers: int | None = None,
    measure: bool = False,
    prepare: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> PlanSummary:
    """Plan a study: every run with its cost, before any is trained.

    Arguments:
        study: from `load_study`.
        gpu: cost the plan on named GPUs, such as "h100:4"; None: on this machine.
        workers: runs at one time on this machine; None: one per GPU or processor.
        measure: time a few steps of each shape here, about a second each. Otherwise seconds are known only for shapes
            that were measured before.
        prepare: prepare the data that are missing. Until then run ids are provisional.

    Raises InputError with the line of the study file for a run that cannot be trained.
    """
    runs_directory, data_directory = Path(runs_directory), Path(data_directory)
    plan = make_plan(study, runs_directory, data_directory, prepare=prepare, progress=progress)
    if gpu is not None:
        return summarize_plan(plan, gpu_machine(plan, parse_gpu(gpu)))
    machine = local_machine(plan, runs_directory, workers=workers, measure=measure, progress=progress)
    return summarize_plan(plan, machine)


def _timings(plan: Plan, machine: Machine) -> Mapping[StepShape, Timing]:
    """Where none are known, timings in proportion to FLOPs: they give the order of events, and so the disk usage."""
    if machine.timings:
        return machine.timings
    steps = {shape: (config, step_flops(config)) for shape, config in step_shapes(plan.runs).items()}
    return {
        shape: Timing(0.0, flops, flops / 3 / config.tokens_per_step, 0.0, "extrapolated")
        for shape, (config, flops) in steps.items()
    }
