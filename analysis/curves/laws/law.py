"""What a curve law is: a formula of the learning rates so far with named parameters, and how to start a fit of it.

Nearly all laws are affine in some parameters: the loss is a sum of terms, each times a linear parameter, and the other
parameters shape the terms. Terms accept complex parameter values: derivatives are taken by complex step, exact to
rounding, unless the law provides its own.

Legend: P points, L terms, K parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.laws.law import Array, Parameter

Values = Mapping[str, Any]  # natural parameter values, real or complex numbers


@dataclass(frozen=True)
class Prior:
    """A normal prior on a weighted sum of internal coordinates (the logarithms of positive parameters)."""

    weights: Mapping[str, float]
    mean: float
    standard_deviation: float


@dataclass(frozen=True)
class CurveLaw:
    """A formula, its citation, and what fitting it takes."""

    name: str
    title: str
    formula: str
    citation: str
    required_curves: str  # in one line
    parameters: tuple[Parameter, ...]
    # The loss is the sum of these parameters, each times its term (P, L); any further term is added as it is.
    linear: tuple[str, ...]
    terms: Callable[[Values, LossCurve], Any]
    # Starting values of all nonlinear parameters; starts try every combination.
    start_grid: Callable[[Sequence[LossCurve]], Mapping[str, Sequence[float]]]
    # d terms / d parameter (P, L) for the nonlinear parameters, where speed matters.
    term_derivatives: Callable[[Values, LossCurve], Mapping[str, Any]] | None = None
    # Priors of parameters that a few curves hardly identify.
    priors: Callable[[Sequence[LossCurve]], Sequence[Prior]] | None = None
    # Nonlinear parameters that depend on the size where the law is fitted over sizes. The first linear parameter is the
    # irreducible loss at a size.
    size_dependent: tuple[str, ...] = ()
    # Whether a high learning rate costs loss. A law without such a cost has no optimal schedule.
    penalizes_high_rates: bool = True
    # Which points of a curve the law is fitted to; all by default.
    fitted_points: Callable[[LossCurve], NDArray[np.bool_]] | None = None
    # The form of the law that fits the sizes and batches of the curves.
    specialize: "Callable[[Sequence[LossCurve]], CurveLaw] | None" = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def nonlinear(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name not in self.linear)

    def predict(self, values: Values, curve: LossCurve) -> Any:
        """The loss at the logged times of a curve, in nats per token: (P,)."""
        return self.combine(self.terms(values, curve), values)

    def combine(self, terms_PL: NDArray[Any], values: Values) -> NDArray[Any]:
        """The sum of terms, or of their derivatives, each times its linear parameter: (P,)."""
        ones = np.ones(terms_PL.shape[1] - len(self.linear))
        return np.asarray(terms_PL @ np.array([*(values[name] for name in self.linear), *ones]))

    def predict_with_jacobian(self, values: Values, curve: LossCurve) -> tuple[Array, Array]:
        """The loss (P,) and its derivatives with respect to the natural parameters, in their order: (K, P)."""
        terms_PL = np.asarray(self.terms(values, curve), dtype=np.float64)
        derivative: dict[str, Array] = {name: terms_PL[:, index] for index, name in enumerate(self.linear)}
        if self.term_derivatives is not None:
            for name, by_name_PL in self.term_derivatives(values, curve).items():
                derivative[name] = self.combine(by_name_PL, values)
        for name in self.names:
            if name not in derivative:
                step = max(abs(values[name]), 1e-30) * 1e-20
                complex_PL = self.terms({**values, name: values[name] + 1j * step}, curve)
                derivative[name] = self.combine(np.imag(complex_PL), values) / step
        return self.combine(terms_PL, values), np.stack([derivative[name] for name in self.names])
