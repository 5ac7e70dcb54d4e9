"""Laws with parameters fixed at a value, or tied to another parameter.

Fits in stages fix what an earlier stage found; a tie such as alpha = beta tests whether two parameters are equal.

Legend: P points, R replicates, K parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Values
from windtunnel.train.errors import InputError


def parse_fixed(assignments: Sequence[str]) -> dict[str, float | str]:
    """`["alpha=0.35", "beta=alpha"]` as values and names. Raises InputError for anything else."""
    fixed: dict[str, float | str] = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not (name and equals and text):
            raise InputError(f"{assignment!r}: write a fixed parameter as NAME=VALUE or NAME=OTHER, such as beta=alpha")
        if "," in text:
            raise InputError(f"{assignment!r}: fix one parameter at a time, as in LAW@{assignment.replace(',', '@')}")
        try:
            fixed[name] = float(text)
        except ValueError:
            fixed[name] = text
    return fixed


def fix_parameters(law: Law, fixed: Mapping[str, float | str]) -> Law:
    """`law` with parameters fixed at a number or equal to the named parameter. `get_law` makes it again from its name,
    such as `chinchilla@beta=alpha`.

    Raises InputError for a parameter that the law does not have, a value outside its bounds, or a tie to a parameter
    that is itself fixed.
    """
    if not fixed:
        return law
    if law.steps is not None:  # it is fitted step by step
        first, second = (step.name for step in law.steps)
        raise InputError(
            f"law {law.name} is two steps: fix a parameter of one of them, as in {first}@NAME=VALUE/{second}"
        )
    _check_fixed(law, fixed)
    numbers = {name: float(value) for name, value in fixed.items() if not isinstance(value, str)}
    ties = {name: value for name, value in fixed.items() if isinstance(value, str)}
    free = tuple(parameter for parameter in law.parameters if parameter.name not in fixed)
    place = {parameter.name: number for number, parameter in enumerate(free)}

    def complete(values: Values) -> dict[str, Any]:
        shape = np.shape(values[free[0].name])
        constants = {name: np.full(shape, number) for name, number in numbers.items()}
        return {**values, **constants, **{name: values[other] for name, other in ties.items()}}

    def predict(values: Values, columns: Columns) -> Any:
        return law.predict(complete(values), columns)

    def starts(columns: Columns, target_P: Array) -> dict[str, Array]:
        assert law.starts is not None
        values = law.starts(columns, target_P)
        # Starts that differ in fixed parameters only are one start.
        distinct_RK = np.unique(np.stack([values[parameter.name] for parameter in free], axis=1), axis=0)
        return {parameter.name: distinct_RK[:, number] for number, parameter in enumerate(free)}

    def jacobian(values: Values, columns: Columns) -> Array:
        assert law.jacobian is not None
        full_RKP = law.jacobian(complete(values), columns)
        free_RKP = np.zeros((full_RKP.shape[0], len(free), full_RKP.shape[2]))
        for number, name in enumerate(law.names):
            if name not in numbers:
                free_RKP[:, place[ties.get(name, name)]] += full_RKP[:, number]
        return free_RKP

    couplings = [(amplitude, ties.get(exponent, exponent), column) for amplitude, exponent, column in law.couplings]
    return replace(
        law,
        name="@".join([law.name, *(f"{name}={value}" for name, value in fixed.items())]),
        formula="; ".join([law.formula, *(f"{name} = {value}" for name, value in fixed.items())]),
        parameters=free,
        predict=predict,
        linear=tuple(name for name in law.linear if name in place),
        start_grid={name: values for name, values in law.start_grid.items() if name in place},
        couplings=tuple(coupling for coupling in couplings if coupling[0] in place and coupling[1] in place),
        starts=None if law.starts is None else starts,
        jacobian=None if law.jacobian is None else jacobian,
        specialize=None,
    )


def _check_fixed(law: Law, fixed: Mapping[str, float | str]) -> None:
    for name, value in fixed.items():
        for parameter_name in (name, value) if isinstance(value, str) else (name,):
            if parameter_name not in law.names:
                raise InputError(f"law {law.name} has no parameter {parameter_name}; it has {', '.join(law.names)}")
        if isinstance(value, str):
            if value in fixed:
                raise InputError(
                    f"law {law.name}: {name} is tied to {value}, which is fixed itself: tie both to a free parameter"
                )
            if (name in law.linear) != (value in law.linear):
                raise InputError(
                    f"law {law.name}: {name} and {value} cannot be tied: one is linear in the law, the other is not"
                )
            continue
        parameter = law.parameters[law.names.index(name)]
        if not (np.isfinite(value) and parameter.minimum <= value <= parameter.upper) or (
            parameter.positive and value <= 0
        ):
            raise InputError(
                f"law {law.name}: {name} = {value:g} is outside {parameter.minimum:g} to {parameter.upper:g}"
            )
    if len(fixed) >= len(law.names):
        raise InputError(f"law {law.name}: every parameter is fixed; leave one to fit")
