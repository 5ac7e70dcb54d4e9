"""`windtunnel doctor`: show what this machine can do."""

import argparse
from typing import Any

from windtunnel.analysis.report.text import format_table
from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import print_result

EPILOG = """example:
  windtunnel doctor --json -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_argument(parser, "the findings")


def run(arguments: argparse.Namespace) -> int:
    from windtunnel.train.doctor import examine  # loads torch

    findings = examine()
    rows = [[name.replace("_", " "), line] for name, value in findings.items() for line in _lines(value)]
    for previous, row in zip(reversed(rows[:-1]), reversed(rows[1:]), strict=True):
        if previous[0] == row[0]:
            row[0] = ""  # a finding of several lines has its name on the first
    print_result(arguments, findings, format_table(rows, "<<"))
    return 0


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}: {item}" for name, item in value.items()]
    if isinstance(value, list):
        return [", ".join(map(str, value))]
    return ["not found" if value is None else str(value)]
