"""`windtunnel table`: what a source holds, row by row, what is left out and why."""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.conventions import what_size_counts
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli.arguments import (
    add_table_arguments,
    json_output,
    output_file,
    refuse_one_file,
    table_of_arguments,
    told_of,
    write_document,
)
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel table runs
  windtunnel table runs --where "schedule == 'wsd' and D >= 2e6" --exclude 'RUN=its machine overheated' --csv table.csv
  windtunnel table points.csv --columns N=params,D=tokens/1e6,loss=val_loss --json -"""
SHOWN_ROWS = 40
SHOWN_COLUMNS = ("N", "D", "C", "M", "loss", "loss_standard_error", "bits_per_byte", "seed", "rate", "schedule")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    add_table_arguments(parser)
    parser.add_argument("--json", type=json_output, metavar="PATH", help="the table for programs; - is standard output")
    parser.add_argument(
        "--csv", type=output_file, metavar="PATH", help="write it as a CSV file, which is a SOURCE again"
    )
    parser.add_argument("--parquet", type=output_file, metavar="PATH", help="write it as a Parquet file")


def run(arguments: argparse.Namespace) -> int:
    """Reads, prints and writes the table. Raises InputError for bad input."""
    refuse_one_file(source=arguments.source, csv=arguments.csv, parquet=arguments.parquet, json=arguments.json)
    table = table_of_arguments(arguments)
    for path, write in ((arguments.csv, write_csv), (arguments.parquet, write_parquet)):
        if path is not None:
            _write(path, table, write)
    if arguments.json is not None and write_document(document(table), arguments.json):
        return 0
    print(describe(table))
    return 0


def document(table: Table) -> dict[str, Any]:
    """The table as JSON; a number that is missing is null."""
    lists = {name: _plain(values) for name, values in exported(table).items()}
    return {
        "source": table.source,
        "digest": table.digest,
        "num_rows": len(table),
        "columns": [
            {
                "name": name,
                "type": "text" if table.columns[name].dtype.kind != "f" else "number",
                "unit": table.units.get(name),
            }
            for name in table.columns
        ],
        "rows": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)],
        "excluded": [{"run": each.run, "reason": each.reason} for each in table.excluded],
        "notes": list(table.notes),
    }


def exported(table: Table) -> dict[str, NDArray[Any]]:
    """The columns, with `trunk`, which says what shares noise, whatever the source called it."""
    if np.array_equal(table.run, table.label):
        return dict(table.columns)
    return {**table.columns, "trunk": table.run}


def describe(table: Table) -> str:
    """The first rows and everything that a reader must know before a fit."""
    columns = exported(table)
    names = [name for name in SHOWN_COLUMNS if name in columns and not _is_empty(columns[name])]
    names += [name for name in columns if name not in names][: 0 if "loss" in names else 10 - len(names)]
    shown = min(len(table), SHOWN_ROWS)
    heading = [f"{name} ({table.units[name]})" if name in ("loss",) else name for name in names]
    cells = [["run", *heading]]
    for row in range(shown):
        cells.append([str(table.label[row]), *(_shown(name, columns[name][row]) for name in names)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in cells
    ]
    if shown < len(table):
        lines.append(f"... and {len(table) - shown} more rows (--csv or --json writes all)")
    lines.append(f"{len(table)} rows, {len(set(table.run.tolist()))} trunks or runs, {len(columns)} columns")
    groups = table.seed_groups()
    if groups:
        lines.append(f"{sum(map(len, groups))} rows in {len(groups)} settings differ by their seed alone")
    lines += told_of(table)
    counts = [name for name in columns if name.startswith("N_") and not np.array_equal(columns[name], columns["N"])]
    if counts and "decayed" in columns:  # of our records: anybody else's N may be any count
        lines.append(f"{what_size_counts(table)}; others are {', '.join(counts)}: choose with --columns N={counts[0]}")
    return "\n".join([*lines, f"digest {table.digest[:16]}"])


def write_csv(table: Table, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv as csv

    csv.write_csv(pa.table(_nullable(exported(table))), path)


def write_parquet(table: Table, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table(_nullable(exported(table))), path)


def _nullable(columns: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Arrow columns; a missing number is null, which a CSV file writes as nothing."""
    import pyarrow as pa

    return {
        name: pa.array(values, mask=np.isnan(values))
        if values.dtype.kind == "f"
        else pa.array(values.tolist(), pa.string())
        for name, values in columns.items()
    }


def _write(path: Path, table: Table, write: Any) -> None:
    """Write beside the file and rename, so that nobody reads half a table."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(table, temporary)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def _plain(values: NDArray[Any]) -> Sequence[Any]:
    items: list[Any] = values.tolist()
    return [None if isinstance(item, float) and not math.isfinite(item) else item for item in items]


def _is_empty(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values).all())


def _shown(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "-"
    if name.startswith("loss") or name == "bits_per_byte":
        return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.4g}"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e5 else f"{value:.4g}"
