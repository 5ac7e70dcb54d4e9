"""`windtunnel approaches`: compare the three Chinchilla approaches to the best model size and token count."""

import argparse
import math
from typing import Any

from windtunnel.analysis.compute_optimal.approach import Approach, NoisyEstimate
from windtunnel.analysis.compute_optimal.approaches import Approaches, Difference, compare_approaches
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL
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
    print_result(arguments, document(result), [*format_approaches(result), *table_notes(table)])
    if all(approach.refused for approach in result.approaches):
        refusals = (f"{approach.name} refused ({approach.status}): {approach.reason}" for approach in result.approaches)
        raise InputError("; ".join(refusals))
    return 0


def document(found: Approaches) -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "sentence": found.sentence,
        "interval_level": INTERVAL_LEVEL,
        "budgets": [*found.budgets],
        "approaches": [_approach(each) for each in found.approaches],
        "differences": [_difference(each) for each in found.differences],
        "notes": [*found.notes],
    }


def _approach(found: Approach) -> dict[str, Any]:
    return {
        "approach": found.name,
        "status": found.status,
        "reason": found.reason,
        "points": found.points,
        "noise": found.noise,
        "exponent_N": None if found.exponent_N is None else _estimate(found.exponent_N),
        "exponent_D": None if found.exponent_D is None else _estimate(found.exponent_D),
        "optima": [
            {
                "C": each.C,
                "N": _estimate(each.log_N, of_log=True),
                "D": _estimate(each.log_D, of_log=True),
                "loss": None if math.isnan(each.loss) else each.loss,
            }
            for each in found.optima
        ],
        "notes": [*found.notes],
    }


def _estimate(found: NoisyEstimate, *, of_log: bool = False) -> dict[str, Any]:
    low, high = (_exponential(end) for end in found.interval) if of_log else found.interval
    value = _exponential(found.value) if of_log else found.value
    return {"value": value, "interval": [end if math.isfinite(end) else None for end in (low, high)]}


def _difference(found: Difference) -> dict[str, Any]:
    low, high = found.interval
    return {
        "approaches": [found.one, found.other],
        "quantity": found.quantity,
        "C": found.C,
        "value": found.value,
        "interval": [end if math.isfinite(end) else None for end in (low, high)],
        "disagree": found.disagree,
    }


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
            low, high = map(_exponential, difference.interval)
            row.append(f"{_exponential(difference.value):.3g} x {format_interval(low, high, '.3g')}{mark}")
    return row


def _format_exponent(estimate: NoisyEstimate) -> str:
    return f"{estimate.value:.4f} {format_interval(*estimate.interval, '.4f')}"


def _format_size(log_size: NoisyEstimate) -> str:
    low, high = map(_exponential, log_size.interval)
    return f"{format_count(_exponential(log_size.value))} {format_interval(low, high, format_count)}"


def _exponential(value: float) -> float:
    """exp, infinite where it would overflow."""
    return math.exp(value) if value < 700.0 else math.inf
