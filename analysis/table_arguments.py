"""The options that every verb with a SOURCE takes, and the table that they ask for."""

import argparse

from analysis.table import Table, load_table


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
