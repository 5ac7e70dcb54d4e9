"""Paths that a verb writes, checked before it does any work."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from windtunnel.train.errors import InputError


def output_file(text: str) -> Path:
    """Argument type: a file that can be written. "-" is not one."""
    path = Path(text)
    if text == "-":
        raise argparse.ArgumentTypeError("- is standard output, which only --json can write to; name a file")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    _check_writable(path, path.parent)
    return path


def json_output(text: str) -> str:
    """Argument type: a file that can be written, or "-" for standard output."""
    return text if text == "-" else str(output_file(text))


def output_folder(text: str) -> Path:
    """Argument type: a folder that exists or can be made."""
    path = Path(text)
    nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not nearest.is_dir():
        raise argparse.ArgumentTypeError(f"{nearest} is a file; name a folder")
    _check_writable(path, nearest)
    return path


def _check_writable(path: Path, folder: Path) -> None:
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK) or (path.is_file() and not os.access(path, os.W_OK)):
        raise argparse.ArgumentTypeError(f"{path} cannot be written; name another path")


def check_distinct_files(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Raises InputError where a verb would write over a file that it reads, or write one file twice.

    Outputs are the arguments of type `output_file` and `json_output`; an input is any other that names a file.
    """
    names: dict[Path, str] = {}
    outputs = [action for action in parser._actions if action.type in (output_file, json_output)]
    for action in parser._actions:
        if action not in outputs:
            for value in _values(arguments, action):
                if _is_file(Path(value)):
                    names[Path(value).resolve()] = _name(action)
    for action in outputs:
        for value in _values(arguments, action):
            path = Path(value).resolve()
            if path in names:
                raise InputError(f"{_name(action)} {value}: this file is also {names[path]}; name another")
            names[path] = _name(action)


def _values(arguments: argparse.Namespace, action: argparse.Action) -> Iterable[str | Path]:
    value: Any = getattr(arguments, action.dest, None)
    values = value if isinstance(value, list) else [value]
    return [value for value in values if isinstance(value, str | Path) and str(value) != "-"]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False


def _name(action: argparse.Action) -> str:
    return action.option_strings[-1] if action.option_strings else str(action.metavar)
