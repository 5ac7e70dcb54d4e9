"""The run table that everything is fitted to: typed columns with units, who shares noise with whom, and what was left
out and why.

A row is one evaluation: of a finished run, unless mid-run evaluations were asked for, or one line of a file. Rows that
share a `run` (a trunk and its branches, checkpoints of one run) share their noise: intervals resample runs, not rows.

Legend: P rows.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.columns import is_number
from windtunnel.analysis.tables.expressions import choose_rows
from windtunnel.train.errors import InputError, did_you_mean

# What the columns of a law are measured in. A file's columns of these names are taken to be in these units.
UNITS = {
    "N": "parameters",
    "N_non_embedding": "parameters",
    "N_non_embedding_and_head": "parameters",
    "N_active": "parameters",
    "D": "tokens",
    "U": "unique tokens",
    "C": "FLOPs",
    "C_non_embedding": "FLOPs",
    "C_non_embedding_and_head": "FLOPs",
    "C_exact": "FLOPs",
    "C_exact_causal": "FLOPs",
    "M": "tokens per parameter",
    "S": "steps",
    "B": "tokens per step",
    "loss": "nats per token",
    "loss_standard_error": "nats per token",
    "bits_per_byte": "bits per byte",
}
OUTCOME = "table.csv"  # the table in a study's folder of results
BY_WHERE = "rows left out by where: "  # a note of what --where did
HELD_OUT = "a target of the study, held out"
# These are magnitudes: zero or below is an error wherever they stand.
POSITIVE = frozenset(UNITS) - {"loss_standard_error"}
LARGEST = 1e100  # no count is larger, and products of three still have a value
SMALLEST = 1e-100  # likewise, of squares


@dataclass(frozen=True)
class RunSet:
    """Some of the runs below a directory, as a study has them. Those `held_out` are its targets: they are in a table,
    marked in its column `held_out`, only `with_held_out`.
    """

    name: str
    directory: Path
    runs: tuple[str, ...]
    held_out: frozenset[str] = frozenset()
    with_held_out: bool = False

    def __str__(self) -> str:
        return self.name


Source = str | Path | RunSet


@dataclass(frozen=True)
class Exclusion:
    """A run, or a row of a file, that is not in the table, and why."""

    run: str
    reason: str


@dataclass(frozen=True)
class Table:
    """Rows to fit.

    columns: each (P,): float64, or str for names; NaN where a number is missing.
    units: of the columns that have one.
    run: (P,) the cluster of each row: rows of one value share their noise.
    cell: (P,) rows of one value differ by their seed alone; "" where that is not known.
    label: (P,) what an error message calls the row: a run's id, or "row 7".
    excluded: what the source held beside these rows, each with its reason.
    notes: what a reader of a fit must know: mid-run evaluations, schedules mixed on request.
    named: the `columns` of `load_table`: what the names laws use stand for in the source; "" where it has them itself.
    """

    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]
    run: NDArray[np.str_]
    cell: NDArray[np.str_]
    label: NDArray[np.str_]
    source: str
    excluded: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = field(default=())
    named: str = ""

    def __post_init__(self) -> None:
        lengths = {len(values) for values in (*self.columns.values(), self.run, self.cell, self.label)}
        if len(lengths) != 1:
            raise ValueError(f"columns of a table differ in length: {sorted(lengths)}")

    @classmethod
    def of(
        cls, columns: Mapping[str, NDArray[Any]], *, run: Sequence[str] | None = None, source: str = "memory"
    ) -> "Table":
        """A table of arrays in memory; every row is a run of its own unless `run` says otherwise."""
        num_rows = len(next(iter(columns.values())))
        label = np.array([f"row {row + 1}" for row in range(num_rows)], dtype=np.str_)
        return cls(
            columns={name: np.asarray(values) for name, values in columns.items()},
            units={name: UNITS[name] for name in columns if name in UNITS},
            run=label if run is None else np.array(run, dtype=np.str_),
            cell=np.full(num_rows, ""),
            label=label,
            source=source,
        )

    def __len__(self) -> int:
        return len(self.run)

    @property
    def numeric(self) -> list[str]:
        return [name for name, values in self.columns.items() if values.dtype.kind == "f"]

    @cached_property
    def digest(self) -> str:
        """sha256 of the content: columns, values and clusters, whatever order rows and columns are in. Where the table
        came from, what was excluded and notes are not part of it.
        """
        every = {**self.columns, "": self.run, " cell": self.cell}
        names = sorted(every)
        order = np.lexsort([every[name] for name in reversed(names)]) if len(self) else np.zeros(0, np.intp)
        found = hashlib.sha256()
        for name in names:
            values = every[name][order]
            found.update(f"{name}\0{values.dtype.kind}\0".encode())
            if values.dtype.kind == "f":
                found.update((values + 0.0).astype("<f8").tobytes())  # + 0.0: one zero, not two
            else:
                found.update("\0".join(values.tolist()).encode())
        return found.hexdigest()

    def take(self, rows: NDArray[Any]) -> "Table":
        """The table of these rows: a mask, or positions, (P,)."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return replace(self, columns=columns, run=self.run[rows], cell=self.cell[rows], label=self.label[rows])

    def select(self, where: str | None) -> "Table":
        """The rows for which a condition such as `D >= 2e6 and schedule == 'wsd'` holds (`expressions`). Raises
        InputError where it cannot be read.
        """
        return self if where is None else self.take(self.choose(where))

    def choose(self, where: str) -> NDArray[np.bool_]:
        """Which rows (P,) a condition holds for. Raises InputError where it cannot be read."""
        return choose_rows(where, {"run": self.run, **self.columns}, len(self))

    def require(self, *names: str) -> dict[str, NDArray[np.float64]]:
        """These columns as float64. Raises InputError naming a column that is missing, or the first row whose value
        is not a finite number, or not above zero where it must be.
        """
        found = {}
        if not len(self):
            first = "".join(f", the first of them {each.run} ({each.reason})" for each in self.excluded[:1])
            chosen = "".join(f"; {note}" for note in self.notes if BY_WHERE in note)
            raise InputError(f"{self.source}: no rows left to fit; {len(self.excluded)} excluded{first}{chosen}")
        for name in names:
            if name not in self.columns:
                raise InputError(
                    f"{self.source}: no column {name}; there are {', '.join(self.columns)}: "
                    f"name it with --columns {name}=COLUMN{did_you_mean(name, self.columns)}"
                )
            values = self.columns[name]
            if values.dtype.kind != "f":
                row = next((place for place, value in enumerate(values.tolist()) if not is_number(value)), 0)
                raise InputError(
                    f"{self.source}: {self.label[row]}, column {name}: {str(values[row])!r} is not a number; "
                    f"mend the source, or leave it out with --exclude '{self.label[row]}=REASON'"
                )
            self._check(name, values)
            found[name] = values
        return found

    def _check(self, name: str, values: NDArray[np.float64]) -> None:
        """Raises InputError naming the first row whose value is not finite, or not above zero where it must be."""
        bad = ~np.isfinite(values)
        if name in POSITIVE:
            bad |= ~((values > SMALLEST) & (values < LARGEST))
        if bad.any():
            row = int(np.argmax(bad))
            value = float(values[row])
            fault = "is missing or not a number" if math.isnan(value) else f"is {value:g}: it must be finite"
            if name in POSITIVE and not math.isnan(value):
                fault += f", above {f'{SMALLEST:g}' if 0 < value < 1 else 'zero'} and below {LARGEST:g}"
            mend = "mend the source, or leave it out with --where or --exclude"
            raise InputError(f"{self.source}: {self.label[row]}, column {name} {fault}; {mend}")

    def seed_groups(self) -> list[NDArray[np.intp]]:
        """Positions of rows that are equal but for their seed and do not share a run: where seed noise is measured."""
        rows: dict[str, list[int]] = {}
        for position, cell in enumerate(self.cell.tolist()):
            if cell:
                rows.setdefault(cell, []).append(position)
        groups = [np.array(group) for group in rows.values()]
        return [group for group in groups if len(set(self.run[group].tolist())) == len(group) > 1]


def load_table(
    source: Source,
    *,
    columns: str | None = None,
    where: str | None = None,
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    evaluations: Literal["final", "all"] = "final",
    mixed: bool = False,
) -> Table:
    """The table of a source: a folder of runs, a run, a CSV (also .csv.gz) or Parquet file, `wandb:ENTITY/PROJECT`, or
    the runs of a study.

    columns: `N=params,D=tokens,loss=val`: columns of the source, or expressions of them, under the names laws use.
    where: a condition on the columns; rows that do not meet it are left out.
    exclude, include: `RUN=REASON`, RUN a run id, a pattern such as `*-s3-*`, or `row 7`. Without `include`, what is
        unfinished, diverged or ends before its learning rate has decayed is excluded.
    evaluations: "all" adds the evaluations before each run's end, with their `progress` below 1.
    mixed: take together what cannot be compared (data sets, schedules, conventions), with a note in place of a refusal.

    Raises InputError, one line, for whatever is wrong with the source or what was asked of it.
    """
    from windtunnel.analysis.tables.from_file import read_file
    from windtunnel.analysis.tables.from_runs import read_run_set, read_runs
    from windtunnel.analysis.tables.from_wandb import read_wandb
    from windtunnel.analysis.tables.selection import Selection, finish

    selection = Selection(columns, where, tuple(exclude), tuple(include), mixed)
    if isinstance(source, RunSet):
        return finish(read_run_set(source, evaluations), selection)
    text = str(source)
    if text.startswith("wandb:"):
        return finish(read_wandb(text, evaluations), selection)
    path = Path(source)
    if (path / OUTCOME).exists():
        path = path / OUTCOME
    if path.is_dir():
        return finish(read_runs(path, evaluations), selection)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; name a folder of runs, CSV, Parquet or wandb:ENTITY/PROJECT")
    return finish(read_file(path), selection)
