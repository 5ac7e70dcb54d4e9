"""`windtunnel rank`: laws by what they say of runs they have not seen."""

import argparse

from windtunnel.analysis.comparison.backtest import Ranking, rank
from windtunnel.analysis.comparison.stability import describe as describe_stability
from windtunnel.analysis.comparison.stability import stability
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.laws.mixture import for_table
from windtunnel.sweeps.cli.arguments import (
    add_table_arguments,
    json_output,
    refuse_one_file,
    table_of_arguments,
    told_of,
    write_document,
)
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel rank runs --laws chinchilla,general,kaplan
  windtunnel rank points.csv --laws chinchilla,overtraining --hold 'N > 1e9' --json -

Below the ranking: which laws the noise does not tell from the best one, and whether it stays the best under other Huber
thresholds, without the smallest size, and with every other count of N that the table has.

Beside the laws stand plain rivals: constant, a power law without a floor (floorless) and one with it. "in 90 %" is the
share of held-out outcomes inside the 90 % intervals; "score" is the width of the interval plus 20 times the distance of
the outcome outside it, in log loss: less is better."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    add_table_arguments(parser)
    parser.add_argument("--laws", required=True, metavar="A,B,C", help="laws of `windtunnel laws`")
    parser.add_argument(
        "--hold", metavar="EXPR", help="rows to hold out; default: growing cuts, the largest runs by compute held out"
    )
    parser.add_argument("--objective", metavar="O", help="one objective for every law; default each law's own")
    parser.add_argument("--allow-few-points", action="store_true", help="fit as many points as parameters")
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the ranking. Raises InputError for bad input, and where none of the laws could be fitted."""
    refuse_one_file(source=arguments.source, json=arguments.json)
    names = [name.strip() for name in arguments.laws.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(f"--laws {arguments.laws!r}: name each law once, for example --laws chinchilla,general")
    table = table_of_arguments(arguments)
    laws = [for_table(law_named(name), table.columns) for name in names]
    hold, objective, few_points = arguments.hold, arguments.objective, arguments.allow_few_points
    found = rank(table, laws, hold=hold, objective=objective, few_points=few_points)
    variants = stability(table, laws, found, hold=hold, objective=objective, few_points=few_points)
    document = {**found.document(), "stability": [vars(each) for each in variants]}
    if not write_document(document, arguments.json):
        print("\n".join([describe(found), *describe_stability(variants, found.best), *told_of(table)]))
    if all(each.held_out_mean_abs_relative_error is None for each in found.laws if not each.rival):
        reasons = [f"{each.law} ({each.status}): {each.reason}" for each in found.laws if not each.rival]
        raise InputError(f"refused: no law could be fitted: {'; '.join(reasons)}")
    return 0


def describe(found: Ranking) -> str:
    """The ranking for people; errors in per cent."""
    width = max(len(each.law) for each in found.laws)
    lines = [f"{'law':<{width}}  {'mean error':>10}  {'worst':>8}  {'in 90 %':>8}  {'score':>8}  status"]
    for each in found.laws:
        columns = [
            _percent(each.held_out_mean_abs_relative_error, 10),
            _percent(each.held_out_worst, 8),
            _percent(each.coverage_90, 8, 0),
            _percent(each.interval_score, 8),
        ]
        plain = " (plain rival)" if each.rival else ""
        reason = f": {each.reason}" if each.reason else ""
        lines.append(f"{each.law:<{width}}  {'  '.join(columns)}  {each.status}{plain}{reason}")
    lines += [
        f"cut: {fitted} points up to {low:.3g} fitted, {held} from {high:.3g} held out"
        for fitted, held, low, high in found.cuts
    ]
    lines.append("best first by mean error, doubled where under 70 % are in the intervals; the simpler of equals first")
    lines.append("score: width of the 90 % interval plus 20 times the distance outside it, in log loss; less is better")
    if found.not_told_apart:
        lines.append(
            f"{found.best} is not told apart from {', '.join(found.not_told_apart)}: their errors differ by noise"
        )
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


def _percent(value: float | None, width: int, digits: int = 3) -> str:
    return f"{'-':>{width}}" if value is None else f"{100 * value:>{width - 2}.{digits}f} %"
