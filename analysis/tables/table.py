"""The run table that laws are fitted to: typed columns with units, the run of each row, and what was excluded and why.

A row is one evaluation: the final one of a run, unless mid-run evaluations were requested, or one line of a file. Rows
with the same `run` (a trunk and its branches, checkpoints of one run) share their noise: intervals resample runs, not
rows.

Legend: P rows.
"""

import hashlib
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.columns import Array, is_number
from windtunnel.analysis.tables.expressions import evaluate_condition
from windtunnel.train.errors import InputError, did_you_mean

if TYPE_CHECKING:  # pandas takes half a second to load
    import pandas as pd

# The units of the columns that laws read. Columns of these names in a file are taken to be in these units.
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
# Columns in which a value of zero or below is an error.
POSITIVE_COLUMNS = frozenset(UNITS) - {"loss_standard_error"}
MAX_VALUE, MIN_VALUE = 1e100, 1e-100  # of a positive column: products of three values stay finite and above zero
WHERE_NOTE = "rows left out by where: "  # in the note that `load_table` makes of its `where`
# `Table.source` of tables that were not read from a file or folder; "" if a fit has no source.
MEMORY, DATAFRAME = "memory", "DataFrame"
IN_MEMORY = frozenset({"", MEMORY, DATAFRAME})


@dataclass(frozen=True)
class Exclusion:
    """A run, or a row of a file, that is not in the table, and why."""

    run: str
    reason: str


@dataclass(frozen=True, repr=False)
class Table:
    """Rows to fit.

    columns: each (P,), float64 or str; NaN where a number is missing.
    units: of the columns that have a unit.
    run: (P,) the run of each row, or its trunk where runs branch: rows of one run share their noise.
    cell: (P,) the configuration of each row: rows of one cell differ by their seed alone; "" where it is not known.
    label: (P,) the name of each row in messages: a run id, or "row 7".
    source: where the rows were read from.
    excluded: rows of the source that are not in the table, each with its reason.
    notes: warnings for the reader of a fit, such as mixed schedules.
    column_mapping: the `columns` of `load_table` as text; "" if no column was renamed.
    """

    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]
    run: NDArray[np.str_]
    cell: NDArray[np.str_]
    label: NDArray[np.str_]
    source: str
    excluded: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()
    column_mapping: str = ""

    def __post_init__(self) -> None:
        lengths = {len(values) for values in (*self.columns.values(), self.run, self.cell, self.label)}
        if len(lengths) != 1:
            raise ValueError(f"the columns of a table differ in length: {sorted(lengths)}")

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, NDArray[Any]], *, run: Sequence[str] | None = None, source: str = MEMORY
    ) -> "Table":
        """A table of arrays, each (P,). Every row is a run of its own unless `run` names the run of each row."""
        num_rows = len(next(iter(columns.values())))
        label = row_labels(num_rows)
        return cls(
            columns={name: np.asarray(values) for name, values in columns.items()},
            units={name: UNITS[name] for name in columns if name in UNITS},
            run=label if run is None else np.array(run, dtype=np.str_),
            cell=np.full(num_rows, ""),
            label=label,
            source=source,
        )

    def to_pandas(self) -> "pd.DataFrame":
        """The rows as a pandas DataFrame: the columns, and `trunk` where rows share a run, indexed by label."""
        import pandas as pd  # loaded here for start-up time

        return pd.DataFrame(self.columns_with_trunk, index=pd.Index(self.label.tolist()))

    def __repr__(self) -> str:
        excluded = f", {len(self.excluded)} excluded" if self.excluded else ""
        return f"Table({len(self)} rows of {self.source}{excluded}; columns {', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        """For notebooks: the first rows."""
        return f"<p>{html.escape(repr(self))}</p>{self.to_pandas().head().to_html()}"

    def __len__(self) -> int:
        return len(self.run)

    @property
    def numeric(self) -> list[str]:
        """The names of the columns of numbers."""
        return [name for name, values in self.columns.items() if values.dtype.kind == "f"]

    @property
    def columns_with_trunk(self) -> dict[str, NDArray[Any]]:
        """The columns, with `run` as the column `trunk` unless every row is a run of its own."""
        trunk = {} if np.array_equal(self.run, self.label) else {"trunk": self.run}
        return {**self.columns, **trunk}

    @cached_property
    def digest(self) -> str:
        """sha256 of columns, values, runs and cells, in whatever order rows and columns are. Source, exclusions and
        notes are not part of it.
        """
        arrays = {**self.columns, "": self.run, " cell": self.cell}
        names = sorted(arrays)
        order = np.lexsort([arrays[name] for name in reversed(names)]) if len(self) else np.zeros(0, np.intp)
        digest = hashlib.sha256()
        for name in names:
            values = arrays[name][order]
            digest.update(f"{name}\0{values.dtype.kind}\0".encode())
            if values.dtype.kind == "f":
                digest.update((values + 0.0).astype("<f8").tobytes())  # + 0.0 turns -0.0 into 0.0
            else:
                digest.update("\0".join(values.tolist()).encode())
        return digest.hexdigest()

    def take(self, rows: NDArray[Any]) -> "Table":
        """The table of these rows: a mask (P,), or positions."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return replace(self, columns=columns, run=self.run[rows], cell=self.cell[rows], label=self.label[rows])

    def select(self, where: str | None) -> "Table":
        """The rows that meet a condition such as `D >= 2e6 and schedule == 'wsd'` (`expressions`). Raises InputError if
        it cannot be read.
        """
        return self if where is None else self.take(self.mask(where))

    def mask(self, where: str) -> NDArray[np.bool_]:
        """Which rows (P,) meet a condition. Raises InputError if it cannot be read."""
        return evaluate_condition(where, {"run": self.run, **self.columns}, len(self))

    def require(self, *names: str) -> dict[str, Array]:
        """These columns as float64 (P,). Raises InputError for the first column that is missing and the first value
        that is not a finite number, or is out of range in a column that must be positive.
        """
        if not len(self):
            first = "".join(f", the first of them {row.run} ({row.reason})" for row in self.excluded[:1])
            where = "".join(f"; {note}" for note in self.notes if WHERE_NOTE in note)
            raise InputError(f"{self.source}: no rows left to fit; {len(self.excluded)} excluded{first}{where}")
        for name in names:
            if name not in self.columns:
                raise InputError(f"{self.source}: no column {name}; {list_columns(self.columns, name)}")
            values = self.columns[name]
            if values.dtype.kind != "f":
                row = next((row for row, value in enumerate(values.tolist()) if not is_number(value)), 0)
                raise InputError(
                    f"{self.source}: {self.label[row]}, column {name}: {str(values[row])!r} is not a number; "
                    f"correct the source, or leave the row out with exclude=..., such as '{self.label[row]}=REASON'"
                )
            self._check_values(name, values)
        return {name: self.columns[name] for name in names}

    def _check_values(self, name: str, values: Array) -> None:
        """Raises InputError for the first value that is not finite, or out of range in a positive column."""
        bad = ~np.isfinite(values)
        if name in POSITIVE_COLUMNS:
            bad |= ~((values > MIN_VALUE) & (values < MAX_VALUE))
        if bad.any():
            row = int(np.argmax(bad))
            value = float(values[row])
            problem = "is missing or not a number" if math.isnan(value) else f"is {value:g}: it must be finite"
            if name in POSITIVE_COLUMNS and not math.isnan(value):
                problem += f", above {f'{MIN_VALUE:g}' if 0 < value < 1 else 'zero'} and below {MAX_VALUE:g}"
            fix = "correct the source, or leave the row out with where=... or exclude=..."
            raise InputError(f"{self.source}: {self.label[row]}, column {name} {problem}; {fix}")

    def seed_groups(self) -> list[NDArray[np.intp]]:
        """Positions of the rows of each group of seed replicates: rows of one cell, each of its own run."""
        rows: dict[str, list[int]] = {}
        for position, cell in enumerate(self.cell.tolist()):
            if cell:
                rows.setdefault(cell, []).append(position)
        groups = [np.array(group) for group in rows.values()]
        return [group for group in groups if len(set(self.run[group].tolist())) == len(group) > 1]


def row_labels(num_rows: int) -> NDArray[np.str_]:
    """Labels (P,) for rows without a name: "row 1", "row 2", ..."""
    return np.char.add("row ", np.arange(1, num_rows + 1).astype(np.str_))


def list_columns(columns: Mapping[str, Any], name: str) -> str:
    """The part of an error about a missing column `name`: the existing columns, and how to name one."""
    return (
        f"there are {', '.join(columns)}: name it with columns=..., such as {name}=COLUMN{did_you_mean(name, columns)}"
    )
