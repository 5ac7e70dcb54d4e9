"""Broken power law with one smooth break: y = a + b x^-c_0 (1 + (x/d)^(1/f))^(-c_1 f).

Below the break at d the exponent is c_0, above it c_0 + c_1; f is the width of the change in natural logarithms of x.
A curve usually identifies one break: it takes six points for each break, and more to locate it.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, Values
from windtunnel.train.errors import InputError

EXPONENTS = (0.0, 0.1, 0.3, 0.8, 2.0, 5.0)
WIDTHS = (0.03, 0.15, 0.5, 1.5)


def softplus(exponent: Any) -> Any:
    """log(1 + exp(exponent)) without overflow, for complex values too."""
    large = exponent.real > 0
    return np.where(large, exponent, 0.0) + np.log1p(np.exp(np.where(large, -exponent, exponent)))


def in_column(columns: Sequence[str]) -> Law:
    """The broken power law in one column: `broken:D` reads D."""
    if len(columns) != 1:
        raise InputError(f"the broken power law reads one column, not {'+'.join(columns)}: write broken:D, for example")
    column = columns[0]

    def shape(values: Values, log_x: Array) -> Any:
        """The power law with its break, for a = 0 and b = 1: (R, P)."""
        bend = softplus((log_x - np.log(values["d"])) / values["f"])
        return np.exp(-values["c_0"] * log_x - values["c_1"] * values["f"] * bend)

    def predict(values: Values, table: Columns) -> Any:
        return values["a"] + values["b"] * shape(values, np.log(table[column]))

    def starts(table: Columns, target_P: Array) -> dict[str, Array]:
        """Exponents, location and width of the break on a grid; a and b in closed form, for relative residuals."""
        log_x = np.log(table[column])
        breaks = np.exp(np.quantile(np.unique(log_x), (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0)))
        changes = (*(-exponent for exponent in EXPONENTS[1:]), *EXPONENTS[1:])
        grid_RK = np.array(list(product(EXPONENTS, changes, breaks, WIDTHS)))
        values = {name: grid_RK[:, [column]] for column, name in enumerate(("c_0", "c_1", "d", "f"))}
        log_scale = np.median(log_x)
        basis_RP = shape(values, log_x)
        basis_RP = basis_RP * np.exp(values["c_0"] * log_scale) / target_P
        ones_P = 1.0 / target_P
        # Minimize sum (a ones + b basis - 1)**2 with a >= 0.
        oo, ob, bb = ones_P @ ones_P, basis_RP @ ones_P, np.einsum("rp,rp->r", basis_RP, basis_RP)
        determinant_R = oo * bb - ob**2
        usable_R = determinant_R > 1e-10 * oo * bb
        safe_R = np.where(usable_R, determinant_R, 1.0)
        a_R = np.where(usable_R, (ones_P.sum() * bb - basis_RP.sum(axis=1) * ob) / safe_R, 0.0)
        a_R = np.where(a_R > 0, a_R, 1e-3 * float(np.min(target_P)))
        b_R = (basis_RP.sum(axis=1) - a_R * ob) / bb
        b_R = np.where(b_R > 0, b_R, np.nan) * np.exp(grid_RK[:, 0] * log_scale)
        return {"a": a_R, "b": b_R, **{name: value[:, 0] for name, value in values.items()}}

    return Law(
        name="broken" if column == "N" else f"broken:{column}",
        title="Broken power law in one column",
        formula=f"L = a + b {column}^-c_0 (1 + ({column}/d)^(1/f))^(-c_1 f)",
        citation="Caballero et al. 2022, arXiv 2210.14891",
        grid="at least 8 points of one column, 4 or more on either side of the break",
        columns=(column,),
        parameters=(
            Parameter("a", "loss at infinite scale"),
            Parameter("b", f"amplitude at {column} = 1"),
            Parameter("c_0", "exponent before the break", positive=False, lower=-20.0, upper=20.0),
            Parameter("c_1", "change of the exponent at the break", positive=False, lower=-50.0, upper=50.0),
            Parameter("d", f"location of the break, in units of {column}"),
            Parameter("f", "width of the break, in natural logarithms of the column", lower=1e-3, upper=20.0),
        ),
        predict=predict,
        starts=starts,
        couplings=(("b", "c_0", column),),
        specialize=in_column,
    )


LAW = in_column(("N",))
