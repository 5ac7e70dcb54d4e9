"""`windtunnel report`: write an HTML page with the figures and the checklist of a fit."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.report.build import build_report
from windtunnel.analysis.report.load_scores import read_predictions_and_scores
from windtunnel.analysis.report.report import Report
from windtunnel.analysis.report.text import format_notes
from windtunnel.sweeps.cli.arguments import (
    add_json_argument,
    add_table_arguments,
    names_from_list,
    table_from_arguments,
)
from windtunnel.sweeps.cli.output import log, print_result
from windtunnel.sweeps.cli.paths import output_folder
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel report runs --output report
  windtunnel report points.csv --columns N=params,D=tokens,loss=val_loss --laws kaplan,general
  windtunnel report runs --prediction predictions/prediction-chinchilla-0123456789abcdef.json --score score.json

Writes report.html, one self-contained file, and the figures as figures/*.svg and *.png. A refused fit gives a report
that states the reason, and exit status 2."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_table_arguments(parser)
    parser.add_argument(
        "--law", default="chinchilla", metavar="NAME", help="a law of `windtunnel laws`; default %(default)s"
    )
    parser.add_argument("--objective", metavar="O", help="as of `windtunnel fit`; default: the law's own")
    parser.add_argument(
        "--laws", metavar="A,B,C", help="laws to rank with --law on held-out runs; the baselines are always ranked"
    )
    for name, verb in (("prediction", "predict"), ("score", "score")):
        parser.add_argument(
            f"--{name}",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help=f"a file written by `windtunnel {verb} --json`; repeatable",
        )
    parser.add_argument(
        "--output",
        type=output_folder,
        default=Path("report"),
        metavar="DIR",
        help="folder of the report; default %(default)s",
    )
    add_json_argument(parser, "the report and its checklist")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and after writing the report for a refused fit."""
    from windtunnel.analysis.report.write import write_report  # slow to import

    law = get_law(arguments.law)
    others = [get_law(name) for name in names_from_list("--laws", arguments.laws)]
    predictions, scores = read_predictions_and_scores(arguments.prediction, arguments.score)
    report = build_report(
        table_from_arguments(arguments),
        law,
        [other for other in others if other.name != law.name],
        objective=arguments.objective,
        predictions=predictions,
        scores=scores,
        log=log,
    )
    paths = write_report(report, arguments.output, log)
    document = {**report.to_dict(), "files": [str(path) for path in paths]}
    print_result(arguments, document, format_report(report, paths))
    if report.is_refused:
        raise InputError(f"refused ({report.fit.status}): {report.fit.reason}")
    return 0


def format_report(report: Report, paths: Sequence[Path]) -> list[str]:
    """The headline, the answers of the checklist that are not ok, and the path of the page."""
    passed = sum(item.verdict == "ok" for item in report.checklist)
    return [
        *report.headline,
        *(f"{item.verdict}: {item.question}: {item.answer}" for item in report.checklist if item.verdict != "ok"),
        f"checklist: {passed} of {len(report.checklist)} ok",
        *format_notes(report.notes),
        *(f"not in the report: {name}: {reason}" for name, reason in report.absent.items()),
        f"wrote {paths[0]}",
    ]
