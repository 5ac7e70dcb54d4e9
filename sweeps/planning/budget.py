"""Checks a plan against the budget of its study."""

from pathlib import Path

from windtunnel.sweeps.planning.cost import step_shapes
from windtunnel.sweeps.planning.simulation import simulate
from windtunnel.sweeps.planning.throughput import local_timings
from windtunnel.sweeps.study.plan import Plan
from windtunnel.sweeps.study.schema import Budget
from windtunnel.train.records import find_runs, is_final

SECONDS_PER_HOUR = 3600.0


def check_budget(plan: Plan, runs_directory: Path, workers: int | None) -> None:
    """Raises InputError where the plan, with its targets, needs more tokens or FLOPs than its budget. Shared steps
    count once. A plan whose runs all have results passes.

    Hours are those of `workers` on this machine, from timings measured earlier; nothing is measured here. They are
    enforced where timings are known and no run has a result: a later estimate must not stop a study half-way, because
    its file may not change once it is sealed. `workers` is None for SLURM jobs, whose wall-clock hours depend on the
    queue and are not enforced. Workers enforce the disk budget (`windtunnel.sweeps.execution.disk_budget`).
    """
    budget = plan.file.study.budget
    recorded = {folder.name for folder in find_runs(runs_directory)}
    num_final = sum(run.run_id in recorded and is_final(run.folder) for run in plan.runs)
    if num_final == len(plan.runs):
        return
    hours = None
    if budget.hours is not None and workers is not None and not num_final:
        timings = local_timings(step_shapes(plan.runs), runs_directory, measure=False)
        hours = simulate(plan, timings, workers).seconds / SECONDS_PER_HOUR if timings else None
    tokens = sum(run.new_tokens for run in plan.runs)
    flops = sum(run.new_flops for run in plan.runs)
    exceeded = exceeded_limits(budget, tokens, flops, hours, disk_bytes=0)
    if exceeded:
        raise plan.file.error_at(
            ("budget",), f"beyond the budget: {'; '.join(exceeded)}: nothing is trained; raise it or plan less"
        )


def exceeded_limits(budget: Budget, tokens: int, flops: float, hours: float | None, disk_bytes: int) -> list[str]:
    """A description of each limit that is exceeded. Unknown hours (None) exceed none."""
    needs = {"tokens": float(tokens), "flops": flops, "hours": hours, "disk_gigabytes": disk_bytes / 1e9}
    return [
        f"{name} {needed:.4g} of {float(limit):.4g}"
        for name, needed in needs.items()
        if (limit := getattr(budget, name)) is not None and needed is not None and needed > limit
    ]


def slurm_notes(plan: Plan) -> list[str]:
    """A note for each limit of the budget that is not enforced for SLURM jobs."""
    budget = plan.file.study.budget
    names = [name for name in ("hours", "disk_gigabytes") if getattr(budget, name) is not None]
    return [f"note: budget.{name} is enforced for workers of one machine, not for SLURM jobs" for name in names]
