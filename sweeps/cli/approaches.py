"""`windtunnel approaches`: Chinchilla's three approaches to the best size and tokens, and whether they disagree."""

import argparse
import math
from typing import Any

from windtunnel.analysis.compute_optimal.approach import Approach, Estimate
from windtunnel.analysis.compute_optimal.approaches import Approaches, Difference, compare_approaches
from windtunnel.analysis.compute_optimal.weighted_line import LEVEL
from windtunnel.sweeps.cli.arguments import (
    add_table_arguments,
    json_output,
    refuse_one_file,
    seed_number,
    table_of_arguments,
    told_of,
    write_document,
)
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel approaches runs
  windtunnel approaches points.csv --columns N=params,D=tokens,C=flops,loss=val_loss --flops 1e20 --flops 1e22
  windtunnel approaches runs --where "data == '0123456789abcdef'" --json -"""
TITLES = {
    "envelope": "1 envelope of the sizes' curves",
    "isoflop": "2 isoFLOP minima",
    "parametric": "3 law E + A/N^alpha + B/D^beta",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    add_table_arguments(parser)
    parser.add_argument(
        "--flops",
        type=float,
        metavar="C",
        action="append",
        default=[],
        help="a budget, counted as the table counts C; repeatable; default the table's largest and 10 times it",
    )
    parser.add_argument(
        "--far", action="store_true", help="allow a budget more than 30 times beyond the data, or below it"
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of the draws of noise; default 0")
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Compares and prints. Raises InputError for bad input, and where all three are refused."""
    refuse_one_file(source=arguments.source, json=arguments.json)
    table = table_of_arguments(arguments)
    found = compare_approaches(table, arguments.flops, far=arguments.far, seed=arguments.seed)
    if not write_document(document(found), arguments.json):
        print("\n".join([describe(found), *told_of(table)]))
    if all(each.refused for each in found.approaches):
        raise InputError("; ".join(f"{each.name} refused ({each.status}): {each.reason}" for each in found.approaches))
    return 0


def document(found: Approaches) -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "sentence": found.sentence,
        "interval_level": LEVEL,
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


def _estimate(found: Estimate, *, of_log: bool = False) -> dict[str, Any]:
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


def describe(found: Approaches) -> str:
    """The approaches and their differences for people."""
    lines = [f"{'approach':<32}{'a (N ~ C^a)':<26}{'b (D ~ C^b)':<26}from"]
    for each in found.approaches:
        if each.exponent_N is None or each.exponent_D is None:
            lines.append(f"{TITLES[each.name]:<32}refused ({each.status}): {each.reason}")
            continue
        lines.append(
            f"{TITLES[each.name]:<32}{_number(each.exponent_N):<26}{_number(each.exponent_D):<26}{each.points}"
        )
    answered = any(not each.refused for each in found.approaches)
    for place, C in enumerate(found.budgets if answered else ()):
        lines += ["", f"{f'at C = {C:.4g} FLOPs':<32}{'N, parameters':<32}{'D, tokens':<32}{'loss':>8}"]
        for each in found.approaches:
            if not each.refused:
                best = each.optima[place]
                loss = f"{best.loss:.4f}" if math.isfinite(best.loss) else "-"
                lines.append(f"{TITLES[each.name]:<32}{_size(best.log_N):<32}{_size(best.log_D):<32}{loss:>8}")
    if found.differences:
        heads = "".join(f"{f'N at {C:.3g}':<30}" for C in found.budgets).rstrip()
        lines += ["", f"{'difference':<32}{'a':<30}{heads}"]
        pairs = dict.fromkeys((each.one, each.other) for each in found.differences)
        lines += [_pair(found, one, other) for one, other in pairs]
        lines.append("* beyond what the runs' shared noise and each approach's own scatter explain")
    lines += ["", found.sentence]
    if answered:
        lines.append("intervals are 95 %; those of differences are for all pairs together")
    for each in found.approaches:
        lines += [f"note: {each.name}: {note}" for note in each.notes]
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


def _pair(found: Approaches, one: str, other: str) -> str:
    line = f"{f'{one} - {other}':<32}"
    for each in found.differences:
        if (each.one, each.other) != (one, other) or each.quantity == "b":
            continue
        mark = " *" if each.disagree else ""
        low, high = each.interval
        if each.quantity == "a":
            line += f"{f'{each.value:+.4f} [{low:+.4f}, {high:+.4f}]{mark}':<30}"
        else:
            ratio, low, high = (_exponential(end) for end in (each.value, low, high))
            line += f"{f'{ratio:.3g}x [{low:.3g}, {high:.3g}]{mark}':<30}"
    return line.rstrip()


def _number(found: Estimate) -> str:
    low, high = found.interval
    return f"{found.value:.4f} [{low:.4f}, {high:.4f}]"


def _size(found: Estimate) -> str:
    low, high = (_exponential(end) for end in found.interval)
    return f"{_exponential(found.value):.4g} [{low:.3g}, {'unbounded' if math.isinf(high) else f'{high:.3g}'}]"


def _exponential(value: float) -> float:
    """Infinite where it would overflow."""
    return math.exp(value) if value < 700.0 else math.inf
