"""One law for two arms with a shared irreducible loss E.

Over a short range of compute a difference in E and a difference in the exponent look alike, so a contrast is made
twice: with an E for each arm, and with one E for both.

Legend: P points, R replicates, K parameters.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Columns, Law, Values

IRREDUCIBLE_LOSS = "E"
ARM = "arm"  # the column that gives the arm of a row: 0 or 1
START_SHARES = (0.0, 0.3, 0.6, 0.8, 0.9)  # starting values of E, as shares of the smallest loss


def has_irreducible_loss(law: Law) -> bool:
    """Whether two arms of the law can share E and differ in other parameters."""
    return IRREDUCIBLE_LOSS in law.names and law.num_parameters > 1


def share_irreducible_loss(law: Law, arms: tuple[Mapping[str, float], Mapping[str, float]]) -> Law:
    """The law of both arms: one E, and every other parameter twice (`alpha_A`, `alpha_B`).

    arms: the parameters of each arm fitted alone, used as starting values.
    """
    own = [parameter for parameter in law.parameters if parameter.name != IRREDUCIBLE_LOSS]
    own_linear = [name for name in law.linear if name != IRREDUCIBLE_LOSS]
    irreducible = next(parameter for parameter in law.parameters if parameter.name == IRREDUCIBLE_LOSS)

    def values_of_arm(values: Values, arm: str) -> dict[str, Any]:
        shared = {IRREDUCIBLE_LOSS: values[IRREDUCIBLE_LOSS]}
        return shared | {parameter.name: values[f"{parameter.name}_{arm}"] for parameter in own}

    def predict(values: Values, columns: Columns) -> Any:
        loss_A, loss_B = (law.predict(values_of_arm(values, arm), columns) for arm in "AB")
        return np.where(columns[ARM] > 0.5, loss_B, loss_A)

    def starts(columns: Columns, target_P: Array) -> dict[str, Array]:
        smallest = float(target_P.min())
        losses = [*(share * smallest for share in START_SHARES), *(arm[IRREDUCIBLE_LOSS] for arm in arms)]
        losses = [max(value, 1e-3 * smallest) for value in losses]
        start = {IRREDUCIBLE_LOSS: np.array(losses)}
        for letter, arm in zip("AB", arms, strict=True):
            start |= {f"{parameter.name}_{letter}": np.full(len(losses), arm[parameter.name]) for parameter in own}
        return start

    return replace(
        law,
        name=f"{law.name} with shared E",
        formula=f"{law.formula}, E shared by both arms",
        columns=(*law.columns, ARM),
        parameters=(
            irreducible,
            *(replace(parameter, name=f"{parameter.name}_{arm}") for arm in "AB" for parameter in own),
        ),
        predict=predict,
        linear=(IRREDUCIBLE_LOSS, *(f"{name}_{arm}" for arm in "AB" for name in own_linear)),
        start_grid={f"{name}_{arm}": values for arm in "AB" for name, values in law.start_grid.items()},
        couplings=tuple(
            (f"{amplitude}_{arm}", f"{exponent}_{arm}", column)
            for arm in "AB"
            for amplitude, exponent, column in law.couplings
        ),
        starts=starts,
        jacobian=None,
        specialize=None,
    )


def parameters_of_arm(law: Law, shared: Law, natural_RK: NDArray[Any], arm: str) -> NDArray[Any]:
    """The parameters of one arm's law, out of those of the shared law: (R, K)."""
    names = [IRREDUCIBLE_LOSS if name == IRREDUCIBLE_LOSS else f"{name}_{arm}" for name in law.names]
    return natural_RK[:, [shared.names.index(name) for name in names]]
