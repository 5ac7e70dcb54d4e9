"""`windtunnel laws`: the catalog of scaling laws, or one law in full."""

import argparse
from typing import Any

from windtunnel.analysis.laws.catalog import all_laws, get_law
from windtunnel.analysis.laws.law import Law
from windtunnel.analysis.report.text import format_table
from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import print_result

EPILOG = """examples:
  windtunnel laws
  windtunnel laws chinchilla
  windtunnel laws power:D --json -

A colon gives the column of a law of one column: power:D. An @ fixes a parameter or ties it to another:
chinchilla@alpha=0.35@beta=0.4, chinchilla@beta=alpha. A slash composes two laws: overtraining/error-loss."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="show this law in full; default: one line for each law")
    add_json_argument(parser, "the laws")


def run(arguments: argparse.Namespace) -> int:
    laws = all_laws() if arguments.name is None else (get_law(arguments.name),)
    lines = format_table([[law.name, law.formula] for law in laws], "<<")
    document = {"laws": [_document(law) for law in laws]}
    print_result(arguments, document, lines if arguments.name is None else format_law(laws[0]))
    return 0


def _document(law: Law) -> dict[str, Any]:
    return {
        "law": law.name,
        "title": law.title,
        "formula": law.formula,
        "columns": [*law.columns],
        "target": law.target,
        "objective": law.objective,
        "parameters": {parameter.name: parameter.meaning for parameter in law.parameters},
        "grid": law.grid,
        "citation": law.citation,
    }


def format_law(law: Law) -> list[str]:
    rows = [
        ["formula", law.formula],
        ["columns", f"{', '.join(law.columns)} -> {law.target}"],
        ["objective", f"{law.objective} (default)"],
        ["grid", law.grid],
        ["citation", law.citation],
        ["parameters", ""],
        *([f"  {parameter.name}", parameter.meaning] for parameter in law.parameters),
    ]
    return [f"{law.name}: {law.title}", *format_table(rows, "<<")]
