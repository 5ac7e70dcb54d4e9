"""Internal coordinates of a fit: logarithms of positive parameters, and amplitudes centered at the columns' geometric
means. Centering takes the condition number of a typical fit from 1e11 to 1e3.

Legend: P points, R replicates, K parameters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Columns, Law, Parameter, monomial

# Lower bound of an amplitude, below the target's scale in natural logarithm: less counts as zero.
ZERO_AMPLITUDE = 18.0
OUTSIDE_GRID = math.log(300.0)  # how far a positive parameter may leave its start grid
LOWEST_LOG, HIGHEST_LOG = -50.0, 700.0  # of any other positive parameter
AT_BOUND = 1e-6  # in internal coordinates: nearer than this is at the bound


def internal_bounds(
    parameter: Parameter, amplitude_scale: float | None, start_grid: Sequence[float] | None
) -> tuple[float, float]:
    """Bounds of a parameter in internal coordinates. amplitude_scale: the logarithm of the target's scale, for an
    amplitude.
    """
    if not parameter.positive:
        return parameter.minimum, parameter.upper
    lowest, highest = LOWEST_LOG, HIGHEST_LOG
    if start_grid is not None:
        lowest, highest = math.log(min(start_grid)) - OUTSIDE_GRID, math.log(max(start_grid)) + OUTSIDE_GRID
    if amplitude_scale is not None:
        lowest = amplitude_scale - ZERO_AMPLITUDE
    return (
        math.log(parameter.minimum) if parameter.minimum > 0 else lowest,
        math.log(parameter.upper) if parameter.upper < math.inf else highest,
    )


@dataclass(frozen=True)
class Coordinates:
    """Maps internal coordinates (R, K) to natural parameters (R, K), and Jacobians back.

    Bounds are (K,) and means are numbers, or (R, K) and (R,) where every replicate has its own coordinates. couplings:
    (amplitude, exponent, mean of the logarithm of the column).
    """

    law: Law
    positive_K: NDArray[np.bool_]
    couplings: tuple[tuple[int, int, float | Array], ...]
    lower_K: Array
    upper_K: Array

    @classmethod
    def from_law(cls, law: Law, columns: Columns, target_P: Array) -> "Coordinates":
        index = {name: number for number, name in enumerate(law.names)}
        couplings: list[tuple[int, int, float | Array]] = []
        for amplitude, exponent, column in law.couplings:
            mean_log = float(np.mean(np.log(np.abs(monomial(column, columns)))))
            couplings.append((index[amplitude], index[exponent], mean_log))
        scale = math.log(max(float(np.median(np.abs(target_P))), 1e-300))
        amplitudes = set(law.linear) | {name for name, _, _ in law.couplings}
        coupled = {number for number, _, _ in couplings}
        lower, upper = [], []
        for number, parameter in enumerate(law.parameters):
            if number in coupled and (parameter.minimum > 0 or parameter.upper < math.inf):
                raise ValueError(f"law {law.name}: {parameter.name} is centered and cannot have bounds")
            amplitude_scale = scale if parameter.name in amplitudes else None
            low, high = internal_bounds(parameter, amplitude_scale, law.start_grid.get(parameter.name))
            lower.append(low)
            upper.append(high)
        positive_K = np.array([parameter.positive for parameter in law.parameters])
        return cls(law, positive_K, tuple(couplings), np.array(lower), np.array(upper))

    def uncentered(self, parameter_R: NDArray[np.intp]) -> "Coordinates":
        """Coordinates of as many replicates, in which the given parameter of each is natural, also where it is a
        centered amplitude: fixing it fixes the reported value.
        """
        shape = (len(parameter_R), self.law.num_parameters)
        lower_RK, upper_RK = np.tile(self.lower_K, (shape[0], 1)), np.tile(self.upper_K, (shape[0], 1))
        couplings = []
        for amplitude, exponent, mean_log in self.couplings:
            own_R = parameter_R == amplitude
            bound = 690.0 if self.positive_K[amplitude] else np.inf
            lower_RK[own_R, amplitude], upper_RK[own_R, amplitude] = -bound, bound
            couplings.append((amplitude, exponent, np.where(own_R, 0.0, mean_log)))
        return replace(self, couplings=tuple(couplings), lower_K=lower_RK, upper_K=upper_RK)

    def rows(self, replicates: NDArray[np.intp]) -> "Coordinates":
        """The coordinates of some replicates."""
        if self.lower_K.ndim == 1:
            return self
        couplings = tuple((a, e, np.asarray(mean_log)[replicates]) for a, e, mean_log in self.couplings)
        return replace(self, couplings=couplings, lower_K=self.lower_K[replicates], upper_K=self.upper_K[replicates])

    def to_natural(self, internal_RK: Array) -> Array:
        natural_RK = np.where(self.positive_K, np.exp(np.where(self.positive_K, internal_RK, 0.0)), internal_RK)
        for amplitude, exponent, mean_log in self.couplings:
            natural_RK[:, amplitude] *= np.exp(natural_RK[:, exponent] * mean_log)
        return natural_RK

    def to_internal(self, natural_RK: Array) -> Array:
        centered_RK = np.array(natural_RK, dtype=np.float64)
        for amplitude, exponent, mean_log in self.couplings:
            centered_RK[:, amplitude] *= np.exp(-natural_RK[:, exponent] * mean_log)
        with np.errstate(divide="ignore"):
            logs_RK = np.log(np.where(self.positive_K, np.abs(centered_RK), 1.0))
        internal_RK = np.where(self.positive_K, logs_RK, centered_RK)
        return np.asarray(np.clip(internal_RK, self.lower_K, self.upper_K))

    def predict(self, internal_RK: Array, columns: Columns) -> Array:
        """Predictions (R, P); not finite where the law overflows."""
        with np.errstate(all="ignore"):
            return self._broadcast(self.law.predict(self.law.values(self.to_natural(internal_RK)), columns), columns)

    def _broadcast(self, prediction: Any, columns: Columns) -> Array:
        prediction_RP = np.asarray(prediction, dtype=np.float64)
        return np.broadcast_to(prediction_RP, (prediction_RP.shape[0], len(next(iter(columns.values())))))

    def predict_with_jacobian(self, internal_RK: Array, columns: Columns) -> tuple[Array, Array]:
        """Predictions (R, P) and their derivatives in internal coordinates, laid out (R, K, P). Neither is finite
        where the law overflows.
        """
        with np.errstate(all="ignore"):
            return self._differentiate(internal_RK, columns)

    def _differentiate(self, internal_RK: Array, columns: Columns) -> tuple[Array, Array]:
        natural_RK = self.to_natural(internal_RK)
        values = self.law.values(natural_RK)
        prediction_RP = self._broadcast(self.law.predict(values, columns), columns)
        if self.law.jacobian is not None:
            jacobian_RKP = self.law.jacobian(values, columns)
        else:
            jacobian_RKP = self._complex_step(natural_RK, columns, prediction_RP.shape)
        own_RK = np.where(self.positive_K, natural_RK, 1.0)
        from_amplitude = []  # the derivative by an exponent through its centered amplitude
        for amplitude, exponent, mean_log in self.couplings:
            if not self.positive_K[amplitude]:
                own_RK[:, amplitude] = np.exp(natural_RK[:, exponent] * mean_log)
            slope_R = natural_RK[:, amplitude] * mean_log * own_RK[:, exponent]
            from_amplitude.append((exponent, jacobian_RKP[:, amplitude] * slope_R[:, None]))
        jacobian_RKP *= own_RK[:, :, None]
        for exponent, derivative_RP in from_amplitude:
            jacobian_RKP[:, exponent] += derivative_RP
        return prediction_RP, jacobian_RKP

    def _complex_step(self, natural_RK: Array, columns: Columns, shape: tuple[int, ...]) -> Array:
        """d prediction / d natural parameter as Im f(x + ih)/h, exact to rounding for tiny h."""
        jacobian_RKP = np.empty((shape[0], natural_RK.shape[1], shape[1]))
        for number in range(natural_RK.shape[1]):
            step_R = np.maximum(np.abs(natural_RK[:, number]), 1e-30) * 1e-20
            shifted_RK: NDArray[Any] = natural_RK.astype(np.complex128)
            shifted_RK[:, number] += 1j * step_R
            moved = self.law.predict(self.law.values(shifted_RK), columns)
            jacobian_RKP[:, number] = np.broadcast_to(np.imag(moved), shape) / step_R[:, None]
        return jacobian_RKP
