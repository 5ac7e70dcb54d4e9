"""What the final loss of a run in training will be: what a fitted law says of its whole schedule, moved by its own
curve so far.

The logarithm of a logged loss is taken as ln law(t) + d(x) + e, x = t / T the share of the run:

    d(x)  how far this run lies from the law: normal, s.d. b = FittedCurves.noise, and correlated between two shares by
          exp(-|x - x'| / MEMORY), since a run's distance from its law wanders while it goes on;
    e     the noise of a point: s.d. s, from the run's own residuals.

Of B blocks of consecutive points, r_B the mean residual of n_B points from the law, d at the end is then normal with

    mean      k' (K + V)^-1 r,            K = b^2 exp(-|x_B - x_B'| / MEMORY),  k = b^2 exp(-(1 - x_B) / MEMORY),
    variance  b^2 - k' (K + V)^-1 k,      V = diag(s^2 tau / n_B),

the conjugate-normal update: with one block at the end, b^2 / (b^2 + s^2 tau / n) of its mean residual. `tau` is how
many points count as one: 1 + 2 times the sum of the autocorrelations up to the first that is not positive, of residuals
freed of no more than a straight line, so that slow wandering lowers the number of independent points. The interval is
of a logged loss at the end of the run: it joins the variance of d, the replicates of the fit (each with the distance
that the run has from it), and the noise of that one point, which stays to the end. s is known from a few points only:
its part follows Student's distribution.

Legend: P logged points, G times of a grid, B blocks, R replicates, Z draws.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.from_file import LEAST_POINTS
from windtunnel.analysis.curves.predict import LEVEL
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.laws.law import Array

MEMORY = 1.0  # of a run: over so much of it the correlation of its distance from the law falls to 1/e
BLOCKS = 48
RECENT = 0.5  # of the points: those that tell the noise of a point, unless these are few
LEAST_RECENT = 20
REPLICATE_TIMES = 64  # of the grid: how replicates differ from the fit is smooth
DRAWS = 64  # for each replicate


@dataclass(frozen=True)
class Forecast:
    """Of a loss logged at the end of a run. `offset` is d at the end, in log loss; the interval is None where the fit
    has no replicates.
    """

    loss: float
    interval_90: tuple[float, float] | None
    offset: float
    point_noise: float | None  # of a logged loss; None before there are points
    points: int
    independent_points: float


@dataclass(frozen=True)
class _Offset:
    """d at the end, as weights of the blocks' residuals."""

    time_B: Array
    weight_B: Array
    mean: float
    variance: float
    point_noise: float
    points: int
    independent: float
    freedom: float


class LawOfRun:
    """The law along the whole schedule of one run, worked out once; then each look costs only what is new."""

    def __init__(self, fit: FittedCurves, whole: Curve, *, intervals: bool = True) -> None:
        """`whole` has no losses; its last time is that of the final loss (`RunInTraining.whole`)."""
        self.whole, self._noise = whole, fit.noise
        self.log_law_G = np.log(fit.predict(whole))
        coarse_G = np.unique(np.linspace(0, whole.num_points - 1, REPLICATE_TIMES).round().astype(np.intp))
        self._coarse_time_G = whole.time_P[coarse_G]
        self._apart_RG = np.zeros((0, len(coarse_G)))
        if intervals and fit.num_replicates:
            coarse = replace(whole, time_P=self._coarse_time_G, loss_P=whole.loss_P[coarse_G])
            drawn = (
                {name: float(values[place]) for name, values in fit.replicates.items()}
                for place in range(fit.num_replicates)
            )
            with np.errstate(all="ignore"):
                law_RG = np.array([fit.fitted_law.predict(values, coarse) for values in drawn], dtype=np.float64)
                apart_RG = np.log(law_RG) - self.log_law_G[coarse_G]
            self._apart_RG = apart_RG[np.isfinite(apart_RG).all(axis=1)]

    @property
    def final_time(self) -> float:
        return float(self.whole.time_P[-1])

    def log_law(self, time_P: Array) -> Array:
        """The logarithm of the law's loss at times of the run: (P,)."""
        return np.interp(time_P, self.whole.time_P, self.log_law_G)

    def final_loss(self, time_P: Array, loss_P: Array) -> float | None:
        """The expected final loss, as `forecast` has it; None where there are too few points."""
        found = self._offset(time_P, loss_P)
        return None if found is None else math.exp(self.log_law_G[-1] + found.mean)

    def forecast(self, time_P: Array, loss_P: Array, seed: int = 0) -> Forecast | None:
        """From the points so far after the warm-up; None where there are fewer than `LEAST_POINTS`."""
        found = self._offset(time_P, loss_P)
        if found is None:
            return None
        expected, interval = self.log_law_G[-1] + found.mean, None
        if len(self._apart_RG):
            place_B = np.searchsorted(self._coarse_time_G, found.time_B).clip(1, len(self._coarse_time_G) - 1)
            before_B, after_B = self._coarse_time_G[place_B - 1], self._coarse_time_G[place_B]
            share_B = ((found.time_B - before_B) / (after_B - before_B)).clip(0, 1)
            apart_RB = self._apart_RG[:, place_B - 1] * (1 - share_B) + self._apart_RG[:, place_B] * share_B
            centre_R = expected + self._apart_RG[:, -1] - apart_RB @ found.weight_B
            generator = np.random.default_rng(seed)
            level_RZ = math.sqrt(found.variance) * generator.standard_normal((len(centre_R), DRAWS))
            point_RZ = found.point_noise * generator.standard_t(found.freedom, (len(centre_R), DRAWS))
            drawn_RZ = centre_R[:, None] + level_RZ + point_RZ
            low, high = np.exp(np.quantile(drawn_RZ, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
            interval = float(low), float(high)
        return Forecast(
            math.exp(expected), interval, found.mean, found.point_noise, found.points, round(found.independent, 1)
        )

    def _offset(self, time_P: Array, loss_P: Array) -> _Offset | None:
        if len(time_P) < LEAST_POINTS:
            return None
        residual_P = np.log(loss_P) - self.log_law(time_P)
        recent = residual_P[-max(LEAST_RECENT, math.ceil(RECENT * len(residual_P))) :]
        noise, tau = point_noise(recent)
        edge_B = np.unique(np.linspace(0, len(time_P), min(BLOCKS, len(time_P)) + 1).astype(np.intp))
        count_B = np.diff(edge_B)
        time_B = np.add.reduceat(time_P, edge_B[:-1]) / count_B
        residual_B = np.add.reduceat(residual_P, edge_B[:-1]) / count_B
        share_B = time_B / self.final_time
        prior = self._noise**2
        between_BB = prior * np.exp(-np.abs(share_B[:, None] - share_B) / MEMORY)
        to_end_B = prior * np.exp(-np.maximum(1 - share_B, 0) / MEMORY)
        # A law and a curve without any noise: what is added only keeps the matrix from being singular.
        own_B = noise**2 * tau / count_B + 1e-12 * prior + 1e-300
        weight_B = np.zeros(len(time_B))
        if prior:
            weight_B = np.asarray(np.linalg.solve(between_BB + np.diag(own_B), to_end_B), dtype=np.float64)
        return _Offset(
            time_B=time_B,
            weight_B=weight_B,
            mean=float(weight_B @ residual_B),
            variance=max(0.0, float(prior - weight_B @ to_end_B)),
            point_noise=noise,
            points=len(time_P),
            independent=len(time_P) / tau,
            freedom=max(1.0, len(recent) / tau - 2),
        )


def point_noise(residual_P: Array) -> tuple[float, float]:
    """The s.d. of points around a straight line through them, and how many of them count as one (`tau`, 1 or more)."""
    place_P = np.linspace(-1, 1, len(residual_P))
    slope = float(place_P @ residual_P) / float(place_P @ place_P)
    apart_P = residual_P - residual_P.mean() - slope * place_P
    square = float(apart_P @ apart_P)
    if not square > 0:
        return 0.0, 1.0
    tau = 1.0
    for lag in range(1, len(apart_P) // 2):
        correlation = float(apart_P[:-lag] @ apart_P[lag:]) / square
        if correlation <= 0:
            break
        tau += 2 * correlation
    return math.sqrt(square / (len(apart_P) - 2)), tau


def at_fitted_peak(fit: FittedCurves, whole: Curve) -> Curve:
    """The schedule with its peak moved to the nearest that was fitted: of a run at another peak the law knows at least
    the shape.
    """
    rates, (low, high) = whole.rates, fit.peaks
    moved = min(max(rates.peak, low), high)
    scaled = Rates(rates.step_J, rates.rate_J * (moved / rates.peak), rates.warmup)
    return Curve(whole.name, scaled, whole.time_P, whole.loss_P, whole.size, whole.batch, whole.notes)
