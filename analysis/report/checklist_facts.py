"""Facts of a run table about how its runs were made, for the checklist."""

from dataclasses import dataclass

import numpy as np

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.report.figures.fitted_rows import distinct_sizes
from windtunnel.analysis.tables.table import Table

# Column names of the peak learning rate.
RATE_COLUMNS = ("rate", "learning_rate", "peak_rate", "peak_lr", "max_lr", "lr")


@dataclass(frozen=True)
class TableFacts:
    """None where the table has no such column. Counts are of rows, unless they are named for runs."""

    is_records: bool  # rows come from run records, whose columns have known meanings
    num_rows: int
    num_runs: int
    sizes: int | None
    undecayed: int | None  # before the learning rate had decayed
    mid_run: int | None  # evaluated before the end of the run
    earliest_progress: float | None  # share of the run at the earliest evaluation
    schedules: tuple[str, ...]
    rates_per_size: tuple[int, int] | None  # fewest and most distinct peak rates of one size
    several_rates_in_a_cell: int | None  # settings of N and D with more than one rate
    most_epochs: float | None
    repeated: int | None  # rows that saw some data more than once
    seed_groups: int
    seed_rows: int
    commits: tuple[str, ...]
    data_sets: tuple[str, ...]


def table_facts(table: Table) -> TableFacts:
    columns = table.columns
    progress = _numbers(table, "progress")
    decayed = _numbers(table, "decayed")
    rate = next((values for name in RATE_COLUMNS if (values := _numbers(table, name)) is not None), None)
    size, data = _numbers(table, "N"), _numbers(table, "D")
    epochs = _epochs(table)
    groups = table.seed_groups()
    return TableFacts(
        is_records=set(columns) >= {"decayed", "progress", "cell", "N_non_embedding"} or "evaluation_tokens" in columns,
        num_rows=len(table),
        num_runs=len(set(table.run.tolist())),
        sizes=None if size is None else len(distinct_sizes(size)),
        undecayed=None if decayed is None else int((decayed != 1).sum()),
        mid_run=None if progress is None else int((progress < 1).sum()),
        earliest_progress=None if progress is None else float(progress.min()),
        schedules=_texts(table, "schedule"),
        rates_per_size=None if rate is None or size is None else _rates_per_size(rate, size),
        several_rates_in_a_cell=None if rate is None or size is None or data is None else _cells(rate, size, data),
        most_epochs=None if epochs is None else float(epochs.max()),
        repeated=None if epochs is None else int((epochs > 1.001).sum()),
        seed_groups=len(groups),
        seed_rows=sum(len(group) for group in groups),
        commits=_texts(table, "commit"),
        data_sets=_texts(table, "data_spec"),
    )


def _numbers(table: Table, name: str) -> Array | None:
    values = table.columns.get(name)
    if values is None or values.dtype.kind != "f" or not len(values) or not np.isfinite(values).all():
        return None
    return np.asarray(values, dtype=np.float64)


def _texts(table: Table, name: str) -> tuple[str, ...]:
    values = table.columns.get(name)
    if values is None or values.dtype.kind == "f":
        return ()
    return tuple(sorted(set(values.tolist()) - {"", "None"}))


def _epochs(table: Table) -> Array | None:
    epochs = _numbers(table, "epochs")
    if epochs is not None:
        return epochs
    unique, data = _numbers(table, "U"), _numbers(table, "D")
    return None if unique is None or data is None else data / unique


def _rates_per_size(rate: Array, size: Array) -> tuple[int, int]:
    levels = distinct_sizes(size).tolist()
    counts = [len(np.unique(rate[np.abs(np.log(size / level)) < 0.05])) for level in levels]
    return min(counts), max(counts)


def _cells(rate: Array, size: Array, data: Array) -> int:
    cells: dict[tuple[float, float], set[float]] = {}
    for one_size, one_data, one_rate in zip(size.tolist(), data.tolist(), rate.tolist(), strict=True):
        cells.setdefault((one_size, one_data), set()).add(one_rate)
    return sum(len(rates) > 1 for rates in cells.values())
