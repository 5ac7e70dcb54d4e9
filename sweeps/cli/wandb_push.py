"""`windtunnel wandb push`: copy runs, or a study as one group, to Weights & Biases."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from windtunnel.sweeps.cli.output import log
from windtunnel.sweeps.cli.study_arguments import add_folder_arguments, is_study, plan_of_study
from windtunnel.train.errors import InputError
from windtunnel.train.records import find_runs
from windtunnel.train.tracking.wandb_mirror import add_push_arguments, log_result, push
from windtunnel.train.tracking.wandb_run import Mode, PushResult

EPILOG = """\
A study is one group: its runs, over tokens or FLOPs, and one run of job type `analysis` with the table, fits, sealed
predictions, scores, figures and report, as far as they exist. Pushing again replaces runs and never duplicates them.

exit status: 0 all pushed, 1 W&B failed, 2 a source or a record cannot be read

examples:
  windtunnel wandb push runs                    every run below runs/, to ./wandb for a later `wandb sync`
  windtunnel wandb push runs/RUN --online       directly to W&B
  windtunnel wandb push my-ladder.yaml          a study: its runs and its analysis"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="a run folder, a folder of run folders, or a study"
    )
    add_push_arguments(parser)
    add_folder_arguments(parser, "runs", "data", "results")


def run(arguments: argparse.Namespace) -> int:
    """The exit status. Raises InputError where a source holds nothing to push."""
    if arguments.follow and (len(arguments.sources) > 1 or is_study(arguments.sources[0])):
        raise InputError("--follow mirrors one run: start one process for each run")
    return push_each([push for source in arguments.sources for push in _pushes(source, arguments)], arguments.mode)


def push_each(pushes: Sequence[Callable[[], PushResult]], mode: Mode) -> int:
    """Push runs: 2 if one has no usable record, else 1 if W&B fails, else 0.

    A broken record stops no other run. In online mode the first failure of W&B ends the push.
    """
    status = 0
    for done, push_one in enumerate(pushes, start=1):
        left = len(pushes) - done if mode == "online" else 0
        try:
            failed = log_result(push_one(), left)
        except InputError as error:
            status = 2
            log(str(error))
            continue
        status = max(status, failed)
        if failed and left:
            break
    return status


def _pushes(source: str, arguments: argparse.Namespace) -> list[Callable[[], PushResult]]:
    if is_study(source):
        # These load torch and Hydra, which a run does not need.
        from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
        from windtunnel.sweeps.tracking.study_runs import study_pushes

        plan = plan_of_study(source, arguments.runs, arguments.data)
        folder = ResultsFolder(arguments.results / plan.file.name)
        return study_pushes(plan, folder, arguments.mode, arguments.directory, log)
    folders = _run_folders(Path(source))
    if arguments.follow and len(folders) > 1:
        raise InputError(f"--follow mirrors one run, and {len(folders)} are in {source}: name one of them")
    return [
        partial(push, folder, mode=arguments.mode, directory=arguments.directory, follow=arguments.follow)
        for folder in folders
    ]


def _run_folders(source: Path) -> list[Path]:
    if (source / "run.json").exists():
        return [source]
    if folders := find_runs(source):
        return folders
    raise InputError(f"{source}: no run record here or directly below; name a folder such as runs/RUN, or a study")
