"""Loss as a function of the proportions of a data mixture: L = c + k exp(sum_j t_j r_j).

Proportions sum to 1, so adding a constant to every t_j only rescales k. The sum of the t_j is therefore 0, which makes
k the amplitude at equal proportions; the last t is minus the sum of the others and no parameter. A single column (two
domains, the other one understood) has its own t.

Legend: P points, R replicates, J domains.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values
from windtunnel.train.errors import InputError

DEFAULT = "weight_*"
SUM_TOLERANCE = 0.02  # published proportions are rounded
FLOORS = (0.02, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.985, 0.997)


def of_domains(columns: Sequence[str]) -> Law:
    """The mixture law in these columns of proportions. Names may be patterns such as `weight_*`, which a fit replaces
    by the columns of its table.
    """
    names = tuple(columns)
    if len(set(names)) != len(names) or not names:
        raise InputError(f"mixture: {'+'.join(names) or 'no column'}: name each column of proportions once")
    free = names if len(names) == 1 else names[:-1]

    def slopes(values: Values) -> list[Any]:
        every = [values[f"t_{name}"] for name in free]
        return every if len(names) == 1 else [*every, -sum(every)]

    def exponential(values: Values, table: Columns) -> Any:
        exponent_RP = sum(slope * table[name] for slope, name in zip(slopes(values), names, strict=True))
        return np.exp(np.where(exponent_RP.real > 300.0, 300.0, exponent_RP))

    def predict(values: Values, table: Columns) -> Any:
        return values["c"] + values["k"] * exponential(values, table)

    def jacobian(values: Values, table: Columns) -> Array:
        term_RP = exponential(values, table)
        moved_RP = values["k"] * term_RP
        last_P = 0.0 if len(names) == 1 else table[names[-1]]
        shares = [moved_RP * (table[name] - last_P) for name in free]
        return np.stack([np.ones_like(term_RP), term_RP, *shares], axis=1)

    def starts(table: Columns, target_P: Array) -> dict[str, Array]:
        """Given the floor, the logarithm of what is above it is linear in the proportions."""
        proportions_PJ = np.stack([table[name] for name in names], axis=1)
        _refuse_improper(proportions_PJ, names)
        lowest = float(target_P.min())
        found = []
        for floor in np.array(FLOORS) * lowest:
            above_P = np.log(target_P - floor)
            if len(names) == 1:
                design = np.column_stack([np.ones_like(above_P), proportions_PJ])
                found.append([floor, *np.linalg.lstsq(design, above_P, rcond=None)[0]])
            else:
                slope_J = np.linalg.lstsq(proportions_PJ, above_P, rcond=None)[0]
                found.append([floor, slope_J.mean(), *(slope_J - slope_J.mean())[:-1]])
        found_RK = np.array(found)
        found_RK[:, 1] = np.exp(found_RK[:, 1])
        return dict(zip(("c", "k", *(f"t_{name}" for name in free)), found_RK.T, strict=True))

    return Law(
        name="mixture" if names == (DEFAULT,) else f"mixture:{'+'.join(names)}",
        title="Loss against the proportions of a data mixture",
        formula="L = c + k exp(sum_j t_j r_j), sum_j t_j = 0",
        citation="Ye et al. 2024, arXiv 2403.16952; Fernandes et al. 2023, arXiv 2302.09650",
        grid="at one size and budget, more mixtures than domains + 4, proportions varied independently",
        columns=names,
        parameters=(
            Parameter("c", "loss no mixture goes below, nats per token"),
            Parameter("k", "loss above c at equal proportions, nats per token"),
            *(Parameter(f"t_{name}", f"change of log(L - c) with {name}", positive=False) for name in free),
        ),
        predict=predict,
        jacobian=jacobian,
        starts=starts,
        specialize=of_domains,
    )


def _refuse_improper(proportions_PJ: Array, names: Sequence[str]) -> None:
    sums_P = proportions_PJ.sum(axis=1)
    wrong_P = (proportions_PJ < 0).any(axis=1)
    if len(names) > 1:
        wrong_P |= np.abs(sums_P - 1.0) > SUM_TOLERANCE
    if wrong_P.any():
        row = int(np.argmax(wrong_P))
        shares = ", ".join(f"{share:g}" for share in proportions_PJ[row])
        raise InputError(
            f"mixture: row {row + 1}: proportions {shares:.80} sum to {sums_P[row]:.4g}; "
            "they must be 0 or more and sum to 1: name every domain's column"
        )


LAW = of_domains((DEFAULT,))


# Of our own tables: a setting of the optimizer, whose name a pattern of domains (`weight_*`) would match.
NO_PROPORTION = ("weight_decay",)


def resolve_columns(law: Law, names: Iterable[str]) -> Law:
    """`law` itself, or, where it reads patterns, the law of the columns that match, in the table's order. Raises
    InputError where none does.
    """
    if law.specialize is None or not any("*" in column for column in law.columns):
        return law
    every = [name for name in names if name not in NO_PROPORTION]
    matching = [name for name in every if any(fnmatchcase(name, pattern) for pattern in law.columns)]
    if not matching:
        raise InputError(
            f"law {law.name}: no column matches {'+'.join(law.columns)}; the table has {', '.join(sorted(every))}: "
            f"write {law.name.partition(':')[0]}:COLUMN+COLUMN or {law.name.partition(':')[0]}:PATTERN"
        )
    return law.specialize(matching)
