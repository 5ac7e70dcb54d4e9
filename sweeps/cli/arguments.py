"""Options that several verbs share, and the table that they describe."""

import argparse

from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli.paths import json_output
from windtunnel.sweeps.cli.study_arguments import resolve_source
from windtunnel.train.errors import InputError

SOURCE = "a study, a folder of runs, a run, a CSV or Parquet file, or wandb:ENTITY/PROJECT"
MIN_REPLICATES = 100  # with fewer, the ends of a 95 % interval are single draws


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """SOURCE, and which of its rows and columns are read."""
    parser.add_argument("source", metavar="SOURCE", help=SOURCE)
    add_selection_arguments(parser)
    parser.add_argument(
        "--exclude",
        metavar="RUN=REASON",
        action="append",
        default=[],
        help="leave out a run: an id, a pattern such as '*-s3-*', or 'row 7'; repeatable",
    )
    parser.add_argument(
        "--include",
        metavar="RUN=REASON",
        action="append",
        default=[],
        help="keep a run although its schedule is unfinished; repeatable",
    )
    parser.add_argument(
        "--evaluations",
        choices=("final", "all"),
        default="final",
        help="all: also the evaluations before the end of each run; default final",
    )


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that also apply to verbs with two sources."""
    parser.add_argument(
        "--columns", metavar="N=a,D=b", help="name columns of the source, or expressions of them, as the laws do"
    )
    parser.add_argument("--where", metavar="EXPR", help="rows to keep, such as \"D >= 2e6 and schedule == 'wsd'\"")
    parser.add_argument(
        "--allow-mixed",
        action="store_true",
        help="allow rows from different datasets, schedules or conventions",
    )


def table_from_arguments(arguments: argparse.Namespace) -> Table:
    """The table of a verb with `add_table_arguments`. Raises InputError."""
    return load_table(
        resolve_source(arguments.source),
        columns=arguments.columns,
        where=arguments.where,
        exclude=arguments.exclude,
        include=arguments.include,
        evaluations=arguments.evaluations,
        allow_mixed=arguments.allow_mixed,
    )


def add_extrapolation_argument(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--allow-extrapolation",
        action="store_true",
        help=f"allow a {what} more than 30 times above or below the data",
    )


def add_replicate_arguments(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    """`--bootstrap` and `--seed`. Where the default is 0, `--bootstrap 0` is allowed too."""
    parser.add_argument(
        "--bootstrap",
        type=_replicates if default else _replicates_or_none,
        default=default,
        metavar="B",
        help=f"number of {what}, at least {MIN_REPLICATES}; default {default or 'none'}",
    )
    add_seed_argument(parser, "bootstrap")


def add_seed_argument(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--seed", type=_seed, default=0, help=f"random seed of the {what}; default 0")


def _replicates(text: str) -> int:
    number = _whole_number(text)
    if number < MIN_REPLICATES:
        raise argparse.ArgumentTypeError(f"{number} replicates: an interval needs {MIN_REPLICATES} or more")
    return number


def _replicates_or_none(text: str) -> int:
    return 0 if text == "0" else _replicates(text)


def _seed(text: str) -> int:
    number = _whole_number(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number}: a seed is 0 or more")
    return number


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def names_from_list(option: str, text: str | None) -> list[str]:
    """The names in a list with commas, such as `chinchilla,kaplan`. Raises InputError where one is repeated."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if len(set(names)) < len(names) or (text is not None and not names):
        raise InputError(f"{option} {text!r}: name each law once, for example {option} chinchilla,kaplan")
    return names


def add_json_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """`--json`. The parser is kept, so that `print_lines` can write argument names as its options."""
    parser.add_argument("--json", type=json_output, metavar="PATH", help=f"write {what} as JSON; - is standard output")
    parser.set_defaults(parser=parser)
