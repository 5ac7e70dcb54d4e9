"""From all rows of a source to the table that may be fitted: columns named, rows selected, exclusions with reasons, and
checks that the rows can be fitted together.

Legend: P rows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.checks import (
    COMPARABLE_COLUMNS,
    CONVENTION_COLUMNS,
    check_duplicates,
    find_flop_mixture,
    find_mixtures,
    undecayed_notes,
    unit_notes,
)
from windtunnel.analysis.tables.columns import is_number, parse_numbers
from windtunnel.analysis.tables.expressions import column_names_in, compute_column
from windtunnel.analysis.tables.seeds import is_outcome, seed_cells, seed_notes
from windtunnel.analysis.tables.table import UNITS, WHERE_NOTE, Exclusion, Table
from windtunnel.train.errors import InputError, did_you_mean

HELD_OUT_REASON = "a target of the study, held out"
# Columns of names, which stay text even where all of them are digits.
NAME_COLUMNS = ("run", "trunk", "cell", "status")


@dataclass(frozen=True)
class Selection:
    """The arguments of `load_table` that select rows and columns."""

    columns: str | None
    where: str | None
    exclude: tuple[str, ...]
    include: tuple[str, ...]
    allow_mixed: bool


@dataclass(frozen=True)
class SourceRows:
    """All rows of a source. `problem`: (P,) why a row is excluded unless it is included by name, "" if it is not.
    `from_records`: whether the rows come from run records of windtunnel.
    """

    table: Table
    problem: NDArray[np.str_]
    from_records: bool

    def take(self, rows: NDArray[Any]) -> "SourceRows":
        return SourceRows(self.table.take(rows), self.problem[rows], self.from_records)


def apply_selection(rows: SourceRows, selection: Selection) -> Table:
    """The table of the selected rows. Raises InputError, one line, for rows that cannot be fitted together."""
    mapping = parse_columns(selection.columns)
    table = _exclude(_select(rows, selection, mapping), selection)
    if len(table) == 0:
        return table
    if not rows.from_records:
        table = _text_to_numbers(table, np.ones(len(table), dtype=np.bool_))
    # Every law reads these; columns that one law reads are checked when it is fitted (`Table.require`).
    for name in mapping or ("N", "D", "loss"):
        if name in UNITS and name in table.columns:
            table.require(name)
    outcomes = [expression for name, expression in mapping.items() if is_outcome(name)]
    check_duplicates(table, set().union(*(column_names_in(expression, table.columns) for expression in outcomes)))
    mixtures = find_mixtures(table, COMPARABLE_COLUMNS if rows.from_records else CONVENTION_COLUMNS)
    if not mapping or "C" in mapping:
        mixtures += find_flop_mixture(table)
    if mixtures and not selection.allow_mixed:
        problem, fix = mixtures[0].problem, mixtures[0].fix
        raise InputError(f"{table.source}: {problem}, which do not follow one law; {fix}, or pass allow_mixed=True")
    notes = [f"{mixture.problem}; allowed on request" for mixture in mixtures]
    notes += undecayed_notes(table) if rows.from_records else [*seed_notes(table), *unit_notes(table)]
    return replace(table, notes=(*table.notes, *notes))


def _select(rows: SourceRows, selection: Selection, mapping: Mapping[str, str]) -> SourceRows:
    """The rows that meet `where`, with named and derived columns."""
    rows = _parse_text(rows, selection, mapping)
    table = _derive_columns(_name_columns(rows.table, mapping) if mapping else rows.table, rows.from_records)
    rows = replace(rows, table=replace(table, column_mapping=selection.columns or ""))
    if selection.where is None:
        return rows
    mask_P = rows.table.mask(selection.where)
    note = f"{int(len(mask_P) - mask_P.sum())} of {len(mask_P)} {WHERE_NOTE}{selection.where}"
    rows = rows.take(mask_P)
    return replace(rows, table=replace(rows.table, notes=(*rows.table.notes, note)))


def parse_columns(text: str | None) -> dict[str, str]:
    """`N=params,D=tokens/1e6` as {"N": "params", "D": "tokens/1e6"}. A comma inside brackets or backquotes is part of
    the expression. Raises InputError.
    """
    mapping: dict[str, str] = {}
    for part in _split_at_commas(text or ""):
        name, equals, expression = part.partition("=")
        name, expression = name.strip(), expression.strip()
        if not equals or not expression or not name.isidentifier():
            raise InputError(f"columns=...: {part.strip()!r}: write NAME=COLUMN, such as N=params,D=tokens")
        if name in mapping:
            raise InputError(f"columns=... names {name} twice: {mapping[name]} and {expression}; keep one")
        mapping[name] = expression
    return mapping


def format_columns(mapping: Mapping[str, str]) -> str:
    """The text that `parse_columns` reads as this mapping: column names with a comma in backquotes."""
    parts = {
        name: expression if len(_split_at_commas(expression)) == 1 else f"`{expression}`"
        for name, expression in mapping.items()
    }
    return ",".join(f"{name}={expression}" for name, expression in parts.items())


def _split_at_commas(text: str) -> list[str]:
    return re.findall(r"(?:[^,(`]|\([^)]*\)|`[^`]*`|[(`])+", text)


def _parse_text(rows: SourceRows, selection: Selection, mapping: Mapping[str, str]) -> SourceRows:
    """Columns that are text only because of excluded rows become numbers, NaN in those rows, so that expressions can
    read them.
    """
    if rows.from_records:
        return rows
    names = rows.table.columns.get(mapping.get("run", "run"), rows.table.label).astype(np.str_)
    kept_P = rows.problem == ""
    kept_P[list(_parse_reasons(rows.table, names, selection.exclude, "exclude"))] = False
    if kept_P.all() or not kept_P.any():
        return rows
    return replace(rows, table=_text_to_numbers(rows.table, kept_P))


def _text_to_numbers(table: Table, kept_P: NDArray[np.bool_]) -> Table:
    """The table with text columns as numbers if all of their kept cells are numbers."""
    columns = dict(table.columns)
    for name, values in table.columns.items():
        if values.dtype.kind != "f" and name not in NAME_COLUMNS:
            numbers = parse_numbers(values[kept_P])
            if numbers is not None:
                columns[name] = np.full(len(table), np.nan)
                columns[name][kept_P] = numbers
    return replace(table, columns=columns)


def _name_columns(table: Table, mapping: Mapping[str, str]) -> Table:
    """The table with the columns of the mapping first."""
    named: dict[str, NDArray[Any]] = {}
    for name, expression in mapping.items():
        try:
            named[name] = compute_column(expression, table.columns, len(table))
        except InputError as error:
            cell = _first_text_cell(expression, table)
            raise InputError(f"{table.source}: columns=... {name}={expression}: {error}{cell}") from None
    others = {name: values for name, values in table.columns.items() if name not in named}
    units = {name: UNITS[name] for name in named if name in UNITS}
    return replace(
        table,
        columns={**named, **others},
        units={**{name: unit for name, unit in table.units.items() if name not in named}, **units},
        run=named["run"].astype(np.str_) if "run" in named else table.run,
    )


def _first_text_cell(expression: str, table: Table) -> str:
    """The first cell that is not a number in a column of the expression, for an error message."""
    for name in sorted(column_names_in(expression, table.columns)):
        values = table.columns[name]
        if values.dtype.kind != "f":
            row = next(row for row, value in enumerate(values.tolist()) if not is_number(value))
            return f" ({table.label[row]}, column {name}: {str(values[row])!r} is not a number)"
    return ""


def _derive_columns(table: Table, from_records: bool) -> Table:
    """The table with the cells of seed replicates, and with C = 6 N D, D = C / (6 N) and M = D / N where two of the
    three are known, each with a note.
    """
    if not from_records:  # after columns are named: settings are known by their names
        table = replace(table, cell=seed_cells(table.columns, len(table)))
    columns, notes = dict(table.columns), []
    numeric = set(table.numeric)
    with np.errstate(all="ignore"):
        if {"N", "D"} <= numeric and "C" not in columns:
            columns["C"] = 6 * columns["N"] * columns["D"]
            notes.append("C is 6 N D")
        elif {"N", "C"} <= numeric and "D" not in columns:
            columns["D"] = columns["C"] / (6 * columns["N"])
            notes.append("D is C / (6 N)")
        if {"N", "D"} <= {name for name in columns if columns[name].dtype.kind == "f"} and "M" not in columns:
            columns["M"] = columns["D"] / columns["N"]
            notes.append("M is D / N")
    units = {**table.units, **{name: UNITS[name] for name in columns if name not in table.columns}}
    return replace(table, columns=columns, units=units, notes=(*table.notes, *notes))


def _exclude(rows: SourceRows, selection: Selection) -> Table:
    """The table without excluded rows and rows with a problem, each with its reason."""
    table = rows.table
    names = table.columns["run"].astype(np.str_) if "run" in table.columns else table.label
    excluded_rows = _parse_reasons(table, names, selection.exclude, "exclude")
    included_rows = _parse_reasons(table, names, selection.include, "include")
    excluded, notes = [], []
    kept_P = rows.problem == ""
    kept_P[list(excluded_rows)] = False
    losses = table.columns.get("loss", np.full(len(table), np.nan))
    for row in np.flatnonzero(~kept_P).tolist():
        label, problem = str(table.label[row]), str(rows.problem[row])
        if row in excluded_rows:
            excluded.append(Exclusion(label, excluded_rows[row]))
        elif row in included_rows and losses.dtype.kind == "f" and np.isfinite(losses[row]):
            notes.append(f"{label} is included on request ({included_rows[row]}) although {problem}")
            kept_P[row] = True
        else:
            excluded.append(Exclusion(label, problem))
    kept = table.take(kept_P)
    return replace(kept, excluded=(*table.excluded, *excluded), notes=(*table.notes, *notes))


def _parse_reasons(table: Table, names: NDArray[np.str_], texts: Sequence[str], argument: str) -> dict[int, str]:
    """Row -> reason, from `RUN=REASON` texts. RUN matches the label of a row or the name (P,) of its run."""
    reasons: dict[int, str] = {}
    for text in texts:
        pattern, equals, reason = (part.strip() for part in text.partition("="))
        if not equals or not reason or not pattern:
            raise InputError(f"{argument}=...: {text!r}: write RUN=REASON; an exclusion without a reason is hindsight")
        row_names = zip(table.label.tolist(), names.tolist(), strict=True)
        rows = [row for row, pair in enumerate(row_names) if any(fnmatchcase(name, pattern) for name in pair)]
        if not rows:
            raise InputError(
                f"{argument}=...: {text!r}: {table.source} has no run {pattern}{did_you_mean(pattern, names.tolist())}"
            )
        reasons |= dict.fromkeys(rows, reason)
    return reasons
