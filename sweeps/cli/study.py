"""`windtunnel study STUDY`: the closed loop. Trains the family, fits, seals, trains the targets, scores, reports."""

import argparse
import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from windtunnel.sweeps.cli.arguments import json_output
from windtunnel.sweeps.cli.study_arguments import add_study_arguments, plan_of_arguments
from windtunnel.train.errors import InputError

if TYPE_CHECKING:
    from windtunnel.sweeps.pipeline.pipeline import Closed
    from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
    from windtunnel.sweeps.study.plan import Plan, PlannedRun

FOLDERS = ("runs", "data", "results")  # options whose default is their name
EPILOG = """\
Every step finds what is there and does what is missing: after Ctrl-C, a crash or a power cut, repeat the command.
Predictions are sealed before the first target begins and never again; the study file may not change after that.
RESULTS/STUDY/ holds the study file, table.csv, fits, sealed predictions, scores, ranking, audit and the report: small
enough to commit. One process at a time works on it. W&B is a mirror of it, which `windtunnel wandb push STUDY` rebuilds
at any time: what goes wrong there is told and changes no exit status.

Nothing is trained where the plan needs more tokens or FLOPs than the study's budget, or more hours by what
`windtunnel sweep plan` has measured here, or where its laws cannot be fitted to such a family.

With --submit the loop runs on SLURM and this returns at once: the runs of a step go into the queue as an array job, and
after them a small job that fits, seals, submits the next step and so on to the score. Repeat it from any login node, at
any moment: nothing is submitted twice. A failed run stops the loop, as `windtunnel sweep status` says; repeating tries
it again. `windtunnel sweep cancel` ends it. A cluster profile: see windtunnel sweep submit --help.

exit status: 0 the loop is closed or submitted, 1 a run failed, 2 bad input, 130 or 143 interrupted

examples:
  windtunnel study quickstart
  windtunnel study my-ladder.yaml --workers 8 --results results --wandb online
  windtunnel study my-ladder.yaml --submit --cluster cluster.yaml
"""


class _Interrupted(Exception):  # noqa: N818 - it is asked for
    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_study_arguments(parser)
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where the outcome goes (default: results)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="runs in training at once (default: by the machine)")
    parser.add_argument(
        "--wandb",
        choices=("off", "offline", "online"),
        help="push it to W&B at the end, as one group (default: logging.wandb of the study, else off)",
    )
    parser.add_argument("--submit", action="store_true", help="on SLURM: return at once, jobs go on to the score")
    parser.add_argument(
        "--cluster", type=Path, metavar="PROFILE.yaml", help="with --submit: how jobs are asked for (default: SLURM's)"
    )
    # Of a job that goes on with the loop: `results_before` of windtunnel.sweeps.slurm.continuation.advance.
    parser.add_argument("--continuation", type=int, help=argparse.SUPPRESS)
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="write the scores as JSON; - for standard output"
    )


def run(options: argparse.Namespace) -> int:
    """Closes the loop as far as it goes. Raises InputError for bad input."""
    _refuse_mixed(options)
    if options.submit and options.continuation is None:
        return _submit(options)
    from windtunnel.sweeps.cli.arguments import write_document
    from windtunnel.sweeps.execution.scheduler import run_jobs
    from windtunnel.sweeps.pipeline.pipeline import close_loop
    from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
    from windtunnel.sweeps.planning.budget import refuse_beyond_budget, workers_here
    from windtunnel.sweeps.slurm.study import Waiting, trainer_of
    from windtunnel.sweeps.slurm.submission import LOCK_SECONDS

    begun = time.monotonic()
    plan = plan_of_arguments(options, prepare=True)
    folder = OutcomeFolder(options.results / plan.file.name)

    def train_here(runs: Sequence["PlannedRun"]) -> bool:
        summary = run_jobs(plan, runs, workers=options.workers)
        if summary.signal is not None:
            raise _Interrupted(summary.signal)
        for failure in summary.failures:
            _tell(f"{failure.run_id} failed: {failure.error}")
        return summary.is_complete

    def tell(message: str) -> None:
        _tell(f"{time.monotonic() - begun:6.0f} s  {message}")

    if not options.submit:  # a continuation goes on with what was allowed when it was submitted
        refuse_beyond_budget(plan, options.runs, workers_here(plan, options.workers))
    try:
        with folder.alone(patience_seconds=LOCK_SECONDS if options.submit else 0.0):
            train = trainer_of(plan, options, tell) if options.submit else train_here
            closed = close_loop(plan, folder, train, tell)
            pages = draw_reports(plan, closed, folder, tell) if closed is not None else []
    except _Interrupted as told:
        return 128 + told.signal
    except Waiting as told:
        tell(str(told))
        return 0
    if closed is None:
        _tell(f"{plan.file.name}: runs are missing, so the loop stops here; mend what failed and repeat")
        return 1
    scores = [each.document() for each in closed.scores]
    curves = [each.document() for each in closed.curves.laws] if closed.curves is not None else []
    found = {"study": plan.file.name, "results": str(folder.path), "scores": scores, "curve_scores": curves}
    if not write_document(found, options.json):
        print("\n".join([*describe_outcome(plan, closed), f"outcome: {folder.path}", *pages]))
    mirror(plan, folder, options)
    return 0


def _refuse_mixed(options: argparse.Namespace) -> None:
    if options.submit and options.workers is not None:
        raise InputError("--workers is of this machine: with --submit say workers in the cluster profile")
    if options.cluster is not None and not options.submit:
        raise InputError("--cluster says how jobs of SLURM are asked for: add --submit, or leave it out")


def _submit(options: argparse.Namespace) -> int:
    from windtunnel.sweeps.cli.arguments import write_document
    from windtunnel.sweeps.slurm.study import describe_submitted, submit_study

    document = submit_study(options, _tell)
    if not write_document({name: value for name, value in document.items() if name != "words"}, options.json):
        print(describe_submitted(document))
    return 0


def mirror(plan: "Plan", folder: "OutcomeFolder", options: argparse.Namespace) -> None:
    """Push the study to W&B where that is asked for. The loop is closed, whatever comes of it."""
    mode: Literal["off", "offline", "online"] = options.wandb or plan.runs[0].config.logging.wandb
    again = ["windtunnel", "wandb", "push", options.study]
    for name in FOLDERS:
        if getattr(options, name) != Path(name):
            again += [f"--{name}", str(getattr(options, name))]
    if mode == "off":
        _tell(f"for W&B, one group with all of this: {shlex.join(again)}")
        return
    from windtunnel.sweeps.cli.wandb_push import push_each
    from windtunnel.sweeps.tracking.study_runs import study_pushes

    with contextlib.redirect_stdout(sys.stderr):  # the answer alone is on standard output
        if push_each(study_pushes(plan, folder, mode, None, _tell), mode):
            _tell(f"W&B can be caught up at any time: {shlex.join([*again, '--mode', mode])}")


def draw_reports(plan: "Plan", closed: "Closed", folder: "OutcomeFolder", tell: Callable[[str], None]) -> list[str]:
    """Writes the pages that a study can have, and says where they are. The page of a study of curves alone is its
    report.
    """
    from windtunnel.analysis.report.curve_report import write_curve_report
    from windtunnel.analysis.report.report import write_report
    from windtunnel.sweeps.pipeline.curve_pipeline import curve_report_of
    from windtunnel.sweeps.pipeline.pipeline import report_of

    told = []
    if closed.curves is not None:
        page = folder.curves_page if closed.fits else folder.report_page
        tell("drawing the report of curves")
        write_curve_report(curve_report_of(plan, closed.curves), folder.report, page.name)
        told.append(f"{'curves' if closed.fits else 'report'}: {page}")
    if closed.fits:
        tell("drawing the report")
        write_report(
            report_of(closed), folder.report
        )  # the last file of an outcome: `windtunnel.sweeps.pipeline.stage` looks for it
        told.append(f"report: {folder.report_page}")
    return told


def describe_outcome(plan: "Plan", closed: "Closed") -> list[str]:
    """What a study came to, its own predictions first."""
    from windtunnel.analysis.report.curve_headline import curve_headline
    from windtunnel.analysis.report.headline import headline
    from windtunnel.sweeps.pipeline.curve_pipeline import curve_report_of

    lines: list[str] = []
    first = next(iter(closed.fits.values()), None)
    if first is not None:
        lines += headline(closed.table, first, [each.prediction for each in closed.sealed], closed.scores, closed.own)
    if closed.curves is not None:
        lines += curve_headline(curve_report_of(plan, closed.curves))
    return lines or [f"{len(closed.table)} runs; the study names no laws"]


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
