"""`windtunnel sweep status`: show the progress of a study, from its records and the SLURM queue."""

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import print_result
from windtunnel.sweeps.cli.study_arguments import add_folder_arguments, add_study_arguments, plan_from_arguments

if TYPE_CHECKING:  # loads torch
    from windtunnel.sweeps.slurm.status import StudyStatus

EPILOG = """\
Works on any machine that sees the records and the queue; without SLURM it shows the records alone.
  queued    in the queue, or in a task that runs
  stopped   started, but without a process and not in the queue: submit or run the study again
  missing   not started and not in the queue

A study is at one of the stages family, sealing, targets, scoring, scored. `windtunnel study STUDY --submit` keeps a job
in the queue that takes it to the next stage, until a run fails. The remaining time is known once runs have finished, or
after `windtunnel sweep plan` has measured the machine.

examples:
  windtunnel sweep status ladder.yaml
  windtunnel sweep status ladder.yaml --json -"""
MAX_RUNS = 20  # shown in training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)
    add_folder_arguments(parser, "results")
    add_json_argument(parser, "the status")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and with SLURM's reason where it does not answer."""
    # These load torch.
    from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
    from windtunnel.sweeps.pipeline.stage import current_stage
    from windtunnel.sweeps.slurm.durations import known_durations
    from windtunnel.sweeps.slurm.queue import queued_tasks, slurm_available
    from windtunnel.sweeps.slurm.status import study_status
    from windtunnel.sweeps.slurm.submission import queued_runs, study_folder

    plan = plan_from_arguments(arguments)
    folder = study_folder(arguments.runs, plan.file.name)
    tasks = queued_tasks(plan.file.name, folder) if slurm_available() else None
    status = study_status(
        plan,
        known_durations(plan.runs, arguments.runs),
        tasks,
        queued_runs(folder, tasks or ()),
        current_stage(plan, ResultsFolder(arguments.results / plan.file.name)),
    )
    print_result(arguments, status.to_dict(), format_status(status))
    return 0


def format_status(status: "StudyStatus") -> list[str]:
    from windtunnel.analysis.curves.monitoring.run_monitor import format_duration  # loads scipy

    counts = ", ".join(f"{number} {state}" for state, number in status.counts.items() if number)
    tokens = status.to_dict()["tokens"]
    lines = [
        f"{status.study}: {len(status.runs)} runs: {counts}",
        f"tokens: {tokens['done']:,} of {tokens['planned']:,} ({tokens['done'] / max(1, tokens['planned']):.0%})",
        *_stage_lines(status),
    ]
    running = status.with_state("running")
    for run in running[:MAX_RUNS]:
        job = f"  job {run.task.name}" if run.task else ""
        lines.append(f"running  {run.run.run_id}  step {run.step}/{run.run.config.schedule.total_steps}{job}")
    if len(running) > MAX_RUNS:
        lines.append(f"running  and {len(running) - MAX_RUNS} more")
    lines += [f"failed   {run.run.run_id}  {run.error or 'without a reason'}" for run in status.with_state("failed")]
    waiting = Counter((task.job, task.state, task.reason) for task in status.tasks)
    for (number, state, reason), count in waiting.items():
        why = "" if reason == "None" else f" ({reason})"
        lines.append(f"job {number}: {count} {'task' if count == 1 else 'tasks'} {state}{why}")
    if not status.prepared:
        lines.append("note: the data are not prepared in --data, so it is not known which of these runs were trained")
    if not status.queue_known:
        lines.append("note: no SLURM on PATH; from the records alone")
    at_work = sum(task.state == "RUNNING" for task in status.tasks) or len(running)
    if status.remaining_seconds:
        left = f"about {format_duration(status.remaining_seconds)} of work left"
        if at_work > 1:
            left += f", {format_duration(status.remaining_seconds / at_work)} with {at_work} at a time"
        lines.append(left)
    return lines


def _stage_lines(status: "StudyStatus") -> list[str]:
    from windtunnel.sweeps.pipeline.stage import STAGE_DESCRIPTIONS  # loads torch

    if status.stage is None:
        return []
    job, line = status.continuation, f"stage: {STAGE_DESCRIPTIONS[status.stage]}"
    failed = len(status.with_state("failed"))
    has_started = len(status.runs) > len(status.with_state("missing"))
    if job is not None:
        line += f"; job {job.name} continues from there"
    elif status.stage != "scored" and has_started and not status.tasks and not status.with_state("running"):
        line += f"; stopped{f' ({failed} failed)' if failed else ''}: windtunnel study continues from there"
    return [line]
