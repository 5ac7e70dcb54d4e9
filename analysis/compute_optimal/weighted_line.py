"""A straight line through noisy points, with its uncertainty at any place.

The points are weighted by the inverse of the variance of their noise and of the scatter that noise does not explain
(the between-study variance of Paule & Mandel 1982); both enter every interval. The noise is given as replicates of the
points, so that points that share a run, or a curve, are correlated.

Legend: W points, R replicates.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from windtunnel.analysis.fitting.result import INTERVAL_LEVEL
from windtunnel.analysis.laws.law import Array


@dataclass(frozen=True)
class WeightedLine:
    """y = level + slope * (x - center). slope_weights_W @ y is the slope, level_weights_W @ y the level."""

    slope: float
    level: float
    center: float
    slope_weights_W: Array
    level_weights_W: Array
    residual_W: Array
    noise_RW: Array
    """Noise of each point, in every replicate."""
    scatter: float
    """Standard deviation of the points about the line that their noise does not explain."""

    noise_degrees: float | None = None
    """Degrees of freedom of the estimate of the noise. None: no more than those of the line are assumed for any
    variance, which is conservative.
    """

    def half_width(self, noise: float, scatter: float) -> float:
        """Half the width of the interval of a quantity with these variances."""
        return student_quantile(self.degrees(noise, scatter)) * math.sqrt(noise + scatter)

    def degrees(self, noise: float, scatter: float) -> float:
        """Degrees of freedom of the sum of these variances, by Satterthwaite's rule."""
        line_degrees = len(self.slope_weights_W) - 2
        if self.noise_degrees is None or noise + scatter == 0.0:
            return line_degrees
        return (noise + scatter) ** 2 / (noise**2 / self.noise_degrees + scatter**2 / line_degrees)

    def at(self, x: float) -> float:
        """The value of the line at x."""
        return self.level + self.slope * (x - self.center)

    def slope_noise(self) -> Array:
        """Noise of the slope: (R,)."""
        return np.asarray(self.noise_RW @ self.slope_weights_W)

    def noise_at(self, x: float) -> Array:
        """Noise of the value at x: (R,)."""
        return np.asarray(self.noise_RW @ self._weights_at(x))

    def slope_scatter(self) -> float:
        """Variance of the slope due to the scatter."""
        return self.scatter**2 * float(self.slope_weights_W @ self.slope_weights_W)

    def scatter_at(self, x: float) -> float:
        """Variance of the value at x due to the scatter."""
        return self.scatter**2 * float(self._weights_at(x) @ self._weights_at(x))

    def slope_interval(self) -> tuple[float, float]:
        """The 95 % interval of the slope."""
        half = self.half_width(float(np.var(self.slope_noise())), self.slope_scatter())
        return self.slope - half, self.slope + half

    def _weights_at(self, x: float) -> Array:
        return np.asarray(self.level_weights_W + (x - self.center) * self.slope_weights_W)


def student_quantile(degrees: float, level: float = INTERVAL_LEVEL) -> float:
    """Half-width, in standard deviations, of the central interval of Student's t."""
    from scipy.special import stdtrit  # slow to import

    return float(stdtrit(degrees, (1 + level) / 2))


def weighted_line(x_W: Array, y_W: Array, weights_W: Array) -> WeightedLine:
    """The least-squares line under weights that are inverse variances; its noise and scatter are zero."""
    level_weights_W = weights_W / weights_W.sum()
    center = float(level_weights_W @ x_W)
    slope_weights_W = weights_W * (x_W - center)
    slope_weights_W = slope_weights_W / float(slope_weights_W @ (x_W - center))
    slope, level = float(slope_weights_W @ y_W), float(level_weights_W @ y_W)
    residual_W = y_W - level - slope * (x_W - center)
    no_noise_1W = np.zeros((1, len(x_W)))
    return WeightedLine(slope, level, center, slope_weights_W, level_weights_W, residual_W, no_noise_1W, 0.0)


def noisy_line(x_W: Array, y_W: Array, replicate_RW: Array, noise_degrees: float | None = None) -> WeightedLine:
    """The line through points given with replicates under noise.

    A replicate that has lost a point is NaN there, and counts as the mean of the point's other replicates. The scatter
    is the excess of the residuals over the residuals of the replicates: correlated points, and anticorrelated ones such
    as neighboring crossings, are taken into account.
    """
    noise_RW = replicate_RW - np.nanmean(replicate_RW, axis=0)
    variance_W = np.nanvar(replicate_RW, axis=0)
    variance_W = np.maximum(variance_W, max(1e-6 * float(variance_W.max()), 1e-20))
    noise_RW = np.where(np.isfinite(noise_RW), noise_RW, 0.0)
    covariance_WW = np.cov(noise_RW, rowvar=False)

    def excess(scatter: float) -> float:
        weights_W = 1 / (variance_W + scatter)
        line = weighted_line(x_W, y_W, weights_W)
        residual_WW = (
            np.eye(len(x_W)) - line.level_weights_W - np.outer(x_W - line.center, line.slope_weights_W)
        )  # maps the points to their residuals
        expected_WW = residual_WW @ (covariance_WW + scatter * np.eye(len(x_W))) @ residual_WW.T
        return float(weights_W @ (line.residual_W**2 - np.diagonal(expected_WW)))

    low, high = 0.0, float(np.var(y_W)) + 1e-20
    if excess(0.0) > 0:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    line = weighted_line(x_W, y_W, 1 / (variance_W + low))
    return replace(line, noise_RW=noise_RW, scatter=math.sqrt(low), noise_degrees=noise_degrees)
