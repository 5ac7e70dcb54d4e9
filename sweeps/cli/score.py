"""`windtunnel score`: compare a sealed prediction with the trained run."""

import argparse
from pathlib import Path

from windtunnel.analysis.prediction.score import score
from windtunnel.analysis.report.text import format_score
from windtunnel.sweeps.cli.arguments import SOURCE, add_json_argument, add_selection_arguments
from windtunnel.sweeps.cli.output import print_result
from windtunnel.sweeps.cli.study_arguments import resolve_source

EPILOG = """examples:
  windtunnel score predictions/prediction-chinchilla-0123456789abcdef.json runs
  windtunnel score prediction-chinchilla-0123456789abcdef.json points.csv --columns N=params,D=tokens,loss=val_loss

error            predicted / measured - 1, positive where the prediction was too high
interval widths  predicted - measured, in widths of the 90 % interval
seed noise       the error in standard deviations between seeds"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prediction", type=Path, metavar="PREDICTION", help="written by `windtunnel predict --seal`")
    parser.add_argument("source", metavar="SOURCE", help=f"the runs of the target: {SOURCE}")
    add_selection_arguments(parser)
    add_json_argument(parser, "the score")


def run(arguments: argparse.Namespace) -> int:
    result = score(
        arguments.prediction,
        resolve_source(arguments.source),
        columns=arguments.columns,
        where=arguments.where,
        allow_mixed=arguments.allow_mixed,
    )
    print_result(arguments, result.to_dict(), format_score(result))
    return 0
