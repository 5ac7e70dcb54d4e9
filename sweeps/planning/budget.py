"""A plan that needs more than its study's budget is not begun."""

from pathlib import Path

from windtunnel.sweeps.execution.job import is_final
from windtunnel.sweeps.planning.cost import shapes_of
from windtunnel.sweeps.planning.simulation import simulate
from windtunnel.sweeps.planning.throughput import paces_here
from windtunnel.sweeps.study.plan import Plan
from windtunnel.sweeps.study.schema import Budget
from windtunnel.train.records import find_runs

SECONDS_PER_HOUR = 3600.0


def refuse_beyond_budget(plan: Plan, runs_directory: Path, workers: int | None) -> None:
    """Raises InputError where the plan, targets included, needs more tokens or FLOPs (each shared step once) than its
    budget while runs of it are missing.

    Hours are those of so many workers of this machine, at the paces that earlier probes found; nothing is measured for
    it. They are enforced where a pace is known and no run has its result yet: an estimate that comes later must not
    stop a study half way, whose file may not change once it is sealed. workers None: jobs of SLURM, where hours by the
    clock are the queue's and are not enforced. Disk is the workers' to keep (`sweeps.execution.disk_budget`).
    """
    budget = plan.file.study.budget
    there = {folder.name for folder in find_runs(runs_directory)}
    final = sum(run.run_id in there and is_final(run.folder) for run in plan.runs)
    if final == len(plan.runs):
        return
    hours = None
    if budget.hours is not None and workers is not None and not final:
        paces = paces_here(shapes_of(plan.runs), runs_directory, measure=False)
        hours = simulate(plan, paces, workers).seconds / SECONDS_PER_HOUR if paces else None
    tokens = sum(run.new_tokens for run in plan.runs)
    flops = sum(6.0 * run.parameters.total * run.new_tokens for run in plan.runs)
    beyond = exceeded(budget, tokens, flops, hours, disk_bytes=0)
    if beyond:
        raise plan.file.fault(
            ("budget",), f"beyond the budget: {'; '.join(beyond)}: nothing is trained; raise it or plan less"
        )


def workers_here(plan: Plan, workers: int | None) -> int:
    """How many runs of a plan this machine trains at once. Raises InputError where there can be none."""
    from windtunnel.sweeps.execution.devices import find_devices  # with torch

    return sum(device.workers for device in find_devices(plan.runs, workers))


def slurm_notes(plan: Plan) -> list[str]:
    """What of a budget does not bind jobs of SLURM."""
    budget = plan.file.study.budget
    loose = [name for name in ("hours", "disk_gigabytes") if getattr(budget, name) is not None]
    return [f"note: budget.{name} binds workers of one machine only, not these jobs" for name in loose]


def exceeded(budget: Budget, tokens: int, flops: float, hours: float | None, disk_bytes: int) -> list[str]:
    """Each line of the budget that is gone beyond, in words. Hours that are not known exceed nothing."""
    needs = {"tokens": float(tokens), "flops": flops, "hours": hours, "disk_gigabytes": disk_bytes / 1e9}
    return [
        f"{name} {needed:.4g} of {float(allowed):.4g}"
        for name, needed in needs.items()
        if (allowed := getattr(budget, name)) is not None and needed is not None and needed > allowed
    ]
