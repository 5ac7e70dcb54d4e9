"""Where a verb writes: checked when the command line is read, not after the work is done."""

import argparse
import os
from pathlib import Path

from train.errors import InputError


def output_file(text: str) -> Path:
    """A file that can be written; `-` is not one."""
    path = Path(text)
    if text == "-":
        raise argparse.ArgumentTypeError("- is standard output, which --json alone can write to; name a file")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    _refuse_unwritable(path, path.parent)
    return path


def json_output(text: str) -> str:
    """The PATH of `--json`: a file that can be written, or `-`."""
    return text if text == "-" else str(output_file(text))


def output_folder(text: str) -> Path:
    """A folder that is there or can be made."""
    path = Path(text)
    nearest = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise argparse.ArgumentTypeError(f"{nearest} is a file; name a folder")
    _refuse_unwritable(path, nearest)
    return path


def refuse_one_file(*read: object, **named: object) -> None:
    """Raises InputError where two of a verb's paths are one file: the second would overwrite the first. `read` are
    files that the verb reads, which may be one; `source` is that of the table. The runs of a study are no file.
    """
    seen = {Path(each).resolve(): "a file that is read" for each in read if isinstance(each, str | Path)}
    for name, value in named.items():
        if not isinstance(value, str | Path) or str(value) == "-" or str(value).startswith("wandb:"):
            continue
        path, shown = Path(value).resolve(), "the source" if name == "source" else f"--{name}"
        if path in seen:
            raise InputError(f"{shown} {value}: that is {seen[path]} too; give each its own file")
        seen[path] = shown


def _refuse_unwritable(path: Path, folder: Path) -> None:
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK) or (path.is_file() and not os.access(path, os.W_OK)):
        raise argparse.ArgumentTypeError(f"{path} cannot be written; name another place")
