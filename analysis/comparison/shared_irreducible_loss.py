"""Two arms of one law with a common floor: over a short range a difference in E and one in the exponent look alike, so
a contrast is read with the floors free and with them tied.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Columns, Law, Values

FLOOR = "E"
ARM = "arm"  # the column that says which arm a row is of: 0 or 1
SHARES = (0.0, 0.3, 0.6, 0.8, 0.9)  # floors to start from, of the smallest loss


def can_tie(law: Law) -> bool:
    return FLOOR in law.names and law.num_parameters > 1


def tie_floor(law: Law, arms: tuple[Mapping[str, float], Mapping[str, float]]) -> Law:
    """The law of both arms at once: one E, everything else twice (`alpha_A`, `alpha_B`). `arms` are the parameters that
    each arm has alone, to start from.
    """
    own = [parameter for parameter in law.parameters if parameter.name != FLOOR]
    floor = next(parameter for parameter in law.parameters if parameter.name == FLOOR)

    def of_arm(values: Values, arm: str) -> dict[str, Any]:
        return {FLOOR: values[FLOOR], **{each.name: values[f"{each.name}_{arm}"] for each in own}}

    def predict(values: Values, columns: Columns) -> Any:
        is_second = columns[ARM] > 0.5
        return np.where(is_second, law.predict(of_arm(values, "B"), columns), law.predict(of_arm(values, "A"), columns))

    def starts(columns: Columns, target_P: Array) -> dict[str, Array]:
        smallest = float(target_P.min())
        floors = [*(share * smallest for share in SHARES), *(arm[FLOOR] for arm in arms)]
        floors = [max(value, 1e-3 * smallest) for value in floors]
        found = {FLOOR: np.array(floors)}
        for letter, arm in zip("AB", arms, strict=True):
            found |= {f"{each.name}_{letter}": np.full(len(floors), arm[each.name]) for each in own}
        return found

    return replace(
        law,
        name=f"{law.name} with one floor",
        formula=f"{law.formula}, E common to both arms",
        columns=(*law.columns, ARM),
        parameters=(floor, *(replace(each, name=f"{each.name}_{arm}") for arm in "AB" for each in own)),
        predict=predict,
        linear=(FLOOR, *(f"{name}_{arm}" for arm in "AB" for name in law.linear if name != FLOOR)),
        start_grid={f"{name}_{arm}": values for arm in "AB" for name, values in law.start_grid.items()},
        couplings=tuple(
            (f"{amplitude}_{arm}", f"{exponent}_{arm}", column)
            for arm in "AB"
            for amplitude, exponent, column in law.couplings
        ),
        starts=starts,
        jacobian=None,
        specialise=None,
    )


def arm_rows(law: Law, tied: Law, natural_RK: NDArray[Any], arm: str) -> NDArray[Any]:
    """Parameters of the tied law as those of the law of one arm: (R, K)."""
    names = [FLOOR if name == FLOOR else f"{name}_{arm}" for name in law.names]
    return natural_RK[:, [tied.names.index(name) for name in names]]
