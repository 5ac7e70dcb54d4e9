"""`windtunnel curves fit`: fit a law of learning-rate schedules to whole loss curves."""

import argparse

from windtunnel.analysis.curves.cross_validation import CrossValidationScore, CurveScore
from windtunnel.analysis.curves.ensemble import AUTO
from windtunnel.analysis.curves.fit_curves import NUM_REPLICATES, CurveFitResult, fit_curves
from windtunnel.analysis.curves.laws import NAMES
from windtunnel.analysis.report.number_format import format_percent
from windtunnel.analysis.report.text import format_notes, format_table
from windtunnel.sweeps.cli.arguments import add_json_argument, add_replicate_arguments
from windtunnel.sweeps.cli.curve_arguments import add_curve_arguments
from windtunnel.sweeps.cli.output import print_result
from windtunnel.sweeps.cli.paths import output_file
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel curves fit --law annealing --train cosine.csv constant.csv two-stage.csv --test wsd.csv
  windtunnel curves fit --law auto --train runs/25k-*-cosine-* runs/25k-*-constant-* --output law.json --bootstrap 200

A file has the columns step, lr and loss at any logging interval; the loss of a row is the one before its update.
--law auto combines the laws, weighted by how well each predicts every training curve from the others; test curves do
not enter the fit."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--law", required=True, metavar="NAME", help=f"{', '.join(NAMES)}, or {AUTO}")
    add_curve_arguments(parser)
    add_replicate_arguments(parser, NUM_REPLICATES, "bootstrap replicates over curves, for the intervals of --output")
    parser.add_argument(
        "--output", type=output_file, metavar="FIT.json", help="write the fit, for `windtunnel curves predict`"
    )
    add_json_argument(parser, "the fit")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and for curves that cannot be fitted."""
    result = fit_curves(
        arguments.train,
        arguments.law,
        test=arguments.test,
        columns=arguments.columns,
        warmup=arguments.warmup,
        losses=arguments.losses,
        objective=arguments.objective,
        num_replicates=arguments.bootstrap,
        seed=arguments.seed,
    )
    if arguments.output is not None and result.parameters:
        result.to_json(arguments.output)
    print_result(arguments, result.to_dict(), [*format_curve_fit(result), *format_notes(result.notes)])
    if not result.parameters:
        raise InputError(f"refused ({result.status}): {result.fit.reason}")
    return 0


def format_curve_fit(result: CurveFitResult) -> list[str]:
    """The fit for people. A parameter that is not identified has no value."""
    fit, tests = result.fit, result.tests
    rows = [["cross-validation", "mean error", "worst", ""]]
    rows += [[score.law, *_errors(score), score.reason] for score in result.cross_validation]
    lines = format_table(rows, "<>><") if result.cross_validation else []
    lines += [
        *(f"{law.name}: {law.formula}" for law in getattr(fit.law, "members", (fit.law,))),
        *([f"combined: {fit.law.name}"] if fit.members else []),
        f"status: {fit.status}{': ' + fit.reason if fit.reason else ''}",
        f"{fit.num_points} points, {fit.objective} = {fit.value:.6g}, {fit.seconds:.2f} s; "
        f"{fit.certificate.starts_agreeing} of {fit.certificate.starts} starts agree",
    ]
    meanings = {parameter.name: parameter.meaning for parameter in fit.law.parameters}
    if fit.parameters:
        rows = [["parameter", "value", "meaning"]]
        for name, value in fit.parameters.items():
            rows.append([name, "not identified" if name in fit.not_identified else f"{value:.6g}", meanings[name]])
        lines += format_table(rows, "<><")
    if tests:
        rows = [["test", "mean error", "worst", "final"]]
        for score in tests:
            rows.append([score.curve, *_errors(score), format_percent(score.final, "+.3f")])
        mean = sum(score.mean_abs_relative_error for score in tests) / len(tests)
        rows.append(["all", *(format_percent(e, ".3f") for e in (mean, max(score.worst for score in tests))), ""])
        lines += format_table(rows, "<>>>")
    return lines


def _errors(score: CurveScore | CrossValidationScore) -> list[str]:
    return [format_percent(error, ".3f") for error in (score.mean_abs_relative_error, score.worst)]
