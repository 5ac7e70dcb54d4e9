"""Checks of the rows of a table: rows that repeat another, rows that do not follow one law, and doubtful units.

Legend: P rows.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from windtunnel.analysis.tables.seeds import group_rows, is_outcome, setting_columns
from windtunnel.analysis.tables.table import UNITS, Table
from windtunnel.train.errors import InputError

# Losses of runs that differ in one of these columns do not follow one law.
COMPARABLE_COLUMNS = (
    *("data", "vocabulary_size", "sequence_length", "evaluation_tokens"),
    *("schedule", "decay_shape", "final_fraction", "activation", "tied_embedding", "parametrization"),
)
# These are compared among rows whose learning rate has decayed: before the decay, a trunk and its branches are equal.
DECAY_COLUMNS = ("schedule", "decay_shape", "final_fraction")
# The columns of published tables that name the convention of a row.
CONVENTION_COLUMNS = ("convention", "N_convention", "D_convention", "C_convention", "loss_convention")
# C / (N D) of two rows of equal N may differ by this share: printed tables are rounded.
MAX_FLOP_ROUNDING = 0.1
# C / (N D) within this share of 6 is the convention 6 N D.
SIX_ND_TOLERANCE = 0.01
# All models that laws are fitted to have more parameters.
MIN_PARAMETERS = 1000.0
# C further than this share from 6 N D is of another convention, not rounded.
MAX_C_ROUNDING = 0.05


@dataclass(frozen=True)
class Mixture:
    """Rows that do not follow one law. `problem`: what differs and where; `fix`: how to select comparable rows."""

    problem: str
    fix: str


def check_duplicates(table: Table, outcomes: Collection[str]) -> None:
    """Raises InputError if a run counts twice: two rows are equal in every column, or in run, step and scale, or in
    seed and all other settings. `outcomes` are columns that are not settings.
    """
    scale = [name for name in (*UNITS, "seed", "rate", "step", "epochs") if name in table.columns]
    scale = [name for name in scale if not is_outcome(name)]
    has_seed = np.ones(len(table), dtype=np.bool_)
    comparisons = [(list(table.columns), "in every column", has_seed)]
    if "run" in table.columns:
        comparisons.append((["run", *scale], "in all but its losses", has_seed))
    if "seed" in table.columns:
        seed = table.columns["seed"]
        has_seed = ~np.isnan(seed) if seed.dtype.kind == "f" else seed != ""
        comparisons.append((setting_columns(table, outcomes), "in all but its losses, seed included", has_seed))
    for names, extent, mask_P in comparisons:
        rows = np.flatnonzero(mask_P)
        first, group = group_rows([table.columns[name][rows] for name in names])
        if len(first) < len(rows):
            copy = int(np.flatnonzero(first[group] != np.arange(len(rows)))[0])
            label, original = table.label[rows[copy]], table.label[rows[first[group[copy]]]]
            listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise InputError(
                f"{table.source}: {label} repeats {original} {extent} ({listed}): a run counts once; "
                f"remove the row, or leave it out with exclude=..., such as '{label}=duplicate'"
            )


def find_mixtures(table: Table, names: Sequence[str]) -> list[Mixture]:
    """The columns among `names` that must have one value in all rows and do not."""
    mixtures = []
    all_P = np.ones(len(table), dtype=np.bool_)
    decayed_P = table.columns["decayed"] == 1 if "decayed" in table.columns else all_P
    for name in names:
        if name not in table.columns:
            continue
        compared_P = decayed_P if name in DECAY_COLUMNS else all_P
        if name == "decay_shape" and "schedule" in table.columns:  # only these schedules have a decay shape
            compared_P = compared_P & np.isin(table.columns["schedule"], ("wsd", "power"))
        values = table.columns[name]
        is_text = values.dtype.kind != "f"
        values = values if is_text else np.array([f"{value:g}" for value in values], dtype=np.str_)
        counts = Counter(values[compared_P].tolist()).most_common()
        if len(counts) > 1:
            example = table.label[int(np.flatnonzero(compared_P & (values == counts[1][0]))[0])]
            listed = ", ".join(f"{value} in {count}" for value, count in counts[:4])
            most_common = f"'{counts[0][0]}'" if is_text else counts[0][0]
            mixtures.append(
                Mixture(
                    f"rows are mixed in column {name} ({listed} of {int(compared_P.sum())} rows, such as {example})",
                    f"select rows with where=..., such as {name} == {most_common}",
                )
            )
    return mixtures


def find_flop_mixture(table: Table) -> list[Mixture]:
    """Two conventions of C in one table. In any one convention C / (N D) depends on N alone, so that two values at one
    N, one of them 6, are two conventions.
    """
    if not {"N", "D", "C"} <= set(table.numeric):
        return []
    if not all((table.columns[name] > 0).all() for name in ("N", "D", "C")):
        return []  # `Table.require` names the value that is not positive
    size_P, ratio_P = table.columns["N"], table.columns["C"] / (table.columns["N"] * table.columns["D"])
    sizes, which_P = np.unique(size_P, return_inverse=True)
    low, high = np.full(len(sizes), np.inf), np.zeros(len(sizes))
    np.minimum.at(low, which_P, ratio_P)
    np.maximum.at(high, which_P, ratio_P)
    is_six_P = np.abs(ratio_P / 6 - 1) < SIX_ND_TOLERANCE
    has_six = np.zeros(len(sizes), dtype=np.bool_)
    np.logical_or.at(has_six, which_P, is_six_P)
    is_mixed = has_six & (high > low * (1 + MAX_FLOP_ROUNDING))
    if not is_mixed.any():
        return []
    row = int(np.flatnonzero(is_mixed[which_P] & ~is_six_P)[0])
    return [
        Mixture(
            f"rows are mixed in column C: {ratio_P[row]:.4g} N D in {table.label[row]}, 6 N D in others",
            "compute C in one convention with columns=..., such as C=6*N*D",
        )
    ]


def undecayed_notes(table: Table) -> list[str]:
    """A note if some rows were evaluated before the learning rate had decayed: their losses are too high."""
    early = int((table.columns["decayed"] == 0).sum())
    return [f"{early} of {len(table)} rows were evaluated before the learning rate had decayed"] * (early > 0)


def unit_notes(table: Table) -> list[str]:
    """Notes on magnitudes that suggest other units, and on a C that is not 6 N D."""
    columns = {name: table.columns[name] for name in ("N", "D", "C") if name in table.numeric}
    columns = {name: values for name, values in columns.items() if np.isfinite(values).all() and (values > 0).all()}
    notes = []
    if "N" in columns and columns["N"].min() < MIN_PARAMETERS:
        notes.append(
            f"N is {columns['N'].min():.3g} in {table.label[np.argmin(columns['N'])]}: are the units parameters? "
            "name a column of millions as N=NAME*1e6"
        )
    if {"N", "D"} <= columns.keys() and (below_P := columns["D"] < columns["N"]).any():
        notes.append(
            f"D is below N in {int(below_P.sum())} of {len(table)} rows, such as {table.label[np.argmax(below_P)]}: "
            "are the units tokens and parameters?"
        )
    if len(columns) == 3:
        ratio_P = columns["C"] / columns["N"] / columns["D"] / 6
        if np.abs(ratio_P - 1).max() > MAX_C_ROUNDING:
            notes.append(f"C is {ratio_P.min():.3g} to {ratio_P.max():.3g} times 6 N D")
    return notes
