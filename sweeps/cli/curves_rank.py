"""`windtunnel curves rank`: laws of schedules by what they say of curves that they have not seen."""

import argparse
from typing import Any

from windtunnel.analysis.curves.cross_validation import score
from windtunnel.analysis.curves.ensemble import candidates, ranked
from windtunnel.analysis.curves.fit import CurveFit, fit_curves
from windtunnel.analysis.curves.laws import NAMES, curve_law
from windtunnel.analysis.curves.predict import foreign_notes
from windtunnel.analysis.curves.result import finite, summary
from windtunnel.sweeps.cli.arguments import add_curve_arguments, curves_of_arguments, json_output, write_document
from windtunnel.train.errors import InputError

EXAMPLE = """example:
  windtunnel curves rank --train cosine.csv constant.csv two-stage.csv --test wsd.csv longer-cosine.csv

"inner" is inner validation: each training curve predicted from the others; it alone says which law is the best. A law
that is not better than `instantaneous` and `last-window`, which know of no memory and of no schedule, is of no use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument(
        "--laws", metavar="A,B,C", help=f"default: {', '.join(NAMES)}, over sizes (:N) where there are several"
    )
    add_curve_arguments(parser)
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the ranking, best first by inner validation. Raises InputError for bad input."""
    train, test = curves_of_arguments(arguments)
    asked = candidates(train) if arguments.laws is None else arguments.laws.split(",")
    names = [name.strip() for name in asked if name.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(f"--laws {arguments.laws!r}: name each law once, for example --laws annealing,instantaneous")
    laws = [curve_law(name) for name in names]
    rows: list[dict[str, Any]] = []
    fits: list[CurveFit] = []
    for inner in ranked(laws, train, arguments.objective):
        fit = fit_curves(curve_law(inner.law), train, arguments.objective)
        tests = [score(fit, curve) for curve in test] if fit.parameters else []
        fits.append(fit)
        rows.append(
            {
                "law": inner.law,
                "inner_mean_abs_relative_error": finite(inner.mean_abs_relative_error),
                "inner_worst": finite(inner.worst),
                "status": fit.status,
                "reason": fit.reason,
                "parameters": fit.parameters,
                "test": [vars(each) for each in tests],
                **summary(tests),
            }
        )
    notes = [note for curve in (*train, *test) for note in curve.notes]
    notes += foreign_notes(fits[0], train, test)  # of the best law: the others would say much alike
    best = rows[0]["law"] if rows[0]["inner_mean_abs_relative_error"] is not None else None
    if not write_document({"laws": rows, "best": best, "notes": notes}, arguments.json):
        width = max(14, *(len(row["law"]) for row in rows))
        print(f"{'law':<{width}} {'inner':>9} {'worst':>9} {'test':>9} {'worst':>9}  status")
        for row in rows:
            errors = ("inner_mean_abs_relative_error", "inner_worst", "mean_abs_relative_error", "worst")
            shown = " ".join("        -" if row[key] is None else f"{100 * row[key]:7.3f} %" for key in errors)
            print(f"{row['law']:<{width}} {shown}  {row['status']}{': ' + row['reason'] if row['reason'] else ''}")
        for note in notes:
            print(f"note: {note}")
    if best is None:
        raise InputError("refused: no law could be fitted to these curves")
    return 0
