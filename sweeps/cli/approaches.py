"""`windtunnel approaches`: compare the three Chinchilla approaches to the best model size and token count."""

import argparse
import math

from windtunnel.analysis.compute_optimal.approach import NoisyEstimate, exponential
from windtunnel.analysis.compute_optimal.approaches import Approaches, compare_approaches
from windtunnel.analysis.report.number_format import format_interval
from windtunnel.analysis.report.text import format_notes, format_table, table_notes
from windtunnel.models.family import format_count
from windtunnel.sweeps.cli.arguments import (
    add_extrapolation_argument,
    add_json_argument,
    add_seed_argument,
    add_table_arguments,
    table_from_arguments,
)
from windtunnel.sweeps.cli.output import print_result
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel approaches runs
  windtunnel approaches points.csv --columns N=params,D=tokens,C=flops,loss=val_loss --flops 1e20 --flops 1e22
  windtunnel approaches runs --where "data == '0123456789abcdef'" --json -"""
TITLES = {
    "envelope": "1 envelope of the loss curves",
    "isoflop": "2 isoFLOP minima",
    "parametric": "3 law E + A/N^alpha + B/D^beta",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_table_arguments(parser)
    parser.add_argument(
        "--flops",
        type=float,
        metavar="C",
        action="append",
        default=[],
        help="a compute budget, in the C of the table; repeatable; default: the largest of the table and 10 times it",
    )
    add_extrapolation_argument(parser, "budget")
    add_seed_argument(parser, "noise draws")
    add_json_argument(parser, "the approaches")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and where all three approaches are refused."""
    table = table_from_arguments(arguments)
    result = compare_approaches(
        table, arguments.flops, allow_extrapolation=arguments.allow_extrapolation, seed=arguments.seed
    )
    print_result(arguments, result.to_dict(), [*format_approaches(result), *table_notes(table)])
    if all(approach.refused for approach in result.approaches):
        refusals = (f"{approach.name} refused ({approach.status}): {approach.reason}" for approach in result.approaches)
        raise InputError("; ".join(refusals))
    return 0


def format_approaches(result: Approaches) -> list[str]:
    """The exponents of each approach, the best size at each budget, and the differences between approaches."""
    rows = [["approach", "a (N ~ C^a)", "b (D ~ C^b)", "from"]]
    for approach in result.approaches:
        if approach.exponent_N is None or approach.exponent_D is None:
            rows.append([TITLES[approach.name], "-", "-", f"refused ({approach.status}): {approach.reason}"])
        else:
            exponents = map(_format_exponent, (approach.exponent_N, approach.exponent_D))
            rows.append([TITLES[approach.name], *exponents, approach.points])
    lines = format_table(rows, "<<<<")
    fitted = [approach for approach in result.approaches if not approach.refused]
    for place, C in enumerate(result.budgets if fitted else ()):
        rows = [[f"at C = {C:.4g} FLOPs", "N, parameters", "D, tokens", "loss"]]
        for approach in fitted:
            best = approach.optima[place]
            loss = f"{best.loss:.4f}" if math.isfinite(best.loss) else "-"
            rows.append([TITLES[approach.name], _format_size(best.log_N), _format_size(best.log_D), loss])
        lines += ["", *format_table(rows, "<<<>")]
    if result.differences:
        rows = [["difference", "a", *(f"N at C = {C:.3g}" for C in result.budgets)]]
        pairs = dict.fromkeys((difference.one, difference.other) for difference in result.differences)
        rows += [_difference_row(result, one, other) for one, other in pairs]
        lines += ["", *format_table(rows, "<" * len(rows[0]))]
        lines.append("* more than the shared noise of the runs and the scatter of each approach explain")
    lines += ["", result.sentence]
    if fitted:
        lines.append("intervals are 95 %; those of the differences hold for all pairs together")
    for approach in result.approaches:
        lines += [f"note: {approach.name}: {note}" for note in approach.notes]
    return [*lines, *format_notes(result.notes)]


def _difference_row(result: Approaches, one: str, other: str) -> list[str]:
    row = [f"{one} - {other}"]
    for difference in result.differences:
        if (difference.one, difference.other) != (one, other) or difference.quantity == "b":
            continue
        mark = " *" if difference.disagree else ""
        if difference.quantity == "a":
            row.append(f"{difference.value:+.4f} {format_interval(*difference.interval, '+.4f')}{mark}")
        else:
            ratio, interval = exponential(difference.value, difference.interval)
            row.append(f"{ratio:.3g} x {format_interval(*interval, '.3g')}{mark}")
    return row


def _format_exponent(estimate: NoisyEstimate) -> str:
    return f"{estimate.value:.4f} {format_interval(*estimate.interval, '.4f')}"


def _format_size(log_size: NoisyEstimate) -> str:
    size, interval = exponential(log_size.value, log_size.interval)
    return f"{format_count(size)} {format_interval(*interval, format_count)}"
