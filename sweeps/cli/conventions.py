"""`windtunnel conventions`: compare exponents under every count of parameters and FLOPs."""

import argparse

from windtunnel.analysis.comparison.convention_audit import ConventionExponents, audit_conventions, exponent_ranges
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.report.number_format import format_interval
from windtunnel.analysis.report.text import format_table, table_notes
from windtunnel.sweeps.cli.arguments import (
    add_json_argument,
    add_replicate_arguments,
    add_table_arguments,
    table_from_arguments,
)
from windtunnel.sweeps.cli.output import print_lines, write_document
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel conventions runs
  windtunnel conventions points.csv --columns N=total,N_non_embedding=body,D=tokens,C_exact=flops,loss=val_loss
  windtunnel conventions runs --law overtraining --json -

A column N or N_... is a count of parameters, C or C_... a count of FLOPs. 6 N D of each N is added where it is
missing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_table_arguments(parser)
    parser.add_argument("--law", default="chinchilla", metavar="NAME", help="default %(default)s")
    parser.add_argument("--objective", metavar="O", help="as of `windtunnel fit`; default: the law's own")
    add_replicate_arguments(parser, 400, "bootstrap replicates over runs")
    add_json_argument(parser, "the exponents")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and where no convention could be fitted."""
    law = get_law(arguments.law)
    table = table_from_arguments(arguments)
    results = audit_conventions(table, law, arguments.objective, replicates=arguments.bootstrap, seed=arguments.seed)
    is_fitted = any(result.exponents for result in results)
    document = {
        "law": arguments.law,
        "interval_level": INTERVAL_LEVEL,
        "conventions": [result.to_dict() for result in results],
        "spread": {name: list(ends) for name, ends in exponent_ranges(results).items()},
    }
    if not write_document(document, arguments.json) and is_fitted:
        print_lines(arguments, [*format_conventions(results), *table_notes(table)])
    if not is_fitted:
        reasons = dict.fromkeys(f"refused ({result.status}): {result.reason}" for result in results)
        raise InputError(f"no convention could be fitted: {'; '.join(reasons)}")
    return 0


def format_conventions(results: list[ConventionExponents]) -> list[str]:
    """A row for each convention and a column for each exponent, then the range of each exponent."""
    names = list(dict.fromkeys(name for result in results for name in result.exponents))
    rows = [["from", "N", "C", *(f"{name} ({100 * INTERVAL_LEVEL:.0f} %)" for name in names), "status"]]
    for result in results:
        estimates = [result.exponents.get(name) for name in names]
        cells = ["-" if e is None else f"{e.value:.4f} {format_interval(*e.interval, '.3f')}" for e in estimates]
        status = f"{result.status}: {result.reason}" if result.reason else result.status
        rows.append([result.source, result.N, result.C or "-", *cells, status])
    lines = format_table(rows, "<" * len(rows[0]))
    if len({(result.N, result.C) for result in results}) == 1:
        lines.append(
            f"the table has only one convention, N = {results[0].N}: name others with --columns N_other=COLUMN"
        )
        return lines
    for source in dict.fromkeys(result.source for result in results):
        for name, (low, high) in exponent_ranges([result for result in results if result.source == source]).items():
            lines.append(f"{name} is between {low:.4f} and {high:.4f}, depending on the convention ({source})")
    return lines
