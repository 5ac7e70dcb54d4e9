"""Loss as a function of the proportions of a data mixture: L = c + k exp(sum_j t_j r_j).

Proportions sum to 1, so adding a constant to every t_j only rescales k. The sum of the t_j is therefore set to 0, which
makes k the amplitude at equal proportions; the last t is minus the sum of the others and not a parameter. A single
column means two domains, one of them not named, and has its own t.

Legend: P points, R replicates, J domains.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values
from windtunnel.train.errors import InputError

DEFAULT_COLUMNS = "weight_*"
SUM_TOLERANCE = 0.02  # published proportions are rounded
LOSS_SHARES = (0.02, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.985, 0.997)


def mixture_of(columns: Sequence[str]) -> Law:
    """The mixture law in these columns of proportions. Patterns such as `weight_*` are replaced by the columns of a
    table (`resolve_columns`).
    """
    names = tuple(columns)
    if len(set(names)) != len(names) or not names:
        raise InputError(f"mixture of {'+'.join(names) or 'no column'}: name each column of proportions once")
    free = names if len(names) == 1 else names[:-1]

    def slopes(values: Values) -> list[Any]:
        free_slopes = [values[f"t_{name}"] for name in free]
        return free_slopes if len(names) == 1 else [*free_slopes, -sum(free_slopes)]

    def exponential(values: Values, table: Columns) -> Any:
        exponent_RP = sum(slope * table[name] for slope, name in zip(slopes(values), names, strict=True))
        return np.exp(np.where(exponent_RP.real > 300.0, 300.0, exponent_RP))

    def predict(values: Values, table: Columns) -> Any:
        return values["c"] + values["k"] * exponential(values, table)

    def jacobian(values: Values, table: Columns) -> Array:
        term_RP = exponential(values, table)
        scaled_RP = values["k"] * term_RP
        last_P = 0.0 if len(names) == 1 else table[names[-1]]
        derivatives = [scaled_RP * (table[name] - last_P) for name in free]
        return np.stack([np.ones_like(term_RP), term_RP, *derivatives], axis=1)

    def starts(table: Columns, target_P: Array) -> dict[str, Array]:
        """Given c, the logarithm of L - c is linear in the proportions."""
        proportions_PJ = np.stack([table[name] for name in names], axis=1)
        _check_proportions(proportions_PJ, names)
        lowest = float(target_P.min())
        rows = []
        for c in np.array(LOSS_SHARES) * lowest:
            above_P = np.log(target_P - c)
            if len(names) == 1:
                design = np.column_stack([np.ones_like(above_P), proportions_PJ])
                rows.append([c, *np.linalg.lstsq(design, above_P, rcond=None)[0]])
            else:
                slope_J = np.linalg.lstsq(proportions_PJ, above_P, rcond=None)[0]
                rows.append([c, slope_J.mean(), *(slope_J - slope_J.mean())[:-1]])
        start_RK = np.array(rows)
        start_RK[:, 1] = np.exp(start_RK[:, 1])
        return dict(zip(("c", "k", *(f"t_{name}" for name in free)), start_RK.T, strict=True))

    return Law(
        name="mixture" if names == (DEFAULT_COLUMNS,) else f"mixture:{'+'.join(names)}",
        title="Loss against the proportions of a data mixture",
        formula="L = c + k exp(sum_j t_j r_j), sum_j t_j = 0",
        citation="Ye et al. 2024, arXiv 2403.16952; Fernandes et al. 2023, arXiv 2302.09650",
        grid="at one size and budget, more mixtures than domains + 4, proportions varied independently",
        columns=names,
        parameters=(
            Parameter("c", "irreducible loss of all mixtures, nats per token"),
            Parameter("k", "loss above c at equal proportions, nats per token"),
            *(Parameter(f"t_{name}", f"change of log(L - c) with {name}", positive=False) for name in free),
        ),
        predict=predict,
        jacobian=jacobian,
        starts=starts,
        specialize=mixture_of,
    )


def _check_proportions(proportions_PJ: Array, names: Sequence[str]) -> None:
    sums_P = proportions_PJ.sum(axis=1)
    invalid_P = (proportions_PJ < 0).any(axis=1)
    if len(names) > 1:
        invalid_P |= np.abs(sums_P - 1.0) > SUM_TOLERANCE
    if invalid_P.any():
        row = int(np.argmax(invalid_P))
        shares = ", ".join(f"{share:g}" for share in proportions_PJ[row])
        raise InputError(
            f"mixture: row {row + 1}: proportions {shares:.80} sum to {sums_P[row]:.4g}; "
            "they must be 0 or more and sum to 1: name every domain's column"
        )


LAW = mixture_of((DEFAULT_COLUMNS,))


# Columns of our own tables that match `weight_*` and are not proportions.
NOT_PROPORTIONS = ("weight_decay",)


def resolve_columns(law: Law, names: Iterable[str]) -> Law:
    """The law with its column patterns replaced by the matching columns, in the table's order; the law itself where it
    has no patterns. Raises InputError where no column matches.
    """
    if law.specialize is None or not any("*" in column for column in law.columns):
        return law
    candidates = [name for name in names if name not in NOT_PROPORTIONS]
    matching = [name for name in candidates if any(fnmatchcase(name, pattern) for pattern in law.columns)]
    if not matching:
        stem = law.name.partition(":")[0]
        raise InputError(
            f"law {law.name}: no column matches {'+'.join(law.columns)}; "
            f"the table has {', '.join(sorted(candidates))}; "
            f"write {stem}:COLUMN+COLUMN or {stem}:PATTERN"
        )
    return law.specialize(matching)
