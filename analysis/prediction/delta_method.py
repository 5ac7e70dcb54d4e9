"""The interval of any quantity that the parameters of a fit determine, such as an optimum or an exponent.

First order in the parameters at the optimum (the delta method), with the noise of the residuals and of the runs they
share, and quantiles of Student's t. The caller chooses a scale on which the quantity is close to linear, such as the
logarithm of a size.

Legend: R replicates, K parameters.
"""

from collections.abc import Callable

import numpy as np

from windtunnel.analysis.fitting.noise import fix_at_bounds, quantity_noise, residual_noise
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array

STEP = 1e-4  # of the central difference, in internal coordinates


def quantity_interval(fit: Fit, quantity: Callable[[Array], Array], level: float = 0.9) -> tuple[float, float]:
    """Low and high of `quantity`, which maps natural parameters (R, K) to (R,). Both are infinite where the fit has no
    spare point to measure noise with, or the quantity is not finite near the optimum.
    """
    from scipy.special import stdtrit  # loads slowly

    problem = fit.problem()
    fitted_RK = problem.coordinates.to_internal(fit.natural_row())
    noise = residual_noise(problem, fitted_RK)
    if noise.degrees < 1:
        return -np.inf, np.inf
    shift_KK = STEP * np.eye(fit.law.num_parameters)
    center_K = noise.internal_RK[0]
    around_RK = np.concatenate([center_K + shift_KK, center_K - shift_KK, fitted_RK])
    value_R = quantity(problem.coordinates.to_natural(around_RK))
    above_K, below_K = value_R[: len(shift_KK)], value_R[len(shift_KK) : -1]
    gradient_RK = ((above_K - below_K) / (2 * STEP))[None]
    if not np.isfinite(value_R).all():
        return -np.inf, np.inf
    _, variance_R, _, degrees_R = quantity_noise(fix_at_bounds(problem, noise), gradient_RK, fit.points.run_P)
    half_width = float(stdtrit(degrees_R[0], 0.5 + level / 2) * np.sqrt(variance_R[0]))
    # About the value at the matched threshold, extended to include the fitted value.
    center, fitted = float(np.mean(np.concatenate([above_K, below_K]))), float(value_R[-1])
    return min(center - half_width, fitted), max(center + half_width, fitted)
