"""A straight line through points that noise has moved: what it is worth at any place, and how surely.

The points are weighted by the inverse of their noise and of the scatter that noise leaves unexplained (the
between-study variance of Paule & Mandel 1982), and both are in every interval. Noise comes as replicates of the points,
so that points which share a run, or a curve, are off together.

Legend: W points, R replicates.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class NoisyLine:
    """y = level + slope * (x - centre). lever_W @ y is the slope, share_W @ y the level."""

    slope: float
    level: float
    centre: float
    lever_W: Array
    share_W: Array
    residual_W: Array
    noise_RW: Array
    """What noise does to each point."""
    scatter: float
    """Standard deviation of the points about the line that their noise does not explain."""

    noise_degrees: float | None = None
    """Degrees of freedom that the size of the noise is known with. None: of everything no more are trusted than the
    line has points to spare, which is on the safe side.
    """

    def half_width(self, noise: float, scatter: float) -> float:
        """Of the interval of a quantity with these variances."""
        return quantile(self.degrees(noise, scatter)) * math.sqrt(noise + scatter)

    def degrees(self, noise: float, scatter: float) -> float:
        """What the sum of these variances is known with, by Satterthwaite's rule."""
        spare = len(self.lever_W) - 2
        if self.noise_degrees is None or noise + scatter == 0.0:
            return spare
        return (noise + scatter) ** 2 / (noise**2 / self.noise_degrees + scatter**2 / spare)

    def at(self, x: float) -> float:
        return self.level + self.slope * (x - self.centre)

    def slope_noise(self) -> Array:
        """What noise does to the slope: (R,)."""
        return np.asarray(self.noise_RW @ self.lever_W)

    def noise_at(self, x: float) -> Array:
        """What noise does to the value at x: (R,)."""
        return np.asarray(self.noise_RW @ self._pull(x))

    def slope_scatter(self) -> float:
        """Variance of the slope that is owed to the scatter."""
        return self.scatter**2 * float(self.lever_W @ self.lever_W)

    def scatter_at(self, x: float) -> float:
        """Variance of the value at x that is owed to the scatter."""
        return self.scatter**2 * float(self._pull(x) @ self._pull(x))

    def slope_interval(self) -> tuple[float, float]:
        half = self.half_width(float(np.var(self.slope_noise())), self.slope_scatter())
        return self.slope - half, self.slope + half

    def _pull(self, x: float) -> Array:
        return np.asarray(self.share_W + (x - self.centre) * self.lever_W)


def quantile(degrees: float, level: float = LEVEL) -> float:
    """Of Student's t: how many standard deviations the central interval reaches to either side."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))


def weighted_line(x_W: Array, y_W: Array, weights_W: Array) -> NoisyLine:
    """The least-squares line under weights that are inverse variances; without noise and scatter."""
    share_W = weights_W / weights_W.sum()
    centre = float(share_W @ x_W)
    lever_W = weights_W * (x_W - centre)
    lever_W = lever_W / float(lever_W @ (x_W - centre))
    slope, level = float(lever_W @ y_W), float(share_W @ y_W)
    residual_W = y_W - level - slope * (x_W - centre)
    return NoisyLine(slope, level, centre, lever_W, share_W, residual_W, np.zeros((1, len(x_W))), 0.0)


def noisy_line(x_W: Array, y_W: Array, replicate_RW: Array, noise_degrees: float | None = None) -> NoisyLine:
    """The line through points whose replicates under noise are given; NaN where a replicate has lost a point, which
    then stands at the mean of its others. The scatter is what the residuals have beyond what the replicates' own have:
    points off together, or against each other as neighbouring crossings are, are taken as such.
    """
    noise_RW = replicate_RW - np.nanmean(replicate_RW, axis=0)
    variance_W = np.nanvar(replicate_RW, axis=0)
    variance_W = np.maximum(variance_W, max(1e-6 * float(variance_W.max()), 1e-20))
    noise_RW = np.where(np.isfinite(noise_RW), noise_RW, 0.0)
    covariance_WW = np.cov(noise_RW, rowvar=False)

    def excess(scatter: float) -> float:
        weights_W = 1 / (variance_W + scatter)
        line = weighted_line(x_W, y_W, weights_W)
        left_WW = np.eye(len(x_W)) - line.share_W - np.outer(x_W - line.centre, line.lever_W)
        expected_WW = left_WW @ (covariance_WW + scatter * np.eye(len(x_W))) @ left_WW.T
        return float(weights_W @ (line.residual_W**2 - np.diagonal(expected_WW)))

    low, high = 0.0, float(np.var(y_W)) + 1e-20
    if excess(0.0) > 0:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    line = weighted_line(x_W, y_W, 1 / (variance_W + low))
    return replace(line, noise_RW=noise_RW, scatter=math.sqrt(low), noise_degrees=noise_degrees)
