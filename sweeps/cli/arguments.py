"""The options that every verb with a SOURCE takes, and the table that they ask for."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.from_runs import LOSSES
from windtunnel.analysis.curves.load import read_curves, refuse_twice
from windtunnel.analysis.tables.table import Table, load_table
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically


def add_table_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """SOURCE and how to read it. `several`: the verb names its own sources."""
    if not several:
        parser.add_argument(
            "source",
            metavar="SOURCE",
            help="a study, a folder of runs, a run, a CSV or Parquet file, or wandb:ENTITY/PROJECT",
        )
    parser.add_argument(
        "--columns", metavar="N=a,D=b", help="columns of the source, or expressions of them, under the names laws use"
    )
    parser.add_argument("--where", metavar="EXPR", help="rows to keep: \"D >= 2e6 and schedule == 'wsd'\"")
    parser.add_argument(
        "--exclude",
        metavar="RUN=REASON",
        action="append",
        default=[],
        help="leave out a run (a pattern such as '*-s3-*', or 'row 7') and say why; repeatable",
    )
    parser.add_argument(
        "--include",
        metavar="RUN=REASON",
        action="append",
        default=[],
        help="take a run in although its schedule is unfinished, and say why; repeatable",
    )
    parser.add_argument(
        "--evaluations",
        choices=("final", "all"),
        default="final",
        help="all: the evaluations before each run's end too",
    )
    parser.add_argument(
        "--mixed",
        action="store_true",
        help="take together data sets, schedules or conventions that are no points of one law",
    )


def table_of_arguments(arguments: argparse.Namespace, source: str | None = None) -> Table:
    """The table that the options ask for. Raises InputError."""
    return load_table(
        source or arguments.source,
        columns=arguments.columns,
        where=arguments.where,
        exclude=arguments.exclude,
        include=arguments.include,
        evaluations=arguments.evaluations,
        mixed=arguments.mixed,
    )


def told_of(table: Table) -> list[str]:
    """What a reader must know of the table behind a result: one line for every row left out, and every note."""
    return [
        *(f"left out: {each.run}: {each.reason}" for each in table.excluded),
        *(f"note: {note}" for note in table.notes),
    ]


# The ends of a 95 % interval of fewer replicates are single draws.
LEAST_REPLICATES = 100


def add_replicate_arguments(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    """The two options; where the default is none, `--bootstrap 0` means that too."""
    shown = default or "none"
    parser.add_argument(
        "--bootstrap",
        type=_replicates if default else _replicates_or_none,
        default=default,
        metavar="B",
        help=f"{what}, {LEAST_REPLICATES} or more; default {shown}",
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of the bootstrap; default 0")


def _replicates(text: str) -> int:
    number = _whole(text)
    if number < LEAST_REPLICATES:
        raise argparse.ArgumentTypeError(f"{number} replicates: an interval needs {LEAST_REPLICATES} or more")
    return number


def _replicates_or_none(text: str) -> int:
    return 0 if text == "0" else _replicates(text)


def seed_number(text: str) -> int:
    """A `--seed`."""
    number = _whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number}: a seed is 0 or more")
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


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


def write_document(document: Mapping[str, Any], path: str | None) -> bool:
    """Writes the document where it was asked for. True where that was standard output: nothing else belongs there."""
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


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """How curves are read."""
    parser.add_argument(
        "--columns",
        metavar="step=a,lr=b",
        help="columns of the files for step, lr and loss (N: size, B: tokens a step)",
    )
    parser.add_argument(
        "--warmup",
        type=_steps,
        metavar="STEPS",
        help="length of the warm-up of files whose rates do not show it; default: where the first rise ends, and "
        "where a file begins late at its peak, its first step",
    )
    parser.add_argument(
        "--losses", choices=LOSSES, default="training", help="of run folders: the training curve, or the evaluations"
    )


def add_curve_arguments(parser: argparse.ArgumentParser) -> None:
    """Curves to fit and curves to test on."""
    parser.add_argument(
        "--train",
        nargs="+",
        required=True,
        metavar="F",
        help="curves to fit: CSV or Parquet files, run folders, folders of runs; FILE@N=25e6 says a size",
    )
    parser.add_argument("--test", nargs="+", default=[], metavar="F", help="curves to predict, which no fit sees")
    add_reading_arguments(parser)
    parser.add_argument("--objective", metavar="O", help="log-huber:DELTA, log-mse, huber:DELTA or mse; default 1e-3")


def curves_of_arguments(arguments: argparse.Namespace) -> tuple[list[Curve], list[Curve]]:
    """Curves to fit and to test. Files that begin at their peak within one logging interval of each other are taken to
    have had one warm-up, that of the earliest. Raises InputError.
    """

    def read(warmup: int | None) -> tuple[list[Curve], list[Curve]]:
        train, test = (
            read_curves(words, arguments.columns, warmup, arguments.losses)
            for words in (arguments.train, arguments.test)
        )
        return train, test

    train, test = read(arguments.warmup)
    refuse_twice([*train, *test])
    begins = [curve.rates.warmup for curve in (*train, *test)]
    interval = min(float(np.median(np.diff(curve.time_P))) for curve in (*train, *test))
    if all(curve.warmup_is_guessed for curve in (*train, *test)) and 0 < max(begins) - min(begins) < interval:
        return read(min(begins))
    return train, test


def _steps(text: str) -> int:
    try:
        steps = int(text)
    except ValueError:
        steps = -1
    if steps < 0:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of steps, 0 or more")
    return steps
