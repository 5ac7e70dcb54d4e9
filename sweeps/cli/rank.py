"""`windtunnel rank`: rank laws by their error on held-out runs."""

import argparse

from windtunnel.analysis.comparison.ranking import rank
from windtunnel.analysis.comparison.stability import format_stability, stability
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.mixture import resolve_columns
from windtunnel.analysis.report.text import format_ranking, table_notes
from windtunnel.sweeps.cli.arguments import (
    add_json_argument,
    add_table_arguments,
    names_from_list,
    table_from_arguments,
)
from windtunnel.sweeps.cli.output import print_result
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel rank runs --laws chinchilla,general,kaplan
  windtunnel rank points.csv --laws chinchilla,overtraining --holdout 'N > 1e9' --json -

Baselines are ranked too: a constant, a power law in C with an irreducible loss, and one without. Below the ranking: the
laws that are statistically indistinguishable from the best, and whether the best stays the best with other Huber
thresholds, without the smallest size, and with every other count of N in the table.

in 90 %  share of held-out losses inside the 90 % prediction intervals
score    width of the 90 % interval plus 20 times the distance outside it, in log loss; less is better"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_table_arguments(parser)
    parser.add_argument(
        "--laws",
        default="chinchilla,general,kaplan",
        metavar="A,B,C",
        help="laws of `windtunnel laws`; default %(default)s",
    )
    parser.add_argument(
        "--holdout", metavar="EXPR", help="rows to hold out; default: the largest runs by compute, in several cuts"
    )
    parser.add_argument("--objective", metavar="O", help="the objective of every law; default: each law's own")
    parser.add_argument("--allow-few-points", action="store_true", help="allow as few points as parameters")
    add_json_argument(parser, "the ranking")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and where no law could be fitted."""
    names = names_from_list("--laws", arguments.laws)
    table = table_from_arguments(arguments)
    laws = [resolve_columns(get_law(name), table.columns) for name in names]
    holdout, objective, allow_few_points = arguments.holdout, arguments.objective, arguments.allow_few_points
    ranking = rank(table, laws, holdout=holdout, objective=objective, allow_few_points=allow_few_points)
    variants = stability(table, laws, ranking, holdout=holdout, objective=objective, allow_few_points=allow_few_points)
    document = {**ranking.to_dict(), "stability": [vars(variant) for variant in variants]}
    lines = [*format_ranking(ranking), *format_stability(variants, ranking.best), *table_notes(table)]
    print_result(arguments, document, lines)
    named = [law for law in ranking.laws if not law.baseline]
    if all(law.held_out_mean_abs_relative_error is None for law in named):
        reasons = [f"{law.law} ({law.status}): {law.reason}" for law in named]
        raise InputError(f"refused: no law could be fitted: {'; '.join(reasons)}")
    return 0
