"""What a law of curves is: a formula of the rates so far with named parameters, and how to start a fit of it.

Nearly all are affine in some parameters: the loss is the sum of those times terms that the others shape. Such a law
gives its terms, for complex values of the others too: derivatives are taken by complex step, exact to rounding, unless
it brings its own. Legend: P points, L terms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.laws.law import Array, Parameter

Values = Mapping[str, Any]  # natural parameter values, numbers, real or complex


@dataclass(frozen=True)
class Expectation:
    """What a shaping parameter is likely to be before any curve of this fit is seen: the sum of the shares, each times
    the internal coordinate (the logarithm of a positive parameter), is `centre` give or take `deviation`.
    """

    shares: Mapping[str, float]
    centre: float
    deviation: float


@dataclass(frozen=True)
class CurveLaw:
    """A formula, its citation, and what fitting it takes."""

    name: str
    title: str
    formula: str
    citation: str
    runs: str  # the curves it needs, in one line
    parameters: tuple[Parameter, ...]
    # The loss is the sum of these parameters, each times its term (P, L); a further term stands alone.
    linear: tuple[str, ...]
    terms: Callable[[Values, Curve], Any]
    # Values that starts try, every combination of them, of all parameters that are not linear.
    start_grid: Callable[[Sequence[Curve]], Mapping[str, Sequence[float]]]
    # d terms / d parameter, for laws whose speed matters: those that are not linear -> (P, L).
    slopes: Callable[[Values, Curve], Mapping[str, Any]] | None = None
    # For parameters that a few curves hardly tell: they hold a fit where the curves, at their noise, leave it free.
    expectations: Callable[[Sequence[Curve]], Sequence[Expectation]] | None = None
    # The shaping parameters that follow the size where the law is fitted over sizes; the first linear one is its floor.
    size_dependent: tuple[str, ...] = ()
    # Whether it prices the noise of a high rate: a law that does not has no best schedule.
    prices_noise: bool = True
    # The points of a curve that the law is fitted to; all where there is none.
    fitted: Callable[[Curve], NDArray[np.bool_]] | None = None
    # A law in other columns of the curves (their sizes, their batches) makes itself for them.
    specialise: "Callable[[Sequence[Curve]], CurveLaw] | None" = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def shaping(self) -> tuple[str, ...]:
        """The parameters that are not linear."""
        return tuple(name for name in self.names if name not in self.linear)

    def predict(self, values: Values, curve: Curve) -> Any:
        """The loss at the logged times of a curve, in the unit of the losses that were fitted: (P,)."""
        return self.combine(self.terms(values, curve), values)

    def combine(self, terms_PL: NDArray[Any], values: Values) -> NDArray[Any]:
        """The sum of terms, or of their derivatives, each times its parameter: (P,)."""
        alone = np.ones(terms_PL.shape[1] - len(self.linear))
        return np.asarray(terms_PL @ np.array([*(values[name] for name in self.linear), *alone]))

    def predict_with_jacobian(self, values: Values, curve: Curve) -> tuple[Array, Array]:
        """The loss (P,) and its derivatives by the parameters in their order, natural values: (K, P)."""
        terms_PL = np.asarray(self.terms(values, curve), dtype=np.float64)
        slope: dict[str, Array] = {name: terms_PL[:, place] for place, name in enumerate(self.linear)}
        if self.slopes is not None:
            slope |= {name: self.combine(each_PL, values) for name, each_PL in self.slopes(values, curve).items()}
        for name in self.names:
            if name not in slope:
                step = max(abs(values[name]), 1e-30) * 1e-20
                moved_PL = self.terms({**values, name: values[name] + 1j * step}, curve)
                slope[name] = self.combine(np.imag(moved_PL), values) / step
        return self.combine(terms_PL, values), np.stack([slope[name] for name in self.names])
