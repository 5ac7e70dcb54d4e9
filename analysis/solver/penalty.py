"""Quadratic penalties that are added to the objective of a fit.

Legend: R replicates, K parameters, Q queries, M prior statements.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array, Columns
from windtunnel.analysis.solver.coordinates import Coordinates
from windtunnel.analysis.solver.levenberg_marquardt import NormalEquations


@dataclass(frozen=True)
class PredictionPenalty:
    """Quadratic penalty on the prediction at a query point; traces its profile likelihood.

    at: the queries, (Q,) each. query_R: the query of each replicate. target_R: where its prediction is drawn to, on the
    scale of the residuals: a logarithm where `log` is set.
    """

    at: Columns
    query_R: NDArray[np.intp]
    target_R: Array
    weight_R: Array
    log: bool

    def normal_equations(
        self, coordinates: Coordinates, internal_RK: Array, replicates: NDArray[np.intp]
    ) -> NormalEquations:
        """Of the penalties of those replicates, which lie in `internal_RK`."""
        value_R, gradient_RK = self.predict(coordinates, internal_RK, replicates)
        weights_R1 = self.weight_R[replicates, None]
        residual_R1 = (value_R - self.target_R[replicates])[:, None]
        return NormalEquations.from_residuals(
            residual_R1, gradient_RK[:, :, None], weights_R1, np.full_like(residual_R1, np.inf)
        )

    def cost(self, value_R: Array) -> Array:
        return 0.5 * self.weight_R * (self.target_R - value_R) ** 2

    def predict(
        self, coordinates: Coordinates, internal_RK: Array, replicates: NDArray[np.intp]
    ) -> tuple[Array, Array]:
        """The prediction at each replicate's own query (R,), and its gradient (R, K)."""
        queries, place_R = np.unique(self.query_R[replicates], return_inverse=True)
        at = {name: values_Q[queries] for name, values_Q in self.at.items()}
        prediction_RQ, jacobian_RKQ = coordinates.predict_with_jacobian(internal_RK, at)
        rows = np.arange(len(internal_RK))
        value_R, gradient_RK = prediction_RQ[rows, place_R], jacobian_RKQ[rows, :, place_R]
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                value_R, gradient_RK = np.log(value_R), gradient_RK / value_R[:, None]
        return value_R, np.nan_to_num(gradient_RK)


@dataclass(frozen=True)
class ParameterPrior:
    """Quadratic penalty on linear combinations of internal parameters: weight/2 times the squares of
    (share_MK @ internal_K - center_M), in units of their standard deviations.
    """

    share_MK: Array
    center_M: Array
    weight: float

    def cost(self, internal_K: Array) -> float:
        return 0.5 * self.weight * float(np.sum((self.share_MK @ internal_K - self.center_M) ** 2))

    def normal_equations(self, internal_RK: Array) -> NormalEquations:
        deviation_RM = internal_RK @ self.share_MK.T - self.center_M
        curvature_KK = self.weight * self.share_MK.T @ self.share_MK
        curvature_RKK = np.repeat(curvature_KK[None], len(internal_RK), axis=0)
        value_R = 0.5 * self.weight * np.sum(deviation_RM**2, axis=1)
        return NormalEquations(value_R, self.weight * deviation_RM @ self.share_MK, curvature_RKK, curvature_RKK)
