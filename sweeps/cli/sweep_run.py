"""`windtunnel sweep run`: train the missing runs of a study on this machine."""

import argparse
from typing import TYPE_CHECKING, Any

from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import print_result, write_document
from windtunnel.sweeps.cli.study_arguments import add_study_arguments, plan_from_arguments
from windtunnel.train.errors import InputError

if TYPE_CHECKING:  # loads torch
    from windtunnel.sweeps.execution.scheduler import SweepResult

EPILOG = """\
Ctrl-C saves and stops; repeat the command to continue. Progress is read from the run records alone, so the command may
be killed at any time. Runs that have their result are kept, and runs that another process trains are waited for.
Checkpoints are deleted when no run of the study needs them any more, except those of logging.checkpoint_steps and the
last one of each target. GPUs are found with nvidia-smi (untested).

Targets are trained by `windtunnel study`, after their predictions are sealed. --only targets trains them without seals.

exit status: 0 every run has its result (finished or diverged), 1 a run failed, 2 bad input, 130 or 143 interrupted

example:
  windtunnel sweep run study.yaml --workers 2"""
ROLES = ("family", "targets")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)
    parser.add_argument("--only", choices=ROLES, default="family", help="which runs; default family")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="runs in training at once; default: one per core, or what fits on the GPUs",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the missing runs and train none")
    add_json_argument(parser, "the result")


def run(arguments: argparse.Namespace) -> int:
    # These load torch.
    from windtunnel.sweeps.execution.scheduler import missing_runs, run_jobs
    from windtunnel.sweeps.planning.budget import check_budget
    from windtunnel.sweeps.planning.devices import count_workers
    from windtunnel.sweeps.planning.feasibility import check_feasibility

    plan = plan_from_arguments(arguments, prepare=not arguments.dry_run)
    runs = plan.runs_of("family" if arguments.only == "family" else "target")
    if not runs:
        raise InputError(f"{plan.file.path}: no {arguments.only} in this study")
    if arguments.dry_run:
        missing = missing_runs(runs) if plan.prepared else runs
        lines = [
            f"{run.run_id}: {run.new_tokens:,} tokens"
            + (f", from {run.parent} at step {run.parent_step}" if run.parent else "")
            for run in missing
        ]
        note = "" if plan.prepared else "; run ids will change, because the data are not prepared yet"
        lines.append(f"{len(missing)} of {len(runs)} runs would be trained{note}")
        document = {"study": plan.file.name, "runs": len(runs), "missing": [run.run_id for run in missing]}
        print_result(arguments, document, lines)
        return 0
    workers = count_workers(plan.runs, arguments.workers)
    check_feasibility(plan)
    check_budget(plan, arguments.runs, workers)
    result = run_jobs(plan, runs, workers=arguments.workers)
    write_document({"study": plan.file.name, "role": arguments.only, **_document(result)}, arguments.json)
    if result.signal is not None:
        return 128 + result.signal
    return 0 if result.is_complete else 1


def _document(result: "SweepResult") -> dict[str, Any]:
    return {
        "runs": result.runs,
        "finished": result.finished,
        "diverged": result.diverged,
        "trained": result.trained,
        "missing": result.runs - result.finished - result.diverged,
        "failed": [{"run": failure.run_id, "error": failure.error} for failure in result.failures],
        "seconds": result.seconds,
        "interrupted_by_signal": result.signal,
    }
