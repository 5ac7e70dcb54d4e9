"""The learning rate of every update of a run, linear between knots, and the sums over updates that curve laws read.

Sums are exact for the rates as given by the knots, and cost a few operations for each knot, not for each update: the
annealing law of a run of 1e6 updates takes milliseconds. The loss at time t is that after t updates, the rates
0..t-1. A drop of the rate at update k is rate[k-1] - rate[k]; those of the first warm-up are negative and not counted,
since laws of annealing are about what follows (`counted`).

Legend: J knots, I pieces between them (J - 1), P times, L levels of the rate, K updates
of a piece.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws.law import Array

# A schedule given update by update is thinned to knots that miss no rate by more than this share of the peak.
TOLERANCE = 1e-5
# Rates within this share of the peak are at the peak.
AT_PEAK = 1e-6
FLAT = 1e-9  # a piece that changes by less than this share is even
SHORT = 8  # updates of a piece whose powers are summed one by one
LEAST_RATE = 1e-300  # has a logarithm, and powers that are nothing


@dataclass(frozen=True)
class Rates:
    """`step_J` are updates, ascending from 0; `rate_J` their rates, not negative; `warmup` is a knot, the first update
    that is no warm-up (0: there was none).
    """

    step_J: Array
    rate_J: Array
    warmup: int

    @classmethod
    def of_knots(cls, step_J: Array, rate_J: Array, warmup: int | None = None) -> "Rates":
        """Knots as given; the warm-up is recognised (`warmup_of`) unless it is named."""
        step_J, rate_J = np.asarray(step_J, dtype=np.float64), np.asarray(rate_J, dtype=np.float64)
        if len(step_J) == 1:
            step_J, rate_J = np.append(step_J, step_J + 1), np.repeat(rate_J, 2)
        first = warmup_of(step_J, rate_J) if warmup is None else warmup
        if first and first not in step_J:
            place = int(np.searchsorted(step_J, first))
            rate_J = np.insert(rate_J, place, np.interp(first, step_J, rate_J))
            step_J = np.insert(step_J, place, first)
        return cls(step_J, rate_J, first)

    @classmethod
    def of_updates(cls, rate_S: Array, warmup: int | None = None) -> "Rates":
        """The rate of every update, thinned to knots (`TOLERANCE`)."""
        rate_S = np.asarray(rate_S, dtype=np.float64)
        knots = thinned(rate_S, TOLERANCE * float(rate_S.max()))
        return cls.of_knots(knots.astype(np.float64), rate_S[knots], warmup)

    @property
    def num_updates(self) -> int:
        return int(self.step_J[-1]) + 1

    @cached_property
    def peak(self) -> float:
        return float(self.rate_J.max())

    @cached_property
    def _lengths(self) -> Array:
        return np.diff(self.step_J)

    @cached_property
    def slopes(self) -> Array:
        return np.diff(self.rate_J) / np.diff(self.step_J)

    @cached_property
    def piece_drops(self) -> Array:
        """Of each update of a piece after its first knot; 0 in the warm-up."""
        return np.where(self.step_J[:-1] >= self.warmup, -self.slopes, 0.0)

    @cached_property
    def _sums(self) -> Array:
        """Sum of the rates before each knot."""
        length_I = np.diff(self.step_J)
        sum_I = length_I * self.rate_J[:-1] + self.slopes * length_I * (length_I - 1) / 2
        return np.concatenate([[0.0], np.cumsum(sum_I)])

    @cached_property
    def _dropped(self) -> Array:
        """Sum of the counted drops up to and with each knot."""
        return np.concatenate([[0.0], np.cumsum(self.piece_drops * np.diff(self.step_J))])

    def rate_before(self, time_P: Array) -> Array:
        """The rate of the last update before each time: (P,)."""
        return np.interp(np.maximum(time_P - 1, 0), self.step_J, self.rate_J)

    def sum(self, time_P: Array) -> Array:
        """S1, the sum of the rates of all updates before each time: (P,)."""
        piece_P = np.clip(np.searchsorted(self.step_J, time_P, side="right") - 1, 0, len(self.slopes) - 1)
        number_P = time_P - self.step_J[piece_P]
        ramp_P = self.slopes[piece_P] * number_P * (number_P - 1) / 2
        return np.asarray(self._sums[piece_P] + number_P * self.rate_J[piece_P] + ramp_P)

    def power_sum(self, time_P: Array, exponent: float) -> tuple[Array, Array]:
        """The sum of rate^exponent over all updates before each time, and its derivative by the exponent: (P,). The sum
        over the updates of a long piece is an integral to their halves.
        """
        place_I = np.arange(len(self.slopes))
        sum_I, slope_I = self._power_integral(place_I, self._lengths, exponent)
        before_J, before_slope_J = (np.append(0.0, np.cumsum(each_I)) for each_I in (sum_I, slope_I))
        piece_P = np.clip(np.searchsorted(self.step_J, time_P, side="right") - 1, 0, len(self.slopes) - 1)
        part_P, part_slope_P = self._power_integral(piece_P, time_P - self.step_J[piece_P], exponent)
        return before_J[piece_P] + part_P, before_slope_J[piece_P] + part_slope_P

    def _power_integral(self, piece_X: NDArray[np.intp], number_X: Array, exponent: float) -> tuple[Array, Array]:
        """Over so many first updates of pieces, and its derivative: (X,), of pieces or times alike."""
        level_X, slope_X, power = self.rate_J[piece_X], self.slopes[piece_X], exponent + 1
        even_X, even_slope_X = _powers(level_X, exponent)
        first_X, last_X = (np.maximum(level_X + slope_X * (n_X - 0.5), 0.0) for n_X in (0.0 * number_X, number_X))
        is_even_X = np.abs(slope_X) * self._lengths[piece_X] <= FLAT * level_X
        scale_X = np.where(is_even_X, 1.0, slope_X * power)
        (at_first_X, first_slope_X), (at_last_X, last_slope_X) = _powers(first_X, power), _powers(last_X, power)
        ramp_X = (at_last_X - at_first_X) / scale_X
        ramp_slope_X = (last_slope_X - first_slope_X) / scale_X - ramp_X / power
        # Few updates, as those of a jump, are summed one by one.
        update_K = np.arange(SHORT + 1)
        share_XK = np.clip(number_X[:, None] - update_K, 0.0, 1.0)
        at_XK, slope_XK = _powers(np.maximum(level_X[:, None] + slope_X[:, None] * update_K, 0.0), exponent)
        is_short_X = self._lengths[piece_X] <= SHORT
        return (
            np.select([is_even_X, is_short_X], [number_X * even_X, (share_XK * at_XK).sum(axis=1)], ramp_X),
            np.select(
                [is_even_X, is_short_X], [number_X * even_slope_X, (share_XK * slope_XK).sum(axis=1)], ramp_slope_X
            ),
        )

    def crossings(self, rate_L: Array) -> Array:
        """The updates next to which the rate crosses these, in every piece that does, ascending."""
        start_I, end_I = self.rate_J[:-1, None], self.rate_J[1:, None]
        crosses_IL = (rate_L < np.maximum(start_I, end_I)) & (rate_L > np.minimum(start_I, end_I))
        piece, level = np.nonzero(crosses_IL)
        return np.unique(np.round(self.step_J[piece] + (rate_L[level] - self.rate_J[piece]) / self.slopes[piece]))

    def drops_before(self, time_P: Array) -> tuple[NDArray[np.intp], Array]:
        """The piece that each time is in and how many of its drops lie before."""
        piece_P = np.clip(np.searchsorted(self.step_J + 1, time_P, side="right") - 1, 0, len(self.slopes) - 1)
        return piece_P, np.clip(time_P - self.step_J[piece_P] - 1, 0, np.diff(self.step_J)[piece_P])

    def dropped(self, time_P: Array) -> Array:
        """The sum of the counted drops before each time: (P,)."""
        piece_P, number_P = self.drops_before(time_P)
        return np.asarray(self._dropped[piece_P] + number_P * self.piece_drops[piece_P])

    def faded(self, places: tuple[NDArray[np.intp], Array], memory: Any) -> NDArray[Any]:
        """The counted drops before times, a drop n updates old weighted by (1 - 1/memory)**n: (P,). `places` of the
        times are those of `drops_before`; `memory` is a number of updates above 1, complex for a derivative.
        """
        log_factor = np.log1p(-1 / memory)
        fade_I = np.exp(log_factor * self._lengths)
        # Of one drop an update, without end: the factor over one less the factor.
        gain_I = self.piece_drops * (memory - 1) * (1 - fade_I)
        steps = zip(fade_I.tolist(), gain_I.tolist(), strict=True)
        faded_J = np.array(list(accumulate(steps, lambda before, each: before * each[0] + each[1], initial=0.0)))
        piece_P, number_P = places
        fade_P = np.exp(log_factor * number_P)
        return np.asarray(faded_J[piece_P] * fade_P + self.piece_drops[piece_P] * (memory - 1) * (1 - fade_P))

    def at_peak(self, time_P: Array) -> NDArray[np.bool_]:
        """The times after the warm-up at which every update so far was at the peak rate: (P,)."""
        below_J = (self.step_J > self.warmup) & (self.rate_J < self.peak * (1 - AT_PEAK))
        last = self.step_J[np.argmax(below_J) - 1] if below_J.any() else np.inf
        return np.asarray((time_P > self.warmup) & (time_P <= last + 1))


def _powers(rate: Array, exponent: float) -> tuple[Array, Array]:
    """rate^exponent and its derivative by the exponent."""
    log_rate = np.log(np.maximum(rate, LEAST_RATE))
    power = np.exp(exponent * log_rate)
    return power, power * log_rate


def warmup_of(step_J: Array, rate_J: Array) -> int:
    """The update at which the first rise ends, rates of 0 before it included: 0 where the rate does not rise from the
    start.
    """
    zeros = max(int(np.argmax(rate_J > 0)) - 1, 0)
    falling = zeros + np.flatnonzero(np.diff(rate_J[zeros:]) <= 0)
    first = int(falling[0]) if len(falling) else len(rate_J) - 1
    return int(step_J[first])


def thinned(rate_S: Array, tolerance: float) -> NDArray[np.intp]:
    """Updates between which the rate is linear to that tolerance, the first and the last among them."""
    updates = np.arange(len(rate_S))
    knots = np.array([0, len(rate_S) - 1] if len(rate_S) > 1 else [0], dtype=np.intp)
    if len(knots) == 1:
        return knots
    while True:
        miss_S = np.abs(np.interp(updates, knots, rate_S[knots]) - rate_S)
        if float(miss_S.max()) <= tolerance:
            return knots
        worst = np.maximum.reduceat(miss_S, knots[:-1])
        piece_S = np.minimum(np.searchsorted(knots, updates, side="right") - 1, len(worst) - 1)
        candidates = np.flatnonzero((miss_S == worst[piece_S]) & (miss_S > tolerance))
        _, first = np.unique(piece_S[candidates], return_index=True)
        knots = np.union1d(knots, candidates[first])
