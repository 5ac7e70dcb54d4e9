"""Laws in two steps: the first predicts a loss from scale, the second what follows from that loss."""

from dataclasses import replace
from typing import Any

from windtunnel.analysis.laws.law import Array, Columns, Law, Values
from windtunnel.train.errors import InputError


def compose(first: Law, second: Law, **changes: Any) -> Law:
    """The law `second` at the loss that `first` predicts. Parameters keep their names; one that both laws have gets its
    law's name in front. Raises InputError where the second does not read what the first predicts.
    """
    if second.columns != (first.target,):
        raise InputError(
            f"{second.name} reads {', '.join(second.columns)}, and {first.name} predicts {first.target}: "
            "the second step must read what the first predicts, and nothing else"
        )
    labels = [{name: parameter_label(step, name, first, second) for name in step.names} for step in (first, second)]

    def predict(values: Values, columns: Columns) -> Any:
        first_values, second_values = ({name: values[label] for name, label in names.items()} for names in labels)
        return second.predict(second_values, {first.target: first.predict(first_values, columns)})

    def starts(columns: Columns, target_P: Array) -> dict[str, Array]:
        raise ValueError(f"{first.name}/{second.name} is fitted step by step")

    law = Law(
        name=f"{first.name}/{second.name}",
        title=f"{second.title}, through: {first.title}",
        formula=f"{first.formula}; then {second.formula}",
        citation="; ".join(dict.fromkeys((first.citation, second.citation))),
        grid=f"{first.grid}; {second.grid}",
        columns=first.columns,
        target=second.target,
        objective=second.objective,
        parameters=tuple(
            replace(parameter, name=names[parameter.name])
            for step, names in zip((first, second), labels, strict=True)
            for parameter in step.parameters
        ),
        predict=predict,
        starts=starts,
        steps=(first, second),
    )
    return replace(law, **changes)


def parameter_label(step: Law, name: str, first: Law, second: Law) -> str:
    """The name of a step's parameter in the law of both steps."""
    return f"{step.name}.{name}" if name in first.names and name in second.names else name
