"""`windtunnel score`: compare a sealed prediction with the trained run."""

import argparse
from pathlib import Path

from windtunnel.analysis.prediction.score import RunScore, Score, score
from windtunnel.analysis.prediction.target import format_target
from windtunnel.analysis.report.number_format import format_interval
from windtunnel.analysis.report.text import format_notes, format_table
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


def format_score(score: Score) -> list[str]:
    prediction = score.prediction
    scores = [*score.runs, score.mean] if len(score.runs) > 1 else [*score.runs]
    rows = [["run", "loss", "error", "interval widths", "seed noise", "in 90 % interval"], *map(_row, scores)]
    return [
        f"{prediction.law} at {format_target(prediction.at)}",
        f"sealed {prediction.time} as {(prediction.sealed or '')[:16]}",
        f"predicted loss {prediction.loss:.5g}, 90 % interval {format_interval(*prediction.interval_90, '.5g')}",
        *format_table(rows, "<>>>><"),
        "error: predicted / measured - 1",
        *format_notes(score.notes),
    ]


def _row(score: RunScore) -> list[str]:
    return [
        score.run,
        f"{score.loss:.5g}",
        f"{score.error_percent:+.3f} %",
        "-" if score.interval_widths is None else f"{score.interval_widths:+.2f}",
        "-" if score.seed_noise is None else f"{score.seed_noise:+.2f} sd",
        "yes" if score.inside_90 else "no",
    ]
