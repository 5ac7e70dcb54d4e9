"""From all rows of a source to the table that may be fitted: columns named, rows chosen, exclusions with reasons, and
refusals of what cannot be taken together.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.checks import unit_notes
from windtunnel.analysis.tables.columns import is_number, numbers_of_text
from windtunnel.analysis.tables.expressions import compute_column, names_in
from windtunnel.analysis.tables.seeds import group_rows, is_measured, seed_cells, seed_notes, settings
from windtunnel.analysis.tables.table import BY_WHERE, UNITS, Exclusion, Table
from windtunnel.train.errors import InputError

# Losses of runs that differ in one of these are not points of one law.
COMPARABLE = (
    *("data", "vocabulary_size", "sequence_length", "evaluation_tokens"),
    *("schedule", "decay_shape", "final_fraction", "activation", "tied_embedding", "parametrization"),
)
# These matter once the learning rate has decayed: before, a trunk and its branches are one.
OF_THE_DECAY = ("schedule", "decay_shape", "final_fraction")
# In the file of somebody else only these say that rows follow different conventions.
CONVENTIONS = ("convention", "N_convention", "D_convention", "C_convention", "loss_convention")
# Shares by which C / (N D) may differ at one N: rounding in a printed table.
ROUNDING = 0.1
MIXED = ", which are not points of one law;"


@dataclass(frozen=True)
class Selection:
    """What was asked of a source, as `load_table` takes it."""

    columns: str | None
    where: str | None
    exclude: tuple[str, ...]
    include: tuple[str, ...]
    mixed: bool


@dataclass(frozen=True)
class Rows:
    """Everything a source holds. `fault`: why a row must not be fitted silently, "" where it may be."""

    table: Table
    fault: NDArray[np.str_]
    from_records: bool

    def take(self, rows: NDArray[Any]) -> "Rows":
        return Rows(self.table.take(rows), self.fault[rows], self.from_records)


def finish(rows: Rows, selection: Selection) -> Table:
    """The rows to be fitted. Raises InputError for what does not fit together, one line."""
    mapping = parse_columns(selection.columns)
    rows = _name_columns(_without_bad_text(rows, selection, mapping), mapping)
    if not rows.from_records:  # only now have the columns the names by which a setting is known
        cells = seed_cells(rows.table.columns, len(rows.table))
        rows = replace(rows, table=replace(rows.table, cell=cells))
    rows = _derive(rows)
    rows = replace(rows, table=replace(rows.table, named=selection.columns or ""))
    if selection.where is not None:
        mask = rows.table.choose(selection.where)
        left_out = int(len(mask) - mask.sum())
        note = f"{left_out} of {len(mask)} {BY_WHERE}{selection.where}"
        rows = rows.take(mask)
        rows = replace(rows, table=replace(rows.table, notes=(*rows.table.notes, note)))
    table = _exclude(rows, selection)
    if len(table) == 0:
        return table
    if not rows.from_records:
        table = _numbers(table, np.ones(len(table), dtype=np.bool_))
    # Without --columns these are what every law reads. A law asks for the others itself (`Table.require`).
    for name in mapping or ("N", "D", "loss"):
        if name in UNITS and name in table.columns:
            table.require(name)
    outcomes = [expression for name, expression in mapping.items() if is_measured(name)]
    measured = set().union(*(names_in(expression, table.columns) for expression in outcomes))
    _refuse_copies(table, settings(table, measured))
    faults = list(_mixtures(table, COMPARABLE if rows.from_records else CONVENTIONS))
    if not mapping or "C" in mapping:
        faults += _flop_mixture(table)
    if faults and not selection.mixed:
        raise InputError(faults[0])
    told = (fault.split(MIXED)[0].removeprefix(f"{table.source}: ") for fault in faults)
    notes = [f"{fault}; taken together on request" for fault in told]
    if rows.from_records:
        notes += _undecayed(table)
    else:
        notes += seed_notes(table) + unit_notes(table)
    return replace(table, notes=(*table.notes, *notes))


def parse_columns(text: str | None) -> dict[str, str]:
    """`N=params,D=tokens/1e6` to {"N": "params", "D": "tokens/1e6"}; commas inside brackets or backquotes belong to
    their expression. Raises InputError.
    """
    if text is None:
        return {}
    found: dict[str, str] = {}
    for part in re.findall(r"(?:[^,(`]|\([^)]*\)|`[^`]*`|[(`])+", text):
        name, equals, expression = part.partition("=")
        name, expression = name.strip(), expression.strip()
        if not equals or not expression or not name.isidentifier():
            raise InputError(f"--columns {part.strip()!r}: write NAME=COLUMN, such as N=params,D=tokens,loss=val_loss")
        if name in found:
            raise InputError(f"--columns names {name} twice: {found[name]} and {expression}; keep one")
        found[name] = expression
    return found


def _without_bad_text(rows: Rows, selection: Selection, mapping: Mapping[str, str]) -> Rows:
    """Columns that are text only because of rows that will be left out become numbers, so that expressions can read
    them; those rows have NaN there.
    """
    if rows.from_records:
        return rows
    names = rows.table.columns.get(mapping.get("run", "run"), rows.table.label).astype(np.str_)
    kept = rows.fault == ""
    kept[list(_reasons(rows.table, names, selection.exclude, "--exclude"))] = False
    return replace(rows, table=_numbers(rows.table, kept)) if not kept.all() and kept.any() else rows


def _numbers(table: Table, kept_P: NDArray[np.bool_]) -> Table:
    """The table with text columns as numbers where all kept cells are."""
    columns = dict(table.columns)
    for name, values in table.columns.items():
        if values.dtype.kind != "f" and name not in ("run", "trunk", "cell", "status"):
            found = numbers_of_text(values[kept_P])
            if found is not None:
                columns[name] = np.full(len(table), np.nan)
                columns[name][kept_P] = found
    return replace(table, columns=columns)


def _name_columns(rows: Rows, mapping: Mapping[str, str]) -> Rows:
    if not mapping:
        return rows
    table = rows.table
    named: dict[str, NDArray[Any]] = {}
    for name, expression in mapping.items():
        try:
            named[name] = compute_column(expression, table.columns, len(table))
        except InputError as error:
            raise InputError(
                f"{table.source}: --columns {name}={expression}: {error}{_text_in(expression, table)}"
            ) from None
    units = {name: UNITS[name] for name in named if name in UNITS}
    run = named["run"].astype(np.str_) if "run" in named else table.run
    return replace(
        rows,
        table=replace(
            table,
            columns={**named, **{name: values for name, values in table.columns.items() if name not in named}},
            units={**{name: unit for name, unit in table.units.items() if name not in named}, **units},
            run=run,
        ),
    )


def _text_in(expression: str, table: Table) -> str:
    """The first cell that keeps a column of an expression from being numbers."""
    for name in sorted(names_in(expression, table.columns)):
        values = table.columns[name]
        if values.dtype.kind != "f":
            row = next(place for place, value in enumerate(values.tolist()) if not is_number(value))
            return f" ({table.label[row]}, column {name}: {str(values[row])!r} is not a number)"
    return ""


def _derive(rows: Rows) -> Rows:
    """C = 6 N D, D = C / (6 N) and M = D / N where two of the three are there, with a note."""
    table = rows.table
    columns, notes = dict(table.columns), []
    numbers = set(table.numeric)
    with np.errstate(all="ignore"):
        if {"N", "D"} <= numbers and "C" not in columns:
            columns["C"] = 6 * columns["N"] * columns["D"]
            notes.append("C is 6 N D")
        elif {"N", "C"} <= numbers and "D" not in columns:
            columns["D"] = columns["C"] / (6 * columns["N"])
            notes.append("D is C / (6 N)")
        if {"N", "D"} <= {name for name in columns if columns[name].dtype.kind == "f"} and "M" not in columns:
            columns["M"] = columns["D"] / columns["N"]
            notes.append("M is D / N")
    units = {**table.units, **{name: UNITS[name] for name in columns if name not in table.columns}}
    return replace(rows, table=replace(table, columns=columns, units=units, notes=(*table.notes, *notes)))


def _exclude(rows: Rows, selection: Selection) -> Table:
    """Leave out what was asked for and what cannot be fitted silently, each with its reason."""
    table = rows.table
    names = table.columns["run"].astype(np.str_) if "run" in table.columns else table.label
    asked = _reasons(table, names, selection.exclude, "--exclude")
    wanted = _reasons(table, names, selection.include, "--include")
    excluded, notes = [], []
    kept = rows.fault == ""
    kept[list(asked)] = False
    losses = table.columns.get("loss", np.full(len(table), np.nan))
    for row in np.flatnonzero(~kept).tolist():
        label, fault = str(table.label[row]), str(rows.fault[row])
        if row in asked:
            excluded.append(Exclusion(label, asked[row]))
        elif row in wanted and losses.dtype.kind == "f" and np.isfinite(losses[row]):
            notes.append(f"{label} is in on request ({wanted[row]}) although {fault}")
            kept[row] = True
        else:
            excluded.append(Exclusion(label, fault))
    chosen = table.take(kept)
    return replace(chosen, excluded=(*table.excluded, *excluded), notes=(*table.notes, *notes))


def _reasons(table: Table, names: NDArray[np.str_], asked: Sequence[str], option: str) -> dict[int, str]:
    """Row -> reason, of `RUN=REASON` texts; `names` (P,) are the runs', which count as labels do."""
    found: dict[int, str] = {}
    for text in asked:
        pattern, equals, reason = (part.strip() for part in text.partition("="))
        if not equals or not reason or not pattern:
            raise InputError(f"{option} {text!r}: write RUN=REASON; an exclusion without a reason is hindsight")
        pairs = zip(table.label.tolist(), names.tolist(), strict=True)
        matches = [row for row, each in enumerate(pairs) if any(fnmatchcase(name, pattern) for name in each)]
        if not matches:
            raise InputError(f"{option} {text!r}: {table.source} has no run {pattern}; `windtunnel table` lists them")
        found |= dict.fromkeys(matches, reason)
    return found


def _refuse_copies(table: Table, what_it_was: Sequence[str]) -> None:
    """Two rows equal in every column are one run counted twice; so are two of one run, step and setting whatever their
    losses, and two of one seed that agree in all that says what a run was.
    """
    scale = [name for name in (*UNITS, "seed", "rate", "step", "epochs") if name in table.columns]
    scale = [name for name in scale if not is_measured(name)]
    seeded = np.ones(len(table), dtype=np.bool_)
    alike = [(list(table.columns), "in every column", seeded)]
    if "run" in table.columns:
        alike.append((["run", *scale], "but for its losses", seeded))
    if "seed" in table.columns:
        seed = table.columns["seed"]
        seeded = ~np.isnan(seed) if seed.dtype.kind == "f" else seed != ""
        alike.append((list(what_it_was), "but for its losses, seed included", seeded))
    for names, what, counted in alike:
        rows = np.flatnonzero(counted)
        first, group = group_rows([table.columns[name][rows] for name in names])
        if len(first) < len(rows):
            copy = int(np.flatnonzero(first[group] != np.arange(len(rows)))[0])
            label, original = table.label[rows[copy]], table.label[rows[first[group[copy]]]]
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise InputError(
                f"{table.source}: {label} repeats {original} {what} ({shown}): "
                f"a run counts once; remove it, or --exclude '{label}=duplicate'"
            )


def _mixtures(table: Table, names: Sequence[str]) -> list[str]:
    faults = []
    decayed = table.columns.get("decayed", np.ones(len(table))) == 1
    for name in names:
        if name not in table.columns:
            continue
        counted = decayed if name in OF_THE_DECAY else np.ones(len(table), dtype=np.bool_)
        if name == "decay_shape" and "schedule" in table.columns:  # the other schedules do not read it
            counted = counted & np.isin(table.columns["schedule"], ("wsd", "power"))
        values = table.columns[name]
        text = values.dtype.kind != "f"
        values = values if text else np.array([f"{value:g}" for value in values], dtype=np.str_)
        counts = Counter(values[counted].tolist()).most_common()
        if len(counts) > 1:
            odd = table.label[int(np.flatnonzero(counted & (values == counts[1][0]))[0])]
            shown = ", ".join(f"{value} in {count}" for value, count in counts[:4])
            choice = f"{name} == " + (f"'{counts[0][0]}'" if text else counts[0][0])
            faults.append(
                f"{table.source}: rows are mixed in column {name} ({shown} of them, such as {odd}){MIXED}"
                f' choose with --where "{choice}", or take them together with --mixed'
            )
    return faults


def _undecayed(table: Table) -> list[str]:
    """A note where some rows have losses that a finished schedule would not: they lie above the curve of those."""
    early = int((table.columns["decayed"] == 0).sum())
    return [f"{early} of {len(table)} rows are at a learning rate that had not decayed (column decayed)"] * (early > 0)


def _flop_mixture(table: Table) -> list[str]:
    """C / (N D) depends on N alone, whatever the convention; two values at one N are two conventions."""
    if not {"N", "D", "C"} <= set(table.numeric):
        return []
    if not all((table.columns[name] > 0).all() for name in ("N", "D", "C")):
        return []  # whoever asks for that column gets its own refusal
    size, ratio = table.columns["N"], table.columns["C"] / (table.columns["N"] * table.columns["D"])
    sizes, which = np.unique(size, return_inverse=True)
    low, high = np.full(len(sizes), np.inf), np.zeros(len(sizes))
    np.minimum.at(low, which, ratio)
    np.maximum.at(high, which, ratio)
    is_six = np.abs(ratio / 6 - 1) < 0.01
    with_six = np.zeros(len(sizes), dtype=np.bool_)
    np.logical_or.at(with_six, which, is_six)
    mixed = with_six & (high > low * (1 + ROUNDING))
    if not mixed.any():
        return []
    row = int(np.flatnonzero(mixed[which] & ~is_six)[0])
    return [
        f"{table.source}: rows are mixed in column C: {ratio[row]:.4g} N D in {table.label[row]}, 6 N D in others"
        f"{MIXED} compute C in one convention with --columns C=6*N*D, or take them together with --mixed"
    ]
