"""`windtunnel curves live`: what the final loss of runs in training will be, and whether they are on their family's
curve.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from windtunnel.analysis.curves.from_runs import LOSSES
from windtunnel.analysis.curves.monitoring.partial_curve import RunInTraining
from windtunnel.analysis.curves.monitoring.run_family import Family
from windtunnel.analysis.curves.monitoring.run_monitor import LiveRun, Standing, duration, in_words
from windtunnel.analysis.curves.result import MADE_BY, FittedCurves
from windtunnel.sweeps.cli.arguments import json_output, refuse_one_file, write_document
from windtunnel.train.errors import InputError
from windtunnel.train.records import FINAL, find_run, find_runs, read_record

EXAMPLE = """\
The final loss is what a line of the curve says at the end of the run: the law's curve for its whole schedule, moved by
how far its own points lie from the law. The 90 % interval joins how far whole curves lie from the law, less what the
run's own curve tells by now, what the fit leaves open, and the noise of that one line, which stays to the end. Before
there are four points after the warm-up the law speaks alone, and its interval lacks the noise of a line, which nothing
has told yet: it may widen then, and narrows from there.

With --family, finished runs of the same data and the same shape of schedule, l(x) = (L(xT) - L0) / (L(T) - L0) is
compared with theirs. A band is their spread; the limit is what the largest of many deviations shows by chance in 5 % of
such looks, found by leaving each of the family out, with all of its seed: runs of one seed read the same data in one
order and share their noise. Eight curves of four seeds make it sharp; three curves are the least.

examples:
  windtunnel curves live runs/57k-speeches-cosine-2.5m-s2-* --law law.json --watch 10
  windtunnel curves live runs --law law.json --family runs    # all that are in training, against all that are finished
  windtunnel curves live RUN_ID --law law.json --json -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `windtunnel curves live`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument(
        "run", nargs="+", metavar="RUN", help="run folders, ids of runs, or folders of runs: what is not finished there"
    )
    parser.add_argument("--law", type=Path, required=True, metavar="FIT.json", help=f"a file of `{MADE_BY}`")
    parser.add_argument(
        "--family", nargs="+", metavar="RUN", help="finished runs to compare with: folders, ids, or folders of runs"
    )
    parser.add_argument(
        "--losses", choices=LOSSES, help="the curves that the law was fitted to (default: what its file says)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where ids are (default: runs)")
    parser.add_argument("--watch", type=_seconds, metavar="SECONDS", help="look again and again, until none is running")
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the answer for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints where the runs stand. Raises InputError for bad input; a run that is off its family's is an answer."""
    if arguments.watch is not None and arguments.json == "-":
        raise InputError("--watch with --json -: standard output holds one document; name a file, which is replaced")
    refuse_one_file(arguments.law, json=arguments.json)
    fit = FittedCurves.from_json(arguments.law)
    folders = _folders(arguments.run, arguments.runs)
    chosen = [folder for folder, word_is_run in folders if word_is_run or read_record(folder)["status"] not in FINAL]
    if not chosen:
        raise InputError(f"{' '.join(arguments.run)}: every run there is finished; name one to see how it ended")
    losses = arguments.losses or fit.kind
    runs = [LiveRun(fit, folder, losses) for folder in chosen]
    family = None
    if arguments.family is not None:
        relatives = [folder for folder, _ in _folders(arguments.family, arguments.runs)]
        family = Family(fit, [RunInTraining(folder, losses) for folder in relatives])
    while True:
        found = [each.standing(family) for each in runs]
        document = {"law": fit.law, "law_status": fit.status, "runs": [each.document() for each in found]}
        if not write_document(document, arguments.json):
            print("\n".join(describe(fit, found)), flush=True)
        if arguments.watch is None or all(each.over for each in found):
            return 0
        time.sleep(arguments.watch)


def describe(fit: FittedCurves, found: Sequence[Standing]) -> list[str]:
    """For people: a line for each run, and below it what is to be said of it."""
    width = max(3, *(len(each.run) for each in found))
    lines = [
        f"{fit.law} ({fit.status})",
        f"{'run':<{width}}  {'step':>15}       {'loss':>7}  final loss, 90 % interval",
    ]
    for each in found:
        step, loss = f"{each.step:,}/{each.total_steps:,}", "-" if each.loss is None else f"{each.loss:.4f}"
        line = f"{each.run:<{width}}  {step:>15} {each.progress:>4.0%}  {loss:>7}  "
        if each.final is None:
            line += "-"
        else:
            line += in_words(each.final)
        if each.seconds_left is not None:
            line += f"  {duration(each.seconds_left)} left"
        elif each.status != "running":
            line += f"  {each.status}"
        lines.append(line)
        if each.collapse is not None:
            lines.append(f"  {each.collapse.words()}")
        refusal = [f"no final loss: {each.refusal}"] if each.refusal else []
        lines += [f"  note: {note}" for note in (*refusal, *each.notes)]
    return lines


def _folders(words: Sequence[str], runs: Path) -> list[tuple[Path, bool]]:
    """Run folders, each once, and whether the word named the run itself."""
    found: dict[Path, tuple[Path, bool]] = {}
    for word in words:
        path = Path(word)
        inside = [] if (path / "run.json").exists() else find_runs(path)
        if not inside and not (find_run(word, runs) / "run.json").exists():
            raise InputError(f"{word}: no run there, nor in {runs}; name a run folder, an id or a folder of runs")
        for folder in inside or [find_run(word, runs)]:
            key = folder.resolve()
            found[key] = folder, not inside or found.get(key, (folder, False))[1]
    return list(found.values())


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0.1 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: look every .1 seconds or more rarely")
    return seconds
