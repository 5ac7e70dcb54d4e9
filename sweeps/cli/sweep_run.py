"""`windtunnel sweep run STUDY`: train what is missing of a study, with workers on this machine."""

import argparse
from typing import Any

from windtunnel.sweeps.cli.arguments import json_output
from windtunnel.sweeps.cli.study_arguments import add_study_arguments, plan_of_arguments

EPILOG = """\
Ctrl-C saves and stops; repeat the command to go on. What is done is known from the run records alone, so it may be
killed at any moment. A run that has its result is left as it is; one that another process trains is waited for.
Checkpoints are deleted when no run of the study needs them any more; those that the study file asks for with
logging.checkpoint_steps, and the last of each target, stay. GPUs are found by nvidia-smi; untested.

Targets are for `windtunnel study`, which seals a prediction first; --only targets trains them without.

exit status: 0 every run has its result (a diverged one too), 1 a run failed, 2 bad input, 130 or 143 interrupted

example:
  windtunnel sweep run study.yaml --workers 2
"""
ROLES = {"family": "family", "targets": "target"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_study_arguments(parser)
    parser.add_argument("--only", choices=tuple(ROLES), default="family", help="which runs (default: family)")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="runs in training at once (default: one for each core, or what fits on the GPUs)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say which runs are missing")
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="write the outcome as JSON; - for standard output"
    )


def run(options: argparse.Namespace) -> int:
    from windtunnel.sweeps.cli.arguments import write_document
    from windtunnel.sweeps.execution.scheduler import Summary, missing_runs, run_jobs
    from windtunnel.sweeps.planning.budget import refuse_beyond_budget, workers_here
    from windtunnel.sweeps.planning.feasibility import refuse_infeasible
    from windtunnel.train.errors import InputError

    plan = plan_of_arguments(options, prepare=not options.dry_run)
    runs = [run for run in plan.runs if run.role == ROLES[options.only]]
    if not runs:
        raise InputError(f"{plan.file.path}: no {options.only} in this study")
    if options.dry_run:
        missing = missing_runs(runs) if plan.prepared else runs
        document = {"study": plan.file.name, "runs": len(runs), "missing": [run.run_id for run in missing]}
        if not write_document(document, options.json):
            for each in missing:
                goes_on = f", from {each.parent} at step {each.parent_step}" if each.parent else ""
                print(f"{each.run_id}: {each.new_tokens:,} tokens{goes_on}")
            note = "" if plan.prepared else "; ids are those of data that are not prepared yet"
            print(f"{len(missing)} of {len(runs)} runs would be trained{note}")
        return 0
    workers = workers_here(plan, options.workers)
    refuse_infeasible(plan)
    refuse_beyond_budget(plan, options.runs, workers)
    summary: Summary = run_jobs(plan, runs, workers=options.workers)
    write_document({"study": plan.file.name, "role": options.only, **_document(summary)}, options.json)
    if summary.signal is not None:
        return 128 + summary.signal
    return 0 if summary.is_complete else 1


def _document(summary: Any) -> dict[str, Any]:
    return {
        "runs": summary.runs,
        "finished": summary.finished,
        "diverged": summary.diverged,
        "trained": summary.trained,
        "missing": summary.runs - summary.finished - summary.diverged,
        "failed": [{"run": failure.run_id, "error": failure.error} for failure in summary.failures],
        "seconds": summary.seconds,
        "interrupted_by_signal": summary.signal,
    }
