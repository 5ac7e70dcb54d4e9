"""`windtunnel study STUDY`: train a family, fit, seal, train the targets, score, report."""

import argparse
import contextlib
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import log, print_result
from windtunnel.sweeps.cli.study_arguments import add_folder_arguments, add_study_arguments, plan_from_arguments
from windtunnel.train.errors import InputError

if TYPE_CHECKING:  # torch and Hydra load in seconds, and `--help` does not need them
    from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
    from windtunnel.sweeps.pipeline.run_study import StudyResult
    from windtunnel.sweeps.study.plan import Plan

FOLDERS = ("runs", "data", "results")
EPILOG = """\
Every step keeps what exists and adds what is missing: after Ctrl-C, a crash or a power cut, repeat the command.
Predictions are sealed before the first target starts and never again; the study file may not change after that.
RESULTS/STUDY/ holds the study file, table.csv, fits, sealed predictions, scores, ranking, conventions and the report:
small enough to commit. One process at a time runs a study. W&B is a mirror, which `windtunnel wandb push STUDY`
rebuilds at any time; a failure there is reported and does not change the exit status.

Nothing is trained where the plan exceeds the tokens, FLOPs or hours of the study's budget (hours as measured by
`windtunnel sweep plan` on this machine), or where the laws cannot be fitted to such a family.

With --submit the study runs on SLURM and the command returns at once: the runs of a step are an array job, followed
by a small job that fits, seals and submits the next step, through to the scores. Repeat it on any login node at any
time; nothing is submitted twice. A failed run stops the study, as `windtunnel sweep status` shows; repeat to retry it.
`windtunnel sweep cancel` cancels it. A cluster profile: see windtunnel sweep submit --help.

exit status: 0 scored or submitted, 1 a run failed, 2 bad input, 130 or 143 interrupted

examples:
  windtunnel study quickstart
  windtunnel study my-ladder.yaml --workers 8 --results results --wandb online
  windtunnel study my-ladder.yaml --submit --cluster cluster.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)
    add_folder_arguments(parser, "results")
    parser.add_argument("--workers", type=int, metavar="N", help="runs in training at once; default: as many as fit")
    parser.add_argument(
        "--wandb",
        choices=("off", "offline", "online"),
        help="push the study to W&B at the end, as one group; default: logging.wandb of the study, or off",
    )
    parser.add_argument("--submit", action="store_true", help="run the study on SLURM and return at once")
    parser.add_argument(
        "--cluster", type=Path, metavar="PROFILE.yaml", help="with --submit: resources of the jobs; default SLURM's"
    )
    # Of a continuation job: `results_before` of `windtunnel.sweeps.slurm.continuation.submit_step`.
    parser.add_argument("--continuation", type=int, help=argparse.SUPPRESS)
    add_json_argument(parser, "the scores")


def run(arguments: argparse.Namespace) -> int:
    """Run or submit the study. Raises InputError for bad input."""
    _check_options(arguments)
    if arguments.submit and arguments.continuation is None:
        return _submit(arguments)
    from windtunnel.sweeps.pipeline.run_study import StudyIncomplete, StudyInterrupted, run_study
    from windtunnel.sweeps.pipeline.slurm_pipeline import WaitingForJobs
    from windtunnel.sweeps.study.load import load_study

    started = time.monotonic()

    def log_with_time(message: str) -> None:
        log(f"{time.monotonic() - started:6.0f} s  {message}")

    try:
        if arguments.submit:
            result = _continue(arguments, log_with_time)
        else:
            result = run_study(
                load_study(arguments.study),
                runs_directory=arguments.runs,
                data_directory=arguments.data,
                results_directory=arguments.results,
                workers=arguments.workers,
                log=log_with_time,
            )
    except WaitingForJobs as waiting:
        log_with_time(str(waiting))
        return 0
    except StudyIncomplete as incomplete:
        log(str(incomplete))
        return 1
    except StudyInterrupted as interruption:
        return 128 + interruption.signal
    print_result(arguments, result.to_dict(), result.summary())
    mirror(result.plan, result.folder, arguments)
    return 0


def _check_options(arguments: argparse.Namespace) -> None:
    if arguments.submit and arguments.workers is not None:
        raise InputError("--workers is for this machine: with --submit set workers in the cluster profile")
    if arguments.cluster is not None and not arguments.submit:
        raise InputError("--cluster sets the resources of SLURM jobs: add --submit, or leave it out")


def _submit(arguments: argparse.Namespace) -> int:
    from windtunnel.sweeps.pipeline.slurm_pipeline import submit_study
    from windtunnel.sweeps.slurm.profile import load_profile
    from windtunnel.sweeps.slurm.queue import require_slurm

    profile = load_profile(arguments.cluster)  # its mistakes first: a plan may take seconds, and its data minutes
    require_slurm()
    plan = plan_from_arguments(arguments, prepare=True)
    submitted = submit_study(plan, arguments.results, profile, continuation_command(arguments), log)
    print_result(arguments, submitted.to_dict(), submitted.summary())
    return 0


def _continue(arguments: argparse.Namespace, log_progress: Callable[[str], None]) -> "StudyResult":
    from windtunnel.sweeps.pipeline.slurm_pipeline import continue_study
    from windtunnel.sweeps.slurm.profile import load_profile

    plan, profile = plan_from_arguments(arguments, prepare=True), load_profile(arguments.cluster)
    command = continuation_command(arguments)
    return continue_study(plan, arguments.results, profile, command, arguments.continuation, log_progress)


def continuation_command(arguments: argparse.Namespace) -> list[str]:
    """The `windtunnel` arguments that a continuation job repeats."""
    command = ["study", str(arguments.study), "--submit"]
    for name in ("cluster", "runs", "data", "results", "wandb"):
        if getattr(arguments, name) is not None:
            command += [f"--{name}", str(getattr(arguments, name))]
    return command


def mirror(plan: "Plan", folder: "ResultsFolder", arguments: argparse.Namespace) -> None:
    """Push the study to W&B where that was requested. Its failures change nothing."""
    mode: Literal["off", "offline", "online"] = arguments.wandb or plan.runs[0].config.logging.wandb
    push = ["windtunnel", "wandb", "push", arguments.study]
    for name in FOLDERS:
        if getattr(arguments, name) != Path(name):
            push += [f"--{name}", str(getattr(arguments, name))]
    if mode == "off":
        log(f"to push the study to W&B as one group: {shlex.join(push)}")
        return
    from windtunnel.sweeps.cli.wandb_push import push_each
    from windtunnel.sweeps.tracking.study_runs import study_pushes

    with contextlib.redirect_stdout(sys.stderr):  # standard output holds the result alone
        if push_each(study_pushes(plan, folder, mode, None, log), mode):
            log(f"to repeat the push: {shlex.join([*push, '--mode', mode])}")
