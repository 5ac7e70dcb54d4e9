"""A law with some parameters held at a value, or tied to another: a law with fewer parameters.

Fits in stages hold what an earlier stage found; a tie such as alpha = beta tests whether two parameters are one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from windtunnel.analysis.laws.law import Array, Columns, Law, Values
from windtunnel.train.errors import InputError


def parse_fixed(assignments: Sequence[str]) -> dict[str, float | str]:
    """`["alpha=0.35", "beta=alpha"]` as values and names. Raises InputError for what is neither."""
    found: dict[str, float | str] = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not (name and equals and text):
            raise InputError(f"{assignment!r}: write a held parameter as NAME=VALUE or NAME=OTHER, such as beta=alpha")
        if "," in text:
            raise InputError(f"{assignment!r}: hold one parameter at a time, as in LAW@{assignment.replace(',', '@')}")
        try:
            found[name] = float(text)
        except ValueError:
            found[name] = text
    return found


def fix_parameters(law: Law, held: Mapping[str, float | str]) -> Law:
    """`law` with the parameters in `held` fixed at a number or equal to the parameter named. Its name says so
    (`chinchilla@beta=alpha`), so that `law` of `analysis.laws` can make it again. Raises InputError for a parameter the
    law does not have, a value outside its bounds, or a tie to a parameter that is itself held.
    """
    if not held:
        return law
    if law.steps is not None:  # it is fitted step by step, so nothing held of the whole would be
        first, second = (step.name for step in law.steps)
        raise InputError(
            f"law {law.name} is two steps: hold a parameter of one of them, as in {first}@NAME=VALUE/{second}"
        )
    _refuse_unknown(law, held)
    numbers = {name: float(value) for name, value in held.items() if not isinstance(value, str)}
    ties = {name: value for name, value in held.items() if isinstance(value, str)}
    kept = tuple(parameter for parameter in law.parameters if parameter.name not in held)
    place = {parameter.name: number for number, parameter in enumerate(kept)}

    def complete(values: Values) -> dict[str, Any]:
        shape = np.shape(values[kept[0].name])
        constants = {name: np.full(shape, number) for name, number in numbers.items()}
        return {**values, **constants, **{name: values[other] for name, other in ties.items()}}

    def predict(values: Values, columns: Columns) -> Any:
        return law.predict(complete(values), columns)

    def starts(columns: Columns, target_P: Array) -> dict[str, Array]:
        assert law.starts is not None
        found = law.starts(columns, target_P)
        # Starts that differed in what is held alone are one.
        distinct_RK = np.unique(np.stack([found[parameter.name] for parameter in kept], axis=1), axis=0)
        return {parameter.name: distinct_RK[:, number] for number, parameter in enumerate(kept)}

    def jacobian(values: Values, columns: Columns) -> Array:
        assert law.jacobian is not None
        whole_RKP = law.jacobian(complete(values), columns)
        own_RKP = np.zeros((whole_RKP.shape[0], len(kept), whole_RKP.shape[2]))
        for number, name in enumerate(law.names):
            if name not in numbers:
                own_RKP[:, place[ties.get(name, name)]] += whole_RKP[:, number]
        return own_RKP

    couplings = [(amplitude, ties.get(exponent, exponent), column) for amplitude, exponent, column in law.couplings]
    return replace(
        law,
        name="@".join([law.name, *(f"{name}={value}" for name, value in held.items())]),
        formula="; ".join([law.formula, *(f"{name} = {value}" for name, value in held.items())]),
        parameters=kept,
        predict=predict,
        linear=tuple(name for name in law.linear if name in place),
        start_grid={name: values for name, values in law.start_grid.items() if name in place},
        couplings=tuple(one for one in couplings if one[0] in place and one[1] in place),
        starts=None if law.starts is None else starts,
        jacobian=None if law.jacobian is None else jacobian,
        specialize=None,
    )


def _refuse_unknown(law: Law, held: Mapping[str, float | str]) -> None:
    for name, value in held.items():
        for wanted in (name, value) if isinstance(value, str) else (name,):
            if wanted not in law.names:
                raise InputError(f"law {law.name} has no parameter {wanted}; it has {', '.join(law.names)}")
        if isinstance(value, str):
            if value in held:
                raise InputError(
                    f"law {law.name}: {name} is tied to {value}, which is held itself: tie both to one that is free"
                )
            if (name in law.linear) != (value in law.linear):
                raise InputError(f"law {law.name}: {name} and {value} are not of a kind and cannot be tied")
            continue
        parameter = law.parameters[law.names.index(name)]
        if not (np.isfinite(value) and parameter.minimum <= value <= parameter.upper) or (
            parameter.positive and value <= 0
        ):
            raise InputError(
                f"law {law.name}: {name} = {value:g} is outside {parameter.minimum:g} to {parameter.upper:g}"
            )
    if len(held) >= len(law.names):
        raise InputError(f"law {law.name}: every parameter is held; leave one to fit")
