"""`windtunnel curves rank`: rank laws of schedules by cross-validation."""

import argparse

from windtunnel.analysis.curves.ensemble import candidates
from windtunnel.analysis.curves.fit_curves import fit_notes, rank_curve_laws
from windtunnel.analysis.curves.laws import NAMES
from windtunnel.analysis.report.number_format import format_percent
from windtunnel.analysis.report.text import format_notes, format_table
from windtunnel.sweeps.cli.arguments import add_json_argument, names_from_list
from windtunnel.sweeps.cli.curve_arguments import add_curve_arguments, curves_from_arguments
from windtunnel.sweeps.cli.output import print_result
from windtunnel.train.errors import InputError

EPILOG = """example:
  windtunnel curves rank --train cosine.csv constant.csv two-stage.csv --test wsd.csv longer-cosine.csv

Cross-validation predicts each training curve from the others; it alone orders the laws. `instantaneous` (no memory) and
`last-window` (no schedule) are baselines: a useful law is better than both."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--laws",
        metavar="A,B,C",
        help=f"default: {', '.join(NAMES)}, with :N (dependent on size) where the curves have several sizes",
    )
    add_curve_arguments(parser)
    add_json_argument(parser, "the ranking")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and where no law could be fitted."""
    names = None if arguments.laws is None else names_from_list("--laws", arguments.laws)
    train, test = curves_from_arguments(arguments)
    ranked = rank_curve_laws(names or candidates(train), train, test, arguments.objective)
    results = [law.to_dict() for law in ranked]
    notes = fit_notes(ranked[0].fit, train, test)  # of the best law; those of the others are much the same
    best = results[0]["law"] if results[0]["inner_mean_abs_relative_error"] is not None else None
    rows = [["law", "cross-validated", "worst", "test", "worst", "status"]]
    for result in results:
        keys = ("inner_mean_abs_relative_error", "inner_worst", "mean_abs_relative_error", "worst")
        status = f"{result['status']}: {result['reason']}" if result["reason"] else result["status"]
        rows.append([result["law"], *(format_percent(result[key], ".3f") for key in keys), status])
    document = {"laws": results, "best": best, "notes": notes}
    print_result(arguments, document, [*format_table(rows, "<>>>><"), *format_notes(notes)])
    if best is None:
        raise InputError("refused: no law could be fitted to these curves")
    return 0
