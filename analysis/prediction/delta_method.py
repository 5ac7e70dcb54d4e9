"""The interval of any quantity that a fit's parameters determine: an optimum, an exponent, a penalty.

To first order in the parameters at the optimum, with the noise as the residuals (and the runs they share) show it and
Student's t. The caller chooses the scale, such as the logarithm of a size, on which the quantity is close to linear.

Legend: R replicates, K parameters.
"""

from collections.abc import Callable

import numpy as np

from windtunnel.analysis.fitting.noise import quantity_noise, residual_noise, within_bounds
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array

STEP = 1e-4  # in internal coordinates: a ten-thousandth of a positive parameter


def quantity_interval(fit: Fit, quantity: Callable[[Array], Array], level: float = 0.9) -> tuple[float, float]:
    """Low and high of `quantity`, which takes natural parameters (R, K) and gives (R,). An end is infinite where the
    fit has no spare point to measure noise with, or the quantity has no derivative.
    """
    from scipy.special import stdtrit

    problem = fit.problem()
    fitted_RK = problem.coordinates.to_internal(fit.natural_row())
    noise = residual_noise(problem, fitted_RK)
    if noise.degrees < 1:
        return -np.inf, np.inf
    shift_KK = STEP * np.eye(fit.law.num_parameters)
    centre_K = noise.internal_RK[0]
    around_RK = np.concatenate([centre_K + shift_KK, centre_K - shift_KK, fitted_RK])
    value_R = quantity(problem.coordinates.to_natural(around_RK))
    above_K, below_K = value_R[: len(shift_KK)], value_R[len(shift_KK) : -1]
    gradient_RK = ((above_K - below_K) / (2 * STEP))[None]
    if not np.isfinite(value_R).all():
        return -np.inf, np.inf
    _, variance_R, _, degrees_R = quantity_noise(within_bounds(problem, noise), gradient_RK, fit.points.run_P)
    half_width = float(stdtrit(degrees_R[0], 0.5 + level / 2) * np.sqrt(variance_R[0]))
    # About the value at the matched threshold, stretched to hold the fitted one.
    centre, fitted = float(np.mean(np.concatenate([above_K, below_K]))), float(value_R[-1])
    return min(centre - half_width, fitted), max(centre + half_width, fitted)
