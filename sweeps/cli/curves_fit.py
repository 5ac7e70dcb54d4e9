"""`windtunnel curves fit`: a law of schedules fitted to whole curves, and how far it is from others."""

import argparse
from collections.abc import Sequence

from windtunnel.analysis.curves.cross_validation import CurveScore, InnerScore, score
from windtunnel.analysis.curves.ensemble import AUTO, fit_named, validated
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.curves.laws import NAMES, curve_law
from windtunnel.analysis.curves.predict import foreign_notes
from windtunnel.analysis.curves.result import fit_document, fitted_curves
from windtunnel.sweeps.cli.arguments import (
    add_curve_arguments,
    add_replicate_arguments,
    curves_of_arguments,
    json_output,
    output_file,
    refuse_one_file,
    write_document,
)
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel curves fit --law annealing --train cosine.csv constant.csv two-stage.csv --test wsd.csv
  windtunnel curves fit --law auto --train runs/25k-*-cosine-* runs/25k-*-constant-* --output law.json --bootstrap 200

A file has the columns step, lr and loss, in any logging interval; the loss of a row is that before its rate is applied.
--law auto combines the laws, each weighted by how well it predicts every training curve from the others; test curves
decide nothing."""
REPLICATES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("--law", required=True, metavar="NAME", help=f"{', '.join(NAMES)}, or {AUTO}")
    add_curve_arguments(parser)
    add_replicate_arguments(parser, REPLICATES, "replicates over curves, for the intervals of --output")
    parser.add_argument(
        "--output", type=output_file, metavar="FIT.json", help="the fit, for `windtunnel curves predict`"
    )
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fits, tests and prints. Raises InputError for bad input, and for curves that cannot identify the law."""
    refuse_one_file(output=arguments.output, json=arguments.json)
    if arguments.law != AUTO:
        curve_law(arguments.law)  # a mistake in its name before curves are read
    train, test = curves_of_arguments(arguments)
    found, inner = fit_named(arguments.law, train, arguments.objective)
    tests = [score(found, curve) for curve in test] if found.parameters else []
    notes = [note for curve in (*train, *test) for note in curve.notes] + foreign_notes(found, train, test)
    if arguments.output is not None and found.parameters:
        scores = validated(found, train, arguments.objective, inner)
        fitted_curves(found, train, arguments.bootstrap, arguments.seed, scores).to_json(arguments.output)
    document = {**fit_document(found, tests, inner), "train": [curve.name for curve in train], "notes": notes}
    if not write_document(document, arguments.json):
        print("\n".join([*describe(found, tests, inner), *(f"note: {note}" for note in notes)]))
    if not found.parameters:
        raise InputError(f"refused ({found.status}): {found.reason}")
    return 0


def describe(found: CurveFit, tests: Sequence[CurveScore], inner: Sequence[InnerScore]) -> list[str]:
    """The fit for people. A parameter that is not identified has no number."""
    lines = [f"{'inner validation':<20} {'mean error':>11} {'worst':>9}"] if inner else []
    for each in inner:
        told = f"  {each.reason}" if each.reason else ""
        lines.append(f"{each.law:<20} {_percent(each.mean_abs_relative_error):>11} {_percent(each.worst):>9}{told}")
    lines += [
        *(f"{law.name}: {law.formula}" for law in getattr(found.law, "members", (found.law,))),
        *([f"combined: {found.law.name}"] if found.members else []),
        f"status {found.status}{': ' + found.reason if found.reason else ''}",
        f"{found.num_points} points, {found.objective} = {found.value:.6g}, {found.seconds:.2f} s; "
        f"{found.starts_agreeing} of {found.starts} starts agree",
    ]
    meanings = {parameter.name: parameter.meaning for parameter in found.law.parameters}
    wide = max(10, *map(len, found.parameters)) if found.parameters else 10
    for name, value in found.parameters.items():
        shown = "not identified" if name in found.not_identified else f"{value:.6g}"
        lines.append(f"{name:<{wide}} {shown:>14}  {meanings[name]}")
    if tests:
        width = max(len(each.curve) for each in tests)
        lines.append(f"{'test':<{width}} {'mean error':>11} {'worst':>9} {'final':>9}")
        lines += [
            f"{each.curve:<{width}} {_percent(each.mean_abs_relative_error):>11} {_percent(each.worst):>9} "
            f"{_percent(each.final, sign=True):>9}"
            for each in tests
        ]
        mean = sum(each.mean_abs_relative_error for each in tests) / len(tests)
        lines.append(f"{'all':<{width}} {_percent(mean):>11} {_percent(max(each.worst for each in tests)):>9}")
    return lines


def _percent(value: float, *, sign: bool = False) -> str:
    return "-" if value == float("inf") else f"{100 * value:{'+' if sign else ''}.3f} %"
