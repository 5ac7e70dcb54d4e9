"""The learning rate of every update of a run, piecewise linear, and the sums over updates that curve laws read.

Sums are exact for the piecewise linear rates and cost a few operations per knot, not per update: the annealing law of
a run of 1e6 updates takes milliseconds. The loss at time t is the loss after t updates, with rates 0..t-1. The drop of
the rate at update k is rate[k-1] - rate[k]. The negative drops of the warm-up are not counted, because annealing laws
describe what follows it.

Legend: S updates of a run, J knots, I pieces between them (J - 1), P times, L rate levels, K first updates of a piece,
X pieces or times.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array

KNOT_TOLERANCE = 1e-5  # largest error of a piecewise linear rate, relative to the peak
PEAK_TOLERANCE = 1e-6  # rates this close to the peak, relative to it, count as the peak
FLAT_TOLERANCE = 1e-9  # a piece whose rate changes by less, relatively, is constant
SHORT_PIECE = 8  # updates; the powers of shorter pieces are summed one by one
SMALLEST_RATE = 1e-300  # replaces 0 under a logarithm


@dataclass(frozen=True)
class LearningRates:
    """Learning rates `rate_J` (not negative) at updates `step_J` (ascending from 0), linear in between. `warmup` is the
    first update after the warm-up (0 without one) and one of the knots.
    """

    step_J: Array
    rate_J: Array
    warmup: int

    @classmethod
    def from_knots(cls, step_J: Array, rate_J: Array, warmup: int | None = None) -> "LearningRates":
        """The schedule with these knots; `warmup=None` detects the warm-up (`detect_warmup`)."""
        step_J, rate_J = np.asarray(step_J, dtype=np.float64), np.asarray(rate_J, dtype=np.float64)
        if len(step_J) == 1:
            step_J, rate_J = np.append(step_J, step_J + 1), np.repeat(rate_J, 2)
        if warmup is None:
            warmup = detect_warmup(step_J, rate_J)
        if warmup and warmup not in step_J:
            index = int(np.searchsorted(step_J, warmup))
            rate_J = np.insert(rate_J, index, np.interp(warmup, step_J, rate_J))
            step_J = np.insert(step_J, index, warmup)
        return cls(step_J, rate_J, warmup)

    @classmethod
    def from_updates(cls, rate_S: Array, warmup: int | None = None) -> "LearningRates":
        """The schedule with the rate of every update given, reduced to knots within `KNOT_TOLERANCE`."""
        rate_S = np.asarray(rate_S, dtype=np.float64)
        knots = piecewise_linear_knots(rate_S, KNOT_TOLERANCE * float(rate_S.max()))
        return cls.from_knots(knots.astype(np.float64), rate_S[knots], warmup)

    @property
    def num_updates(self) -> int:
        return int(self.step_J[-1]) + 1

    @cached_property
    def peak(self) -> float:
        return float(self.rate_J.max())

    @cached_property
    def lengths(self) -> Array:
        """Of the pieces, in updates: (I,)."""
        return np.diff(self.step_J)

    @cached_property
    def slopes(self) -> Array:
        """Of the pieces, per update: (I,)."""
        return np.diff(self.rate_J) / self.lengths

    @cached_property
    def drops(self) -> Array:
        """The drop at each update of a piece after its first knot, 0 during the warm-up: (I,)."""
        return np.where(self.step_J[:-1] >= self.warmup, -self.slopes, 0.0)

    @cached_property
    def _rate_sums(self) -> Array:
        """The sum of the rates before each knot."""
        length_I = self.lengths
        sum_I = length_I * self.rate_J[:-1] + self.slopes * length_I * (length_I - 1) / 2
        return np.concatenate([[0.0], np.cumsum(sum_I)])

    @cached_property
    def _drop_sums(self) -> Array:
        """The sum of the counted drops up to and including each knot."""
        return np.concatenate([[0.0], np.cumsum(self.drops * self.lengths)])

    def last_rate(self, time_P: Array) -> Array:
        """The rate of the last update before each time: (P,)."""
        return np.interp(np.maximum(time_P - 1, 0), self.step_J, self.rate_J)

    def rate_sum(self, time_P: Array) -> Array:
        """S1, the sum of the rates of all updates before each time: (P,)."""
        piece_P = self._piece_at(time_P)
        count_P = time_P - self.step_J[piece_P]
        ramp_P = self.slopes[piece_P] * count_P * (count_P - 1) / 2
        return np.asarray(self._rate_sums[piece_P] + count_P * self.rate_J[piece_P] + ramp_P)

    def power_sum(self, time_P: Array, exponent: float) -> tuple[Array, Array]:
        """The sum of rate^exponent over all updates before each time, and its derivative with respect to the exponent:
        (P,) each. On long pieces the sum is replaced by an integral over [k - 1/2, k + 1/2] for each update k.
        """
        all_I = np.arange(len(self.slopes))
        sum_I, slope_I = self._power_integral(all_I, self.lengths, exponent)
        before_J, before_slope_J = np.append(0.0, np.cumsum(sum_I)), np.append(0.0, np.cumsum(slope_I))
        piece_P = self._piece_at(time_P)
        part_P, part_slope_P = self._power_integral(piece_P, time_P - self.step_J[piece_P], exponent)
        return before_J[piece_P] + part_P, before_slope_J[piece_P] + part_slope_P

    def _piece_at(self, time_P: Array) -> NDArray[np.intp]:
        return np.clip(np.searchsorted(self.step_J, time_P, side="right") - 1, 0, len(self.slopes) - 1)

    def _power_integral(self, piece_X: NDArray[np.intp], count_X: Array, exponent: float) -> tuple[Array, Array]:
        """The sum of rate^exponent over the first `count_X` updates of pieces, and its derivative: (X,) each."""
        level_X, slope_X, power = self.rate_J[piece_X], self.slopes[piece_X], exponent + 1
        flat_X, flat_slope_X = _powers(level_X, exponent)
        first_X, last_X = (np.maximum(level_X + slope_X * (n_X - 0.5), 0.0) for n_X in (0.0 * count_X, count_X))
        is_flat_X = np.abs(slope_X) * self.lengths[piece_X] <= FLAT_TOLERANCE * level_X
        scale_X = np.where(is_flat_X, 1.0, slope_X * power)
        (at_first_X, first_slope_X), (at_last_X, last_slope_X) = _powers(first_X, power), _powers(last_X, power)
        ramp_X = (at_last_X - at_first_X) / scale_X
        ramp_slope_X = (last_slope_X - first_slope_X) / scale_X - ramp_X / power
        # The integral is inaccurate on short pieces, such as jumps: sum their updates one by one.
        update_K = np.arange(SHORT_PIECE + 1)
        share_XK = np.clip(count_X[:, None] - update_K, 0.0, 1.0)
        at_XK, slope_XK = _powers(np.maximum(level_X[:, None] + slope_X[:, None] * update_K, 0.0), exponent)
        cases = [is_flat_X, self.lengths[piece_X] <= SHORT_PIECE]
        return (
            np.select(cases, [count_X * flat_X, (share_XK * at_XK).sum(axis=1)], ramp_X),
            np.select(cases, [count_X * flat_slope_X, (share_XK * slope_XK).sum(axis=1)], ramp_slope_X),
        )

    def crossings(self, rate_L: Array) -> Array:
        """The updates, ascending, nearest to where the rate crosses any of these levels."""
        start_I, end_I = self.rate_J[:-1, None], self.rate_J[1:, None]
        crosses_IL = (rate_L < np.maximum(start_I, end_I)) & (rate_L > np.minimum(start_I, end_I))
        piece, level = np.nonzero(crosses_IL)
        return np.unique(np.round(self.step_J[piece] + (rate_L[level] - self.rate_J[piece]) / self.slopes[piece]))

    def drop_position(self, time_P: Array) -> tuple[NDArray[np.intp], Array]:
        """The piece that holds each time, and the number of its drops before that time: (P,) each."""
        piece_P = np.clip(np.searchsorted(self.step_J + 1, time_P, side="right") - 1, 0, len(self.slopes) - 1)
        return piece_P, np.clip(time_P - self.step_J[piece_P] - 1, 0, self.lengths[piece_P])

    def drop_sum(self, time_P: Array) -> Array:
        """The sum of the counted drops before each time: (P,)."""
        piece_P, count_P = self.drop_position(time_P)
        return np.asarray(self._drop_sums[piece_P] + count_P * self.drops[piece_P])

    def decayed_drop_sum(self, position: tuple[NDArray[np.intp], Array], memory: Any) -> NDArray[Any]:
        """The sum of the counted drops before each time, where a drop of age n updates has the weight
        (1 - 1/memory)**n: (P,). `position` is the result of `drop_position`; `memory` is a number of updates above 1,
        complex for a complex-step derivative.
        """
        log_factor = np.log1p(-1 / memory)
        decay_I = np.exp(log_factor * self.lengths)
        # A geometric series: its infinite sum is factor / (1 - factor) = memory - 1.
        gain_I = self.drops * (memory - 1) * (1 - decay_I)
        pieces = zip(decay_I.tolist(), gain_I.tolist(), strict=True)
        sums = accumulate(pieces, lambda before, piece: before * piece[0] + piece[1], initial=0.0)
        piece_P, count_P = position
        decay_P = np.exp(log_factor * count_P)
        at_knot_P = np.array(list(sums))[piece_P]
        return np.asarray(at_knot_P * decay_P + self.drops[piece_P] * (memory - 1) * (1 - decay_P))

    def at_peak(self, time_P: Array) -> NDArray[np.bool_]:
        """Whether every update between the warm-up and a time was at the peak rate: (P,)."""
        below_J = (self.step_J > self.warmup) & (self.rate_J < self.peak * (1 - PEAK_TOLERANCE))
        last = self.step_J[np.argmax(below_J) - 1] if below_J.any() else np.inf
        return np.asarray((time_P > self.warmup) & (time_P <= last + 1))


def _powers(rate: Array, exponent: float) -> tuple[Array, Array]:
    """rate^exponent and its derivative with respect to the exponent."""
    log_rate = np.log(np.maximum(rate, SMALLEST_RATE))
    power = np.exp(exponent * log_rate)
    return power, power * log_rate


def detect_warmup(step_J: Array, rate_J: Array) -> int:
    """The update at which the first rise of the rate ends, after any leading zeros; 0 where the rate does not rise from
    the start.
    """
    zeros = max(int(np.argmax(rate_J > 0)) - 1, 0)
    falling = zeros + np.flatnonzero(np.diff(rate_J[zeros:]) <= 0)
    first = int(falling[0]) if len(falling) else len(rate_J) - 1
    return int(step_J[first])


def piecewise_linear_knots(rate_S: Array, tolerance: float) -> NDArray[np.intp]:
    """Updates between which the rate is linear to within the absolute tolerance, including the first and the last."""
    updates = np.arange(len(rate_S))
    if len(rate_S) == 1:
        return np.array([0], dtype=np.intp)
    knots = np.array([0, len(rate_S) - 1], dtype=np.intp)
    while True:
        error_S = np.abs(np.interp(updates, knots, rate_S[knots]) - rate_S)
        if float(error_S.max()) <= tolerance:
            return knots
        # Add the worst update of every piece that is not within the tolerance.
        worst = np.maximum.reduceat(error_S, knots[:-1])
        piece_S = np.minimum(np.searchsorted(knots, updates, side="right") - 1, len(worst) - 1)
        candidates = np.flatnonzero((error_S == worst[piece_S]) & (error_S > tolerance))
        _, first = np.unique(piece_S[candidates], return_index=True)
        knots = np.union1d(knots, candidates[first])
