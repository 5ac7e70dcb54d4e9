"""A scaling law: a formula with named parameters, the columns it reads, and the starts of its fits.

A law is data. A fit needs only `predict`, which takes natural parameter values and must accept complex ones:
derivatives are taken by complex step, exact to rounding, unless the law defines `jacobian`.

Legend: P points, R replicates (or starts), K parameters.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.columns import Array as Array
from windtunnel.analysis.tables.columns import Columns as Columns
from windtunnel.analysis.tables.table import list_columns
from windtunnel.train.errors import InputError

Values = Mapping[str, Any]  # natural parameter values, each (R, 1), real or complex


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law. `positive` ones are fitted as their logarithm; a fit that ends at `lower` or `upper`
    (natural values) has the status `edge`.
    """

    name: str
    meaning: str
    positive: bool = True
    lower: float | None = None  # None: 0 for a positive parameter, -inf otherwise
    upper: float = math.inf

    @property
    def minimum(self) -> float:
        return self.lower if self.lower is not None else (0.0 if self.positive else -math.inf)


@dataclass(frozen=True)
class Law:
    """A formula, its citation, and what a fit of it needs."""

    name: str
    title: str
    formula: str
    citation: str
    grid: str  # the runs a fit needs, in one line
    columns: tuple[str, ...]  # that it reads, without the target
    parameters: tuple[Parameter, ...]
    predict: Callable[[Values, Columns], Any]  # natural parameters (R, 1), columns (P,) -> (R, P)
    target: str = "loss"
    objective: str = "log-huber:1e-3"  # the default of its fits
    # Parameters in which `predict` is affine, given the others: starts compute them in closed form.
    linear: tuple[str, ...] = ()
    # Values of all other parameters; starts try every combination.
    start_grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    # (amplitude, exponent, column): the term amplitude * column**-exponent is fitted centered at the geometric mean of
    # the column, which may be a quotient or product such as "C/M".
    couplings: tuple[tuple[str, str, str], ...] = ()
    # Starts of a law that is not separable: (columns, target_P) -> natural values, (R,) each.
    starts: Callable[[Columns, Array], Mapping[str, Array]] | None = None
    # d prediction / d parameter in natural values, (R, K, P), for laws whose speed matters.
    jacobian: Callable[[Values, Columns], Array] | None = None
    # The rows of a table that the law describes, such as those of the best size: columns -> (P,).
    rows: Callable[[Mapping[str, NDArray[Any]]], NDArray[np.bool_]] | None = None
    # The two laws of a law in two steps (`windtunnel.analysis.laws.two_step`), which are fitted one by one.
    steps: "tuple[Law, Law] | None" = None
    # The same law in other columns: column names -> Law.
    specialize: Callable[[Sequence[str]], "Law"] | None = None

    def __post_init__(self) -> None:
        names = set(self.names)
        grid = set(self.start_grid)
        if len(names) != len(self.parameters):
            raise ValueError(f"law {self.name}: two parameters have one name")
        used = set(self.linear) | grid | {name for pair in self.couplings for name in pair[:2]}
        if used - names:
            raise ValueError(f"law {self.name} has no parameters {sorted(used - names)}")
        if self.starts is None and self.specialize is None and (set(self.linear) | grid) != names:
            raise ValueError(
                f"law {self.name}: define `starts`, or make every parameter linear or give it a start grid"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def num_parameters(self) -> int:
        return len(self.parameters)

    def values(self, natural_RK: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Parameter values as `predict` takes them: each (R, 1)."""
        return {name: natural_RK[:, index : index + 1] for index, name in enumerate(self.names)}

    def predict_one(self, parameters: Mapping[str, float], columns: Columns) -> Array:
        """The law at one set of natural parameter values: (P,)."""
        values = {name: np.array([[parameters[name]]]) for name in self.names}
        prediction_RP: Array = np.asarray(self.predict(values, columns), dtype=np.float64)
        num_points = len(next(iter(columns.values())))
        return np.array(np.broadcast_to(prediction_RP, (1, num_points))[0])


def monomial(expression: str, columns: Columns) -> Array:
    """A column, or a quotient or product of columns such as "C/M", "C*M" or "1/D"."""
    parts = expression.replace("/", " / ").replace("*", " * ").split()
    value: Array = np.ones(1) if parts[0] == "1" else np.asarray(columns[parts[0]], dtype=np.float64)
    for operator, name in zip(parts[1::2], parts[2::2], strict=True):
        value = value / columns[name] if operator == "/" else value * columns[name]
    return value


def require_columns(law: Law, columns: Mapping[str, Any]) -> None:
    """Raises InputError where the law reads a missing column."""
    for name in law.columns:
        if name not in columns:
            raise InputError(f"law {law.name} needs the column {name}; {list_columns(columns, name)}")
