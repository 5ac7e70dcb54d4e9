"""`windtunnel laws`: the catalogue of laws, or one of them in full."""

import argparse
from typing import Any

from windtunnel.analysis.laws import all_laws
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.laws.law import Law
from windtunnel.sweeps.cli.arguments import json_output, write_document

EXAMPLE = """examples:
  windtunnel laws
  windtunnel laws chinchilla
  windtunnel laws power:D --json -

A law in one column takes another one after a colon (power:D). Parameters are held or tied after an @, each after
its own: chinchilla@alpha=0.35@beta=0.4, chinchilla@beta=alpha. A / makes one of two steps: overtraining/error-loss."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("name", nargs="?", metavar="NAME", help="one law in full; default all, a line each")
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the catalogue for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    laws = all_laws() if arguments.name is None else (law_named(arguments.name),)
    if write_document({"laws": [document(law) for law in laws]}, arguments.json):
        return 0
    if arguments.name is None:
        width = max(len(law.name) for law in laws)
        print("\n".join(f"{law.name:<{width}}  {law.formula}" for law in laws))
    else:
        print(describe(laws[0]))
    return 0


def document(law: Law) -> dict[str, Any]:
    """A law as JSON."""
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


def describe(law: Law) -> str:
    lines = [
        f"{law.name}: {law.title}",
        f"formula    {law.formula}",
        f"columns    {', '.join(law.columns)} -> {law.target}",
        f"objective  {law.objective} unless another is named",
        f"needs      {law.grid}",
        f"citation   {law.citation}",
        "parameters",
    ]
    width = max(len(parameter.name) for parameter in law.parameters)
    return "\n".join(lines + [f"  {parameter.name:<{width}}  {parameter.meaning}" for parameter in law.parameters])
