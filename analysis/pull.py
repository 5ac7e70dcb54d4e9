"""A pull on what the law says at a query: each replicate's prediction there is drawn towards a value, quadratically at
any distance, beside the fit of the points.

Legend: R replicates, Q queries, K parameters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.coordinates import Coordinates
from analysis.law import Array, Columns
from analysis.levenberg_marquardt import NormalEquations


@dataclass(frozen=True)
class Pull:
    """`wanted_R` is on the scale of the residuals: a logarithm where `log` is set."""

    at: Columns  # the queries: (Q,) each
    query_R: NDArray[np.intp]
    wanted_R: Array
    weight_R: Array
    log: bool

    def normal_equations(
        self, coordinates: Coordinates, internal_RK: Array, replicates: NDArray[np.intp]
    ) -> NormalEquations:
        """Of the pulls of those replicates, which lie in `internal_RK`."""
        value_R, gradient_RK = self.predict(coordinates, internal_RK, replicates)
        weights_R1 = self.weight_R[replicates, None]
        residual_R1 = (value_R - self.wanted_R[replicates])[:, None]
        return NormalEquations.of(residual_R1, gradient_RK[:, :, None], weights_R1, np.full_like(residual_R1, np.inf))

    def cost(self, value_R: Array) -> Array:
        return 0.5 * self.weight_R * (self.wanted_R - value_R) ** 2

    def predict(
        self, coordinates: Coordinates, internal_RK: Array, replicates: NDArray[np.intp]
    ) -> tuple[Array, Array]:
        """What the law says to each replicate's own query (R,), and its gradient (R, K)."""
        queries, place_R = np.unique(self.query_R[replicates], return_inverse=True)
        at = {name: values_Q[queries] for name, values_Q in self.at.items()}
        prediction_RQ, jacobian_RKQ = coordinates.predict_with_jacobian(internal_RK, at)
        everyone = np.arange(len(internal_RK))
        value_R, gradient_RK = prediction_RQ[everyone, place_R], jacobian_RKQ[everyone, :, place_R]
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                value_R, gradient_RK = np.log(value_R), gradient_RK / value_R[:, None]
        return value_R, np.nan_to_num(gradient_RK)
