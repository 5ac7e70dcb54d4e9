"""`windtunnel audit`: the same losses under every count of parameters and FLOPs, exponents side by side."""

import argparse
import math
from typing import Any

from windtunnel.analysis.comparison.convention_audit import Audited, audit, spread
from windtunnel.analysis.compute_optimal.weighted_line import LEVEL
from windtunnel.analysis.laws import law as law_named
from windtunnel.sweeps.cli.arguments import (
    add_replicate_arguments,
    add_table_arguments,
    json_output,
    refuse_one_file,
    table_of_arguments,
    told_of,
    write_document,
)
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel audit runs
  windtunnel audit points.csv --columns N=total,N_non_embedding=body,D=tokens,C_exact=flops,loss=val_loss
  windtunnel audit runs --law overtraining --json -

A column N or N_... is a count of parameters, C or C_... of FLOPs; 6 N D of each N is added where it is missing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    add_table_arguments(parser)
    parser.add_argument("--law", default="chinchilla", metavar="NAME", help="default chinchilla")
    parser.add_argument("--objective", metavar="O", help="as `windtunnel fit` takes it")
    add_replicate_arguments(parser, 400, "replicates over runs")
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Refits and prints. Raises InputError for bad input, and where no convention could be fitted."""
    refuse_one_file(source=arguments.source, json=arguments.json)
    law = law_named(arguments.law)
    table = table_of_arguments(arguments)
    found = audit(table, law, arguments.objective, replicates=arguments.bootstrap, seed=arguments.seed)
    fitted = any(each.exponents for each in found)
    if not write_document(document(arguments.law, found), arguments.json) and fitted:
        print("\n".join([describe(found), *told_of(table)]))
    if not fitted:
        reasons = dict.fromkeys(f"refused ({each.status}): {each.reason}" for each in found)
        raise InputError(f"no convention could be fitted: {'; '.join(reasons)}")
    return 0


def document(law: str, found: list[Audited]) -> dict[str, Any]:
    return {
        "law": law,
        "interval_level": LEVEL,
        "conventions": [
            {
                "source": each.source,
                "N": each.N,
                "C": each.C,
                "status": each.status,
                "reason": each.reason,
                "exponents": {
                    name: {"value": estimate.value, "interval": [_number(end) for end in estimate.interval]}
                    for name, estimate in each.exponents.items()
                },
                "objective_value": _number(each.value),
                "num_points": each.num_points,
            }
            for each in found
        ],
        "spread": {name: list(ends) for name, ends in spread(found).items()},
    }


def describe(found: list[Audited]) -> str:
    """A row for each convention, a column for each exponent, and how far apart they are."""
    names = list(dict.fromkeys(name for each in found for name in each.exponents))
    cells = [["from", "N", "C", *(f"{name} ({100 * LEVEL:.0f} %)" for name in names), "status"]]
    for each in found:
        shown = []
        for name in names:
            estimate = each.exponents.get(name)
            low, high = estimate.interval if estimate else (math.nan, math.nan)
            shown.append(f"{estimate.value:.4f} [{low:.3f}, {high:.3f}]" if estimate else "-")
        status = each.status if not each.reason else f"{each.status}: {each.reason}"
        cells.append([each.source, each.N, each.C or "-", *shown, status])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    if len({(each.N, each.C) for each in found}) == 1:
        lines.append(f"only one convention in the table, N = {found[0].N}: name others with --columns N_other=COLUMN")
        return "\n".join(lines)
    for source in dict.fromkeys(each.source for each in found):  # what differs between the two is no convention
        for name, (low, high) in spread([each for each in found if each.source == source]).items():
            lines.append(f"{name} moves from {low:.4f} to {high:.4f} with the convention, by {source}")
    return "\n".join(lines)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
