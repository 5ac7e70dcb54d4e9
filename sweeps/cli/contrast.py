"""`windtunnel contrast`: compare two arms at a compute budget."""

import argparse
from collections.abc import Callable

from windtunnel.analysis.comparison.contrast import REPLICATES, Contrast, contrast
from windtunnel.analysis.comparison.crossover import Verdict
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.target import parse_at
from windtunnel.analysis.report.number_format import format_interval
from windtunnel.analysis.report.text import format_table, table_notes
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli.arguments import (
    SOURCE,
    add_extrapolation_argument,
    add_json_argument,
    add_replicate_arguments,
    add_selection_arguments,
)
from windtunnel.sweeps.cli.output import print_result
from windtunnel.sweeps.cli.study_arguments import resolve_source
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel contrast runs-muon runs-adamw --at C=1e20
  windtunnel contrast runs runs --where-a "activation == 'gelu'" --where-b "activation == 'swiglu'" --at C=1e18
  windtunnel contrast a.csv b.csv --law power:C --columns C=flops,loss=val_loss --at C=1e18 --json -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help=f"one arm: {SOURCE}")
    parser.add_argument("second", metavar="B", help="the other arm")
    parser.add_argument("--at", required=True, metavar="C=1e20", help="the budget, and other columns of the law")
    parser.add_argument(
        "--law",
        metavar="NAME",
        help="default: chinchilla at its best size where both arms are grids of N and D, else power:C",
    )
    parser.add_argument("--objective", metavar="O", help="as of `windtunnel fit`; default: the law's own")
    add_selection_arguments(parser)
    parser.add_argument("--where-a", metavar="EXPR", help="rows of A to keep")
    parser.add_argument("--where-b", metavar="EXPR", help="rows of B to keep")
    add_replicate_arguments(parser, REPLICATES, "bootstrap replicates")
    add_extrapolation_argument(parser, "budget")
    add_json_argument(parser, "the contrast")


def run(arguments: argparse.Namespace) -> int:
    at = parse_at(arguments.at)
    if "C" not in at or {"N", "D", "M"} & at.keys():
        raise InputError(f"--at {arguments.at}: arms are compared at a compute budget; write --at C=1e20")
    arms = (_arm(arguments, arguments.first, arguments.where_a), _arm(arguments, arguments.second, arguments.where_b))
    result = contrast(
        *arms,
        at.pop("C"),
        law=None if arguments.law is None else get_law(arguments.law),
        at=at,
        objective=arguments.objective,
        replicates=arguments.bootstrap,
        seed=arguments.seed,
        allow_extrapolation=arguments.allow_extrapolation,
    )
    notes = [f"{letter}: {note}" for letter, arm in zip("AB", arms, strict=True) for note in table_notes(arm)]
    print_result(arguments, result.to_dict(), [*format_contrast(result), *notes])
    return 0


def _arm(arguments: argparse.Namespace, source: str, where: str | None) -> Table:
    conditions = [f"({condition})" for condition in (arguments.where, where) if condition]
    return load_table(
        resolve_source(source),
        columns=arguments.columns,
        where=" and ".join(conditions) or None,
        allow_mixed=arguments.allow_mixed,
    )


def format_contrast(contrast: Contrast) -> list[str]:
    """The contrast for people: one column for each treatment of the irreducible losses."""
    rows: list[tuple[str, Callable[[Verdict], str]]] = [
        ("loss of A", lambda verdict: f"{verdict.loss_a:.5g} {format_interval(*verdict.loss_a_interval_90, '.5g')}"),
        ("loss of B", lambda verdict: f"{verdict.loss_b:.5g} {format_interval(*verdict.loss_b_interval_90, '.5g')}"),
        (
            "A - B",
            lambda verdict: f"{verdict.difference:+.4f} {format_interval(*verdict.difference_interval_90, '+.4f')}",
        ),
        ("P(A better)", lambda verdict: f"{verdict.probability_a_better:.3f}"),
        ("  at the largest budget of the data", lambda verdict: f"{verdict.probability_a_better_at_data:.3f}"),
        ("compute multiplier", _multiplier),
        ("crossover, FLOPs", _crossover),
        ("  P(before the target)", lambda verdict: f"{verdict.probability_of_crossing_before_target:.3f}"),
        ("  P(within 10 x the data)", lambda verdict: f"{verdict.probability_of_crossing_within_10x:.3f}"),
    ]
    headings = ["irreducible losses", *(verdict.irreducible_loss for verdict in contrast.verdicts)]
    cells = [headings, *([name, *map(text, contrast.verdicts)] for name, text in rows)]
    return [
        f"A {contrast.names[0]}, B {contrast.names[1]}: {contrast.law} at C = {contrast.flops:.4g}, "
        f"{contrast.extrapolation:.3g} x the data; {contrast.pairs} pairs of runs with the same seed and budget "
        f"(noise correlation {contrast.correlation:.2f})",
        *format_table(cells, "<" * len(headings)),
        "compute multiplier: the compute that B needs for A's loss at the target, relative to the target",
        *(f"warning: {warning}" for warning in contrast.warnings),
    ]


def _crossover(verdict: Verdict) -> str:
    if verdict.crossover is None:
        return "none found"
    interval = verdict.crossover_interval_90
    return f"{verdict.crossover:.3g}" + (f" {format_interval(*interval, '.3g')}" if interval else "")


def _multiplier(verdict: Verdict) -> str:
    value = verdict.compute_multiplier
    shown = "unbounded" if value == float("inf") else f"{value:.3g}"
    return f"{shown} {format_interval(*verdict.compute_multiplier_interval_90, '.3g')}"
