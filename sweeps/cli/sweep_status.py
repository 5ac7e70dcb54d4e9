"""`windtunnel sweep status`: how far a study is."""

import argparse
from collections import Counter
from pathlib import Path

from windtunnel.sweeps.cli.arguments import json_output, write_document
from windtunnel.sweeps.cli.study_arguments import add_study_arguments, plan_of_arguments
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.pipeline.stage import IN_WORDS, stage_of
from windtunnel.sweeps.slurm.durations import seconds_known
from windtunnel.sweeps.slurm.queue import is_there, study_tasks
from windtunnel.sweeps.slurm.status import StudyStatus, study_status
from windtunnel.sweeps.slurm.submission import queued_runs, study_folder

EXAMPLE = """\
By the records and SLURM's queue alone, from any machine that sees both; without SLURM, by the records.
  queued    waits in the queue or in a task that runs
  stopped   was begun, has no process and is not in the queue: submit or run the study again
  missing   never begun and not in the queue
The closed loop is at one of: family, sealing, targets, scoring, scored; `windtunnel study STUDY --submit` has a job in
the queue that goes on with it, until a run fails. The time left is known when runs have ended, or by a probe of `plan`.

examples:
  windtunnel sweep status ladder.yaml
  windtunnel sweep status ladder.yaml --json -"""
MOST_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `windtunnel sweep status`."""
    parser.epilog = EXAMPLE
    add_study_arguments(parser)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="the study's outcome (default: results)"
    )
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="write the answer as JSON; - for standard output"
    )


def run(options: argparse.Namespace) -> int:
    """Prints the status. Raises InputError for bad input, and with SLURM's reason where it does not answer."""
    plan = plan_of_arguments(options)
    folder = study_folder(options.runs, plan.file.name)
    tasks = study_tasks(plan.file.name, folder) if is_there() else None
    found = study_status(
        plan,
        seconds_known(plan.runs, options.runs),
        tasks,
        queued_runs(folder, tasks or ()),
        stage_of(plan, OutcomeFolder(options.results / plan.file.name)),
    )
    if not write_document(found.document(), options.json):
        print(describe(found))
    return 0


def describe(found: StudyStatus) -> str:
    """The status for people."""
    document = found.document()
    counts = ", ".join(f"{number} {state}" for state, number in found.count().items() if number)
    done, planned = document["tokens"]["done"], document["tokens"]["planned"]
    lines = [f"{found.study}: {len(found.runs)} runs: {counts}"]
    lines.append(f"tokens: {done:,} of {planned:,} ({done / max(1, planned):.0%})")
    lines += _stage_lines(found)
    running = found.of("running")
    for each in running[:MOST_SHOWN]:
        job = f"  job {each.task.name}" if each.task else ""
        lines.append(f"running  {each.run.run_id}  step {each.step}/{each.run.config.schedule.total_steps}{job}")
    if len(running) > MOST_SHOWN:
        lines.append(f"running  and {len(running) - MOST_SHOWN} more")
    lines += [f"failed   {each.run.run_id}  {each.error or 'it does not say why'}" for each in found.of("failed")]
    waiting = Counter((task.job, task.state, task.reason) for task in found.tasks)
    for (number, state, reason), count in waiting.items():
        why = "" if reason == "None" else f" ({reason})"
        lines.append(f"job {number}: {count} {'task' if count == 1 else 'tasks'} {state}{why}")
    if not found.prepared:
        lines.append("note: the data are not prepared here (--data): which of these runs were trained cannot be known")
    if not found.queue_known:
        lines.append("no SLURM on PATH: by the records alone")
    at_work = sum(task.state == "RUNNING" for task in found.tasks) or len(running)
    if found.remaining_seconds:
        left = f"about {_duration(found.remaining_seconds)} of work left"
        if at_work > 1:
            left += f", {_duration(found.remaining_seconds / at_work)} with the {at_work} that run now"
        lines.append(left)
    return "\n".join(lines)


def _stage_lines(found: StudyStatus) -> list[str]:
    if found.stage is None:
        return []
    job, line = found.continuation, f"closed loop: {IN_WORDS[found.stage]}"
    begun = len(found.runs) > len(found.of("missing"))
    if job is not None:
        line += f"; job {job.name} goes on from there"
    elif found.stage != "scored" and begun and not found.tasks and not found.of("running"):
        failed = f" {len(found.of('failed'))} failed;" if found.of("failed") else ""
        line += f"; stopped:{failed} windtunnel study goes on from there"
    return [line]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
