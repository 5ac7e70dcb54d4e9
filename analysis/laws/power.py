"""Power law plus constant in one column. The constant can be read as the entropy of the data, and the rest as the
divergence of the model from the data (Henighan et al. 2020).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values
from windtunnel.train.errors import InputError


def in_column(columns: Sequence[str]) -> Law:
    """The power law in one column: `power:D` reads D."""
    if len(columns) != 1:
        raise InputError(f"the power law reads one column, not {'+'.join(columns)}: write power:D, for example")
    column = columns[0]

    def predict(values: Values, table: Columns) -> Any:
        return values["E"] + values["A"] * np.exp(-values["alpha"] * np.log(table[column]))

    def jacobian(values: Values, table: Columns) -> Array:
        log_x = np.log(table[column])
        term_RP = np.exp(-values["alpha"] * log_x)
        return np.stack([np.ones_like(term_RP), term_RP, -values["A"] * term_RP * log_x], axis=1)

    return Law(
        name="power" if column == "N" else f"power:{column}",
        title="Power law plus constant in one column",
        formula=f"L = E + A/{column}^alpha",
        citation="Henighan et al. 2020, arXiv 2010.14701",
        grid="at least 6 points over two decades of the column, two of them visibly bending",
        columns=(column,),
        parameters=(
            Parameter("E", "irreducible loss, nats per token: the entropy of the data"),
            Parameter("A", f"amplitude, nats per token at {column} = 1"),
            Parameter("alpha", "exponent", upper=10.0),
        ),
        predict=predict,
        jacobian=jacobian,
        linear=("E", "A"),
        start_grid={"alpha": (0.02, 0.03, 0.05, 0.08, 0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)},
        couplings=(("A", "alpha", column),),
        specialize=in_column,
    )


LAW = in_column(("N",))
