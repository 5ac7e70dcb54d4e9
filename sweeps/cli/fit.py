"""`windtunnel fit`: fit a law to a table."""

import argparse

from windtunnel.analysis.fitting.certificate import REFUSED
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.report.text import format_fit, table_notes
from windtunnel.sweeps.cli.arguments import (
    add_json_argument,
    add_replicate_arguments,
    add_table_arguments,
    table_from_arguments,
)
from windtunnel.sweeps.cli.output import print_lines, write_document
from windtunnel.sweeps.cli.paths import output_file
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel fit runs --law chinchilla --output fit.json
  windtunnel fit points.csv --law chinchilla --columns N=params,D=tokens,loss=val_loss --bootstrap 4000
  windtunnel fit points.csv --law power:D --where 'N > 1e6' --objective log-lad --json -
  windtunnel fit points.csv --law chinchilla@alpha=0.35@beta=0.4

A CSV file has a header and one row per run. chinchilla reads the columns N (parameters), D (training tokens) and loss
(nats per token); `windtunnel laws NAME` lists the columns of a law. Where they are missing, M is D / N and C is 6 N D.
Rows that differ by `seed` alone measure the noise. Rows with the same `run` share their noise.

exit status: 0 fitted, 2 bad input, or a fit that is refused; --output and --json are then written too"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_table_arguments(parser)
    parser.add_argument(
        "--law", default="chinchilla", metavar="NAME", help="a law of `windtunnel laws`; default %(default)s"
    )
    parser.add_argument(
        "--objective",
        metavar="O",
        help="log-huber:DELTA, log-lad, log-mse, huber:DELTA, lad or mse; @COLUMN weights rows by 1/COLUMN^2; "
        "log-huber:seed-noise sets DELTA to 1.345 times the seed noise, at least 1e-3; default: the law's own",
    )
    add_replicate_arguments(parser, 0, "bootstrap replicates over runs")
    parser.add_argument("--allow-few-points", action="store_true", help="allow as few points as parameters")
    parser.add_argument("--no-profile", action="store_true", help="skip the profile likelihood of the parameters")
    parser.add_argument(
        "--output", type=output_file, metavar="FIT.json", help="write the fit, for `windtunnel predict` and `optimum`"
    )
    add_json_argument(parser, "the fit")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and for a refused fit after it is written."""
    law = get_law(arguments.law)
    table = table_from_arguments(arguments)
    result = fit(
        table,
        law,
        arguments.objective,
        bootstrap=arguments.bootstrap,
        seed=arguments.seed,
        profile=not arguments.no_profile,
        allow_few_points=arguments.allow_few_points,
    )
    if arguments.output is not None:
        result.to_json(arguments.output)
    if not write_document(result.to_dict(), arguments.json):
        print_lines(arguments, [*([] if result.status in REFUSED else format_fit(result)), *table_notes(table)])
    if result.status in REFUSED:
        raise InputError(f"refused ({result.status}): {result.reason}")
    return 0
