"""What a verb prints and writes: lines for people, JSON for programs, progress on standard error."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from windtunnel.sweeps.cli.parser import name_options
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically


def print_result(arguments: argparse.Namespace, document: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Write the document where `--json` asks for it, and print the lines unless that is standard output."""
    if not write_document(document, arguments.json):
        print_lines(arguments, lines)


def print_lines(arguments: argparse.Namespace, lines: Iterable[str]) -> None:
    """Print lines, with options in place of argument names. `arguments` are of a parser with `--json`."""
    for line in lines:
        print(name_options(line, arguments.parser))


def write_document(document: Mapping[str, Any], path: str | None) -> bool:
    """Write a JSON document to a file or, for "-", to standard output. True if that was standard output."""
    if path is None:
        return False
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    if path == "-":
        print(text, end="")
        return True
    try:
        write_atomically(Path(path), text.encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    return False


def log(message: str) -> None:
    """Print progress on standard error; standard output holds the result alone."""
    print(message, file=sys.stderr, flush=True)
