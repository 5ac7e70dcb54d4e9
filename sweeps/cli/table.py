"""`windtunnel table`: show or write the table of runs of a source."""

import argparse
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.report.number_format import COUNTS
from windtunnel.analysis.report.text import format_table, table_notes
from windtunnel.analysis.tables.conventions import describe_size_convention
from windtunnel.analysis.tables.export import table_to_dict, write_csv, write_parquet
from windtunnel.analysis.tables.table import Table
from windtunnel.models.family import format_count
from windtunnel.sweeps.cli.arguments import add_json_argument, add_table_arguments, table_from_arguments
from windtunnel.sweeps.cli.output import print_result
from windtunnel.sweeps.cli.paths import output_file

EPILOG = """examples:
  windtunnel table runs
  windtunnel table runs --where "schedule == 'wsd' and D >= 2e6" --exclude 'RUN=its machine overheated' --csv table.csv
  windtunnel table points.csv --columns N=params,D=tokens/1e6,loss=val_loss --json -

A written table is a SOURCE again."""
MAX_ROWS, MAX_COLUMNS = 40, 10  # shown
COLUMNS = ("N", "D", "C", "M", "loss", "loss_standard_error", "bits_per_byte", "seed", "rate", "schedule")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_table_arguments(parser)
    parser.add_argument("--csv", type=output_file, metavar="PATH", help="write the table as a CSV file")
    parser.add_argument("--parquet", type=output_file, metavar="PATH", help="write the table as a Parquet file")
    add_json_argument(parser, "the table")


def run(arguments: argparse.Namespace) -> int:
    table = table_from_arguments(arguments)
    for path, write in ((arguments.csv, write_csv), (arguments.parquet, write_parquet)):
        if path is not None:
            write(table, path)
    print_result(arguments, table_to_dict(table), format_rows(table))
    return 0


def format_rows(table: Table) -> list[str]:
    """The first rows of a table, its exclusions and notes, seed replicates, and the convention of N."""
    columns = table.columns_with_trunk
    names = [name for name in COLUMNS if name in columns and not _is_empty(columns[name])]
    if "loss" not in names:
        names += [name for name in columns if name not in names][: MAX_COLUMNS - len(names)]
    rows = [["run", *(f"loss ({table.units['loss']})" if name == "loss" else name for name in names)]]
    for row in range(min(len(table), MAX_ROWS)):
        rows.append([str(table.label[row]), *(_cell(name, columns[name][row]) for name in names)])
    lines = format_table(rows, "<" + ">" * len(names))
    if len(table) > MAX_ROWS:
        lines.append(f"... and {len(table) - MAX_ROWS} more rows; --csv or --json writes all")
    lines.append(f"{len(table)} rows, {len(set(table.run.tolist()))} trunks or runs, {len(columns)} columns")
    groups = table.seed_groups()
    if groups:
        lines.append(f"{sum(map(len, groups))} rows in {len(groups)} groups that differ by their seed alone")
    lines += table_notes(table)
    counts = [name for name in columns if name.startswith("N_") and not np.array_equal(columns[name], columns["N"])]
    if counts and "decayed" in columns:  # our own records; in another table N may be any count
        lines.append(
            f"{describe_size_convention(table)}; others are {', '.join(counts)}: choose with --columns N={counts[0]}"
        )
    return [*lines, f"digest {table.digest[:16]}"]


def _is_empty(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values).all())


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "-"
    if name in COUNTS or name.startswith("N_"):
        return format_count(value)
    if name.startswith("loss") or name == "bits_per_byte":
        return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.4g}"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e5 else f"{value:.4g}"
