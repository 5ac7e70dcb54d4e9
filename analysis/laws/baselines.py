"""Baselines of every ranking: no dependence, a power law without an irreducible loss, and one with it."""

from collections.abc import Collection
from typing import Any

import numpy as np

from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Columns, Law, Parameter, Values


def baseline_laws(columns: Collection[str]) -> tuple[Law, ...]:
    """The baselines for a table with these columns: in C where the table has it, else in D or N."""
    column = next((name for name in ("C", "D", "N") if name in columns), None)
    if column is None:
        column = next(iter(columns))
    return constant(column), power_no_floor(column), get_law(f"power:{column}")


def constant(column: str) -> Law:
    """A constant loss."""

    def predict(values: Values, columns: Columns) -> Any:
        return values["E"] + np.zeros_like(columns[column])

    return Law(
        name="constant",
        title="No dependence",
        formula="L = E",
        citation="baseline",
        grid="any",
        columns=(column,),
        parameters=(Parameter("E", "loss, nats per token"),),
        predict=predict,
        starts=lambda columns, target_P: {"E": np.quantile(target_P, [0.3, 0.5, 0.7])},
    )


def power_no_floor(column: str) -> Law:
    """A power law without an irreducible loss: a straight line in logarithms."""

    def predict(values: Values, columns: Columns) -> Any:
        return values["A"] * np.exp(-values["alpha"] * np.log(columns[column]))

    return Law(
        name=f"power_no_floor:{column}",
        title="Power law without an irreducible loss",
        formula=f"L = A/{column}^alpha",
        citation="baseline",
        grid="two values of the column or more",
        columns=(column,),
        parameters=(
            Parameter("A", f"amplitude, nats per token at {column} = 1"),
            Parameter("alpha", "exponent", upper=10.0),
        ),
        predict=predict,
        linear=("A",),
        start_grid={"alpha": (0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.3, 0.5, 0.8)},
        couplings=(("A", "alpha", column),),
    )
