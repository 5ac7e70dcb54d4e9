"""`windtunnel score`: how a sealed prediction fared once its target was trained."""

import argparse
from pathlib import Path

from windtunnel.analysis.prediction.predict import describe
from windtunnel.analysis.prediction.score import Outcome, Score, score
from windtunnel.sweeps.cli.arguments import json_output, refuse_one_file, write_document

EXAMPLE = """examples:
  windtunnel score predictions/prediction-chinchilla-0123456789abcdef.json runs
  windtunnel score prediction-chinchilla-0123456789abcdef.json points.csv --columns N=params,D=tokens,loss=val_loss

The error is predicted / measured - 1: above 0 where the prediction was too high. "interval widths" is predicted -
measured in widths of the 90 % interval, "seed noise" the error in standard deviations between seeds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("prediction", type=Path, metavar="PREDICTION", help="a file of `windtunnel predict --seal`")
    parser.add_argument("source", metavar="SOURCE", help="where the target's runs are")
    parser.add_argument(
        "--columns", metavar="N=a,D=b,loss=c", help="columns of the source; default, if it was fitted, as then"
    )
    parser.add_argument("--where", metavar="EXPR", help="score only these rows")
    parser.add_argument("--mixed", action="store_true", help="take together what cannot be compared")
    parser.add_argument("--json", type=json_output, metavar="PATH", help="the score for programs; - is standard output")


def run(arguments: argparse.Namespace) -> int:
    """Prints the score. Raises InputError for bad input."""
    refuse_one_file(arguments.prediction, arguments.source, json=arguments.json)
    found = score(
        arguments.prediction,
        arguments.source,
        columns=arguments.columns,
        where=arguments.where,
        mixed=arguments.mixed,
    )
    if not write_document(found.document(), arguments.json):
        print(describe_score(found))
    return 0


def describe_score(found: Score) -> str:
    """The score for people."""
    sealed = found.prediction
    low, high = sealed.interval_90
    lines = [
        f"{sealed.law} at {describe(sealed.at)}, sealed {sealed.time} as {(sealed.sealed or '')[:16]}",
        f"predicted {sealed.loss:.5g}, 90 % interval [{low:.5g}, {high:.5g}]",
        f"{'run':<44}{'loss':>9}{'error':>10}{'interval widths':>17}{'seed noise':>12}  in interval",
    ]
    each_run = [*found.runs, found.mean] if len(found.runs) > 1 else [*found.runs]
    sign = "error: predicted / measured - 1"
    return "\n".join([*lines, *map(_line, each_run), sign, *(f"note: {note}" for note in found.notes)])


def _line(each: Outcome) -> str:
    widths = "-" if each.interval_widths is None else f"{each.interval_widths:+.2f}"
    noise = "-" if each.seed_noise is None else f"{each.seed_noise:+.2f} sd"
    verdict = "yes" if each.inside_90 else "no"
    return f"{each.run:<44}{each.loss:>9.5g}{each.error_percent:>+8.3f} %{widths:>17}{noise:>12}  {verdict}"
