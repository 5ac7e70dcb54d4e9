"""`windtunnel curves monitor`: forecast the final loss of runs in training, and detect outliers."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from windtunnel.analysis.curves.curve import LOSS_KINDS
from windtunnel.analysis.curves.monitoring.partial_curve import PartialCurve
from windtunnel.analysis.curves.monitoring.run_family import RunFamily
from windtunnel.analysis.curves.monitoring.run_monitor import RunMonitor, RunStatus, format_duration, format_forecast
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.report.text import format_table
from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import print_result
from windtunnel.sweeps.cli.study_arguments import add_folder_arguments
from windtunnel.train.errors import InputError
from windtunnel.train.records import FINAL_STATUSES, find_run, find_runs, read_record

EPILOG = """\
The forecast is the fitted law for the run's schedule, corrected by the losses that the run has logged. Its 90 %
interval includes the uncertainty of the fit, the remaining uncertainty of the run's deviation from the law, and the
noise of one logged loss. Until the run has four points after its warm-up, the forecast is that of the law alone and its
interval leaves out the noise of one loss. So the interval may widen once, and narrows from then on.

With --family, the collapsed curve l(x) = (L(xT) - L0) / (L(T) - L0) of a run is compared with those of finished runs
with the same data and shape of schedule. The band is their spread. By chance, 5 % of such comparisons exceed the limit.
It is estimated by leaving each run of the family out, with all runs of its seed, because runs of one seed read the same
data in the same order and share their noise. The family needs three curves; eight curves of four seeds give a sharp
limit.

examples:
  windtunnel curves monitor runs/57k-speeches-cosine-2.5m-s2-* --law law.json --watch 10
  windtunnel curves monitor runs --law law.json --family runs    # all runs in training, against all finished ones
  windtunnel curves monitor RUN_ID --law law.json --json -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="+", metavar="RUN", help="run folders, run ids, or folders of runs (those that are not finished)"
    )
    parser.add_argument(
        "--law", type=Path, required=True, metavar="FIT.json", help="a file written by `windtunnel curves fit --output`"
    )
    parser.add_argument(
        "--family", nargs="+", metavar="RUN", help="finished runs to compare with: folders, ids, or folders of runs"
    )
    parser.add_argument("--losses", choices=LOSS_KINDS, help="the losses to read; default: those that were fitted")
    add_folder_arguments(parser, "runs")
    parser.add_argument("--watch", type=_seconds, metavar="SECONDS", help="repeat until no run is in training")
    add_json_argument(parser, "the forecasts")


def run(arguments: argparse.Namespace) -> int:
    """An outlier does not change the exit status. Raises InputError for bad input."""
    if arguments.watch is not None and arguments.json == "-":
        raise InputError("--watch with --json -: standard output holds one document; name a file, which is replaced")
    fit = FittedCurveLaw.from_json(arguments.law)
    folders = _folders(arguments.run, arguments.runs)
    chosen = [folder for folder, is_named in folders if is_named or read_record(folder)["status"] not in FINAL_STATUSES]
    if not chosen:
        raise InputError(f"{' '.join(arguments.run)}: all runs there are finished; name one run to see how it ended")
    losses = arguments.losses or fit.loss_kind
    monitors = [RunMonitor(fit, folder, losses) for folder in chosen]
    family = None
    if arguments.family is not None:
        members = [folder for folder, _ in _folders(arguments.family, arguments.runs)]
        family = RunFamily(fit, [PartialCurve(folder, losses) for folder in members])
    while True:
        runs = [monitor.check(family) for monitor in monitors]
        document = {"law": fit.law, "law_status": fit.status, "runs": [run.to_dict() for run in runs]}
        print_result(arguments, document, format_status(fit, runs))
        sys.stdout.flush()
        if arguments.watch is None or all(run.is_over for run in runs):
            return 0
        time.sleep(arguments.watch)


def format_status(fit: FittedCurveLaw, runs: Sequence[RunStatus]) -> list[str]:
    """One line for each run, followed by its comparison with the family and its notes."""
    rows = [["run", "step", "", "loss", "final loss, 90 % interval", ""]]
    for run in runs:
        state = "" if run.status == "running" else run.status
        rows.append(
            [
                run.run,
                f"{run.step:,}/{run.total_steps:,}",
                f"{run.progress:.0%}",
                "-" if run.loss is None else f"{run.loss:.4f}",
                "-" if run.final is None else format_forecast(run.final),
                state if run.seconds_left is None else f"{format_duration(run.seconds_left)} left",
            ]
        )
    heading, *lines = format_table(rows, "<>>><<")
    result = [f"{fit.law} ({fit.status})", heading]
    for run, line in zip(runs, lines, strict=True):
        result.append(line)
        if run.collapse is not None:
            result.append(f"  {run.collapse.summary()}")
        refusal = [f"no final loss: {run.refusal}"] if run.refusal else []
        result += [f"  note: {note}" for note in (*refusal, *run.notes)]
    return result


def _folders(words: Sequence[str], runs: Path) -> list[tuple[Path, bool]]:
    """Run folders, each once, and whether a word named the run itself."""
    folders: dict[Path, tuple[Path, bool]] = {}
    for word in words:
        path = Path(word)
        inside = [] if (path / "run.json").exists() else find_runs(path)
        if not inside and not (find_run(word, runs) / "run.json").exists():
            raise InputError(f"{word}: no run there, nor in {runs}; name a run folder, an id or a folder of runs")
        for folder in inside or [find_run(word, runs)]:
            key = folder.resolve()
            folders[key] = folder, not inside or folders.get(key, (folder, False))[1]
    return list(folders.values())


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0.1 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: give at least 0.1 seconds")
    return seconds
