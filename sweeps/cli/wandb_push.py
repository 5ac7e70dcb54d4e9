"""`windtunnel wandb push`: runs, or a study as one group, rebuilt in W&B from what is recorded."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from windtunnel.sweeps.cli.study_arguments import is_study
from windtunnel.train.errors import InputError
from windtunnel.train.records import find_runs
from windtunnel.train.tracking.wandb_mirror import add_options, push, tell
from windtunnel.train.tracking.wandb_run import Mode, Push

EPILOG = """\
A study is pushed as one group: its runs, over tokens or FLOPs, and one run of job type `analysis` with the table, fits,
sealed predictions, scores, figures and report, as far as they are there. Pushing again replaces and never adds.

exit status: 0 all is there, 1 W&B failed, 2 a source or a record cannot be read

examples:
  windtunnel wandb push runs                    every run below runs/, to ./wandb for a later `wandb sync`
  windtunnel wandb push runs/RUN --online       straight to W&B
  windtunnel wandb push my-ladder.yaml          a study: its runs and its analysis
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="a run folder, a folder of run folders, or a study"
    )
    add_options(parser)
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="a study's runs (default: runs)")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="its data (default: data)")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="its outcome (default: results)"
    )


def run(options: argparse.Namespace) -> int:
    """Exit status of pushing every source. Raises InputError where a source holds nothing to push."""
    if options.follow and (len(options.sources) > 1 or is_study(options.sources[0])):
        raise InputError("--follow mirrors one run: follow each from a process of its own")
    return push_each([each for source in options.sources for each in _pushes(source, options)], options.mode)


def push_each(pushes: Sequence[Callable[[], Push]], mode: Mode) -> int:
    """2 if one has no usable record, else 1 if W&B fails one. A broken record stops no other.

    Online the first failure of W&B ends it: the others would wait in vain too.
    """
    status = 0
    for done, push_one in enumerate(pushes, start=1):
        left = len(pushes) - done if mode == "online" else 0
        try:
            failed = tell(push_one(), left)
        except InputError as error:
            status = 2
            _tell(str(error))
            continue
        status = max(status, failed)
        if failed and left:
            break
    return status


def _pushes(source: str, options: argparse.Namespace) -> list[Callable[[], Push]]:
    if is_study(source):
        # Studies load Hydra and more, for which no run should wait.
        from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
        from windtunnel.sweeps.study.load import load_study
        from windtunnel.sweeps.study.plan import make_plan
        from windtunnel.sweeps.tracking.study_runs import study_pushes

        plan = make_plan(load_study(source), options.runs, options.data)
        folder = OutcomeFolder(options.results / plan.file.name)
        return study_pushes(plan, folder, options.mode, options.directory, _tell)
    folders = _runs_of(Path(source))
    if options.follow and len(folders) > 1:
        raise InputError(f"--follow mirrors one run and {len(folders)} are in {source}: name one of them")
    return [
        partial(push, folder, mode=options.mode, directory=options.directory, follow=options.follow)
        for folder in folders
    ]


def _runs_of(source: Path) -> list[Path]:
    if (source / "run.json").exists():
        return [source]
    if found := find_runs(source):
        return found
    raise InputError(f"{source}: no run record here or directly below; name a folder such as runs/RUN, or a study")


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
