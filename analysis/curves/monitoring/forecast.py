"""Forecast of the final loss of a run in training: the prediction of a fitted law for its whole schedule, corrected by
the run's own curve so far.

The log of a logged loss is modeled as ln law(t) + d(x) + e, x = t / T the fraction of the run that is done:

    d(x)  the deviation of this run from the law: normal with standard deviation b = FittedCurveLaw.noise and
          correlation exp(-|x - x'| / CORRELATION_LENGTH) between two fractions, since it changes during a run;
    e     the noise of a point, with standard deviation s estimated from the run's own residuals.

The points are averaged in B blocks; r_B is the mean residual of the n_B points of a block. The posterior of d at the
end is normal with

    mean      k' (K + V)^-1 r,            K = b^2 exp(-|x_B - x_B'| / CORRELATION_LENGTH),
    variance  b^2 - k' (K + V)^-1 k,      k = b^2 exp(-(1 - x_B) / CORRELATION_LENGTH),  V = diag(s^2 tau / n_B),

the conjugate normal update; with one block at the end the mean is b^2 / (b^2 + s^2 tau / n) times the mean residual.
`tau` is the number of points that count as one independent point: 1 + 2 times the sum of the autocorrelations of the
detrended residuals up to the first that is not positive. Residuals are detrended by a straight line only, so that slow
changes lower the number of independent points.

The interval is that of a logged loss at the end of the run. It combines the posterior variance of d, the replicates of
the fit (each with the deviation that the run has from it), and the noise of that one point. Few points determine s, so
the noise of the point follows Student's t distribution.

Legend: P logged points, G times of a grid, B blocks, R replicates, Z draws.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from windtunnel.analysis.curves.curve import MIN_POINTS, LossCurve
from windtunnel.analysis.curves.predict import INTERVAL_LEVEL
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.laws.law import Array

CORRELATION_LENGTH = 1.0  # fraction of a run over which the correlation of the deviation falls to 1/e
MAX_BLOCKS = 48
NOISE_FRACTION, MIN_NOISE_POINTS = 0.5, 20  # the last points, from which the noise of a point is estimated
REPLICATE_TIMES = 64  # of the grid: the difference between replicates and fit is smooth
DRAWS = 64  # per replicate
# Keep the covariance matrix regular without noise: relative to the prior variance, and absolute.
RELATIVE_JITTER, JITTER = 1e-12, 1e-300


@dataclass(frozen=True)
class FinalLossForecast:
    """Forecast of the loss logged at the end of a run.

    interval_90: None where the fit has no replicates. offset: the mean of d at the end, in log loss. point_noise: the
    standard deviation of a logged loss; None before there are points.
    """

    loss: float
    interval_90: tuple[float, float] | None
    offset: float
    point_noise: float | None
    points: int
    independent_points: float


@dataclass(frozen=True)
class _Deviation:
    """The posterior of d at the end; its mean is the weighted sum of the residuals of the blocks."""

    time_B: Array
    weight_B: Array
    mean: float
    variance: float
    point_noise: float
    points: int
    independent_points: float
    degrees_of_freedom: float


class RunForecaster:
    """The law along the whole schedule of one run, evaluated once; a forecast then costs only what is new."""

    def __init__(self, fit: FittedCurveLaw, query: LossCurve, *, intervals: bool = True) -> None:
        """`query` covers the schedule up to the time of the final loss (`PartialCurve.query`)."""
        self.query, self._noise = query, fit.noise
        self.log_law_G = np.log(fit.predict_losses(query))
        coarse_G = np.unique(np.linspace(0, query.num_points - 1, REPLICATE_TIMES).round().astype(np.intp))
        self._coarse_time_G = query.time_P[coarse_G]
        self._difference_RG = np.zeros((0, len(coarse_G)))  # of the log loss of each replicate from that of the fit
        if intervals and fit.num_replicates:
            coarse = replace(query, time_P=self._coarse_time_G, loss_P=query.loss_P[coarse_G])
            with np.errstate(all="ignore"):
                loss_RG = np.array([fit.fitted_law.predict(values, coarse) for values in fit.replicate_values()])
                difference_RG = np.log(loss_RG) - self.log_law_G[coarse_G]
            self._difference_RG = difference_RG[np.isfinite(difference_RG).all(axis=1)]

    @property
    def final_time(self) -> float:
        return float(self.query.time_P[-1])

    def log_law(self, time_P: Array) -> Array:
        """The log of the law's loss at times of the run: (P,)."""
        return np.interp(time_P, self.query.time_P, self.log_law_G)

    def final_loss(self, time_P: Array, loss_P: Array) -> float | None:
        """The forecast of the final loss without its interval; None where there are fewer than `MIN_POINTS` points."""
        deviation = self._deviation(time_P, loss_P)
        return None if deviation is None else math.exp(self.log_law_G[-1] + deviation.mean)

    def forecast(self, time_P: Array, loss_P: Array, seed: int = 0) -> FinalLossForecast | None:
        """The forecast from the points after the warm-up; None where there are fewer than `MIN_POINTS`."""
        deviation = self._deviation(time_P, loss_P)
        if deviation is None:
            return None
        expected = self.log_law_G[-1] + deviation.mean
        return FinalLossForecast(
            loss=math.exp(expected),
            interval_90=self._interval(expected, deviation, seed) if len(self._difference_RG) else None,
            offset=deviation.mean,
            point_noise=deviation.point_noise,
            points=deviation.points,
            independent_points=round(deviation.independent_points, 1),
        )

    def _interval(self, expected: float, deviation: _Deviation, seed: int) -> tuple[float, float]:
        # Where a replicate differs from the fit at the blocks, the run's deviation from it differs too.
        right_B = np.searchsorted(self._coarse_time_G, deviation.time_B).clip(1, len(self._coarse_time_G) - 1)
        before_B, after_B = self._coarse_time_G[right_B - 1], self._coarse_time_G[right_B]
        share_B = ((deviation.time_B - before_B) / (after_B - before_B)).clip(0, 1)
        difference_RB = self._difference_RG[:, right_B - 1] * (1 - share_B) + self._difference_RG[:, right_B] * share_B
        center_R = expected + self._difference_RG[:, -1] - difference_RB @ deviation.weight_B
        generator = np.random.default_rng(seed)
        level_RZ = math.sqrt(deviation.variance) * generator.standard_normal((len(center_R), DRAWS))
        point_RZ = deviation.point_noise * generator.standard_t(deviation.degrees_of_freedom, (len(center_R), DRAWS))
        log_loss_RZ = center_R[:, None] + level_RZ + point_RZ
        low, high = np.exp(np.quantile(log_loss_RZ, [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2]))
        return float(low), float(high)

    def _deviation(self, time_P: Array, loss_P: Array) -> _Deviation | None:
        if len(time_P) < MIN_POINTS:
            return None
        residual_P = np.log(loss_P) - self.log_law(time_P)
        recent = residual_P[-max(MIN_NOISE_POINTS, math.ceil(NOISE_FRACTION * len(residual_P))) :]
        noise, tau = point_noise(recent)
        edge_B = np.unique(np.linspace(0, len(time_P), min(MAX_BLOCKS, len(time_P)) + 1).astype(np.intp))
        count_B = np.diff(edge_B)
        time_B = np.add.reduceat(time_P, edge_B[:-1]) / count_B
        residual_B = np.add.reduceat(residual_P, edge_B[:-1]) / count_B
        share_B = time_B / self.final_time
        variance = self._noise**2
        between_BB = variance * np.exp(-np.abs(share_B[:, None] - share_B) / CORRELATION_LENGTH)
        to_end_B = variance * np.exp(-np.maximum(1 - share_B, 0) / CORRELATION_LENGTH)
        noise_B = noise**2 * tau / count_B + RELATIVE_JITTER * variance + JITTER
        weight_B = np.zeros(len(time_B))
        if variance:
            weight_B = np.asarray(np.linalg.solve(between_BB + np.diag(noise_B), to_end_B), dtype=np.float64)
        return _Deviation(
            time_B=time_B,
            weight_B=weight_B,
            mean=float(weight_B @ residual_B),
            variance=max(0.0, float(variance - weight_B @ to_end_B)),
            point_noise=noise,
            points=len(time_P),
            independent_points=len(time_P) / tau,
            degrees_of_freedom=max(1.0, len(recent) / tau - 2),
        )


def point_noise(residual_P: Array) -> tuple[float, float]:
    """The standard deviation of points around their straight-line trend, and the number of points that count as one
    independent point (`tau`, at least 1).
    """
    position_P = np.linspace(-1, 1, len(residual_P))
    slope = float(position_P @ residual_P) / float(position_P @ position_P)
    detrended_P = residual_P - residual_P.mean() - slope * position_P
    square = float(detrended_P @ detrended_P)
    if not square > 0:
        return 0.0, 1.0
    tau = 1.0
    for lag in range(1, len(detrended_P) // 2):
        correlation = float(detrended_P[:-lag] @ detrended_P[lag:]) / square
        if correlation <= 0:
            break
        tau += 2 * correlation
    return math.sqrt(square / (len(detrended_P) - 2)), tau


def with_fitted_peak(fit: FittedCurveLaw, query: LossCurve) -> LossCurve:
    """The schedule with its peak moved to the nearest fitted one: the law still describes the shape of the curve."""
    rates, (low, high) = query.rates, fit.peaks
    peak = min(max(rates.peak, low), high)
    scaled = LearningRates(rates.step_J, rates.rate_J * (peak / rates.peak), rates.warmup)
    return replace(query, rates=scaled)
