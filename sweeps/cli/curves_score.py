"""`windtunnel curves score`: compare a sealed prediction of curves with the trained runs."""

import argparse
from pathlib import Path

from windtunnel.analysis.curves.seal import read_sealed_curves
from windtunnel.analysis.report.number_format import format_percent
from windtunnel.analysis.report.text import format_table
from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import print_result
from windtunnel.train.errors import InputError

EPILOG = """example:
  windtunnel curves score predictions/curves-annealing-0123456789abcdef.json runs/25k-speeches-cosine-*

A run must be the one that was predicted, or a seed replicate of it. Errors are predicted / measured - 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "prediction", type=Path, metavar="PREDICTION", help="written by `windtunnel curves predict --seal`"
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of its trained runs")
    add_json_argument(parser, "the scores")


def run(arguments: argparse.Namespace) -> int:
    from windtunnel.sweeps.pipeline.run_curve import score_run_curve  # loads torch and Hydra

    sealed = read_sealed_curves(arguments.prediction)
    folders = [folder.resolve() for folder in arguments.runs]
    repeated = next((folder for folder in folders if folders.count(folder) > 1), None)
    if repeated is not None:
        raise InputError(f"{repeated}: named twice; a run is scored once")
    scores = [score_run_curve(sealed, folder) for folder in arguments.runs]
    rows = [["run", "mean error", "worst", "final", "in 90 % interval"]]
    for score in scores:
        errors = [format_percent(error, ".3f") for error in (score.mean_abs_relative_error, score.worst)]
        inside = {True: "yes", False: "no", None: "-"}[score.inside_90]
        rows.append([score.run, *errors, format_percent(score.final, "+.3f"), inside])
    document = {
        "law": sealed.law,
        "sealed": sealed.sealed,
        "time": sealed.time,
        "runs": [score.to_dict() for score in scores],
    }
    heading = f"{sealed.law}, sealed {sealed.time} as {sealed.sealed[:16]}"
    print_result(arguments, document, [heading, *format_table(rows, "<>>><")])
    return 0
