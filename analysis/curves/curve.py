"""A loss curve: the learning rate of every update, and the losses that were logged.

Legend: P logged points, Q quadrature nodes, E edges of a mesh, I its pieces, N the last pieces before a time.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.schedule_sums import SMALLEST_RATE, LearningRates
from windtunnel.analysis.laws.law import Array

LossKind = Literal["training", "validation"]
LOSS_KINDS: tuple[LossKind, ...] = get_args(LossKind)
LawKey = tuple[bytes, float | None, float | None]

MIN_POINTS = 4  # logged losses of a curve that can be fitted
FITTED_POINTS = 400  # a fit reads about this many points of a curve, each the mean of several
PIECE_FRACTION = 1 / 128  # longest piece of a mesh, as a fraction of the run
# Fractions of the peak: a piece ends where the rate crosses one, because powers of the rate fall steeply near 0.
PIECE_LEVELS: Array = 0.9 ** np.arange(1.0, 80.0)
# Gauss-Legendre nodes of a piece of falling rate: more in the last pieces before a time, whose drops are recent.
RECENT_PIECES = 3
OLD_NODES, RECENT_NODES = np.polynomial.legendre.leggauss(2), np.polynomial.legendre.leggauss(12)


@dataclass(frozen=True)
class DropQuadrature:
    """The counted drops of the rate before each logged time, integrated at nodes: the sum of the rates since the node,
    the rate at the node, and the drop that the node stands for; (P, Q) each.
    """

    sum_since_PQ: Array
    rate_PQ: Array
    weight_PQ: Array


@dataclass(frozen=True)
class RateChanges:
    """The pieces of a run over which the rate changes after the warm-up, as far as each logged time has seen them: the
    logarithms of the rates before and after, the sum of the rates since the end of the piece, and the sum over the
    piece; (P, I) each.
    """

    log_before_PI: Array
    log_after_PI: Array
    sum_since_PI: Array
    sum_within_PI: Array


@dataclass(frozen=True)
class Mesh:
    """Pieces of a run over which the rate is nearly constant: S1 at their edges and midpoints, and the rate relative to
    the peak.
    """

    rate_sum_E: Array
    midpoint_rate_sum_I: Array
    relative_rate_I: Array


@dataclass(frozen=True)
class LossCurve:
    """A learning-rate schedule and the losses logged along it.

    time_P: the number of updates made before each loss; the middle of the averaged steps where a logged loss is a mean.
    loss_P: nats per token; NaN in a curve without losses (`query`).
    size: parameters; batch: tokens per update; losses: kind of the losses. None where unknown.
    warmup_inferred: the file begins at its peak, and its first step was taken as the end of the warm-up.
    """

    name: str
    rates: LearningRates
    time_P: Array
    loss_P: Array
    size: float | None = None
    batch: float | None = None
    notes: tuple[str, ...] = ()
    losses: str | None = None
    warmup_inferred: bool = False

    @classmethod
    def query(
        cls,
        name: str,
        rates: LearningRates,
        time_P: Array,
        size: float | None = None,
        batch: float | None = None,
        losses: str | None = None,
    ) -> "LossCurve":
        """A curve without losses: the times of a schedule at which a law is evaluated."""
        return cls(name, rates, time_P, np.full(len(time_P), np.nan), size, batch, losses=losses)

    @property
    def num_points(self) -> int:
        return len(self.time_P)

    @cached_property
    def times_key(self) -> bytes:
        """Equal for curves with the same learning rates and logged times, such as seed replicates."""
        parts = (self.rates.step_J, self.rates.rate_J, np.array([self.rates.warmup]), self.time_P)
        return hashlib.blake2b(b"/".join(part.tobytes() for part in parts)).digest()

    @property
    def law_key(self) -> LawKey:
        """Everything that a law reads: equal for seed replicates, for which every law predicts the same."""
        return self.times_key, self.size, self.batch

    @cached_property
    def rate_sums(self) -> Array:
        """S1 at each logged time, including the warm-up."""
        return self.rates.rate_sum(self.time_P)

    @cached_property
    def log_rate_sums(self) -> Array:
        return np.log(self.rate_sums)

    @cached_property
    def drop_sums(self) -> Array:
        """The sum of the counted drops before each logged time."""
        return self.rates.drop_sum(self.time_P)

    @cached_property
    def drop_position(self) -> tuple[NDArray[np.intp], Array]:
        """The position of each logged time, for `LearningRates.decayed_drop_sum`."""
        return self.rates.drop_position(self.time_P)

    @cached_property
    def relative_rates(self) -> Array:
        """The rate of the last update before each logged time, relative to the peak."""
        return self.rates.last_rate(self.time_P) / self.rates.peak

    @cached_property
    def drop_quadrature(self) -> DropQuadrature:
        """Quadrature over pieces of changing rate: the sum over updates is an integral over [k - 1/2, k + 1/2]."""
        rates = self.rates
        falling = rates.drops != 0
        parts_I = np.maximum(1, np.ceil(rates.lengths[falling] / (PIECE_FRACTION * rates.num_updates))).astype(np.intp)
        part_I = np.arange(parts_I.sum()) - np.repeat(np.cumsum(parts_I) - parts_I, parts_I)
        length_I = np.repeat(rates.lengths[falling] / parts_I, parts_I)
        start_I = np.repeat(rates.step_J[:-1][falling], parts_I) + part_I * length_I + 0.5
        drop_I = np.repeat(rates.drops[falling], parts_I)
        if not len(start_I):
            empty = np.zeros((self.num_points, 0))
            return DropQuadrature(empty, empty, empty)
        # Time t follows the drops up to update t - 1. Pieces before the first recent one have ended by then.
        end_P = self.time_P - 0.5
        first_recent_P = np.maximum(np.searchsorted(start_I, end_P) - RECENT_PIECES, 0)
        # The drop of a jump is at one update, with the rate that it arrives at.
        spread_I = np.where(length_I == 1, 0.0, 1.0)[:, None]
        node_Q, weight_Q = OLD_NODES
        old_IQ = start_I[:, None] + length_I[:, None] * (1 + spread_I * node_Q) / 2
        is_old_PI = np.arange(len(start_I)) < first_recent_P[:, None]
        old_weight_PIQ = is_old_PI[:, :, None] * ((drop_I * length_I)[:, None] * weight_Q / 2)
        node_Q, weight_Q = RECENT_NODES
        piece_PN = first_recent_P[:, None] + np.arange(RECENT_PIECES)
        exists_PN = piece_PN < len(start_I)
        piece_PN = np.minimum(piece_PN, len(start_I) - 1)
        passed_PN = np.clip(end_P[:, None] - start_I[piece_PN], 0, length_I[piece_PN]) * exists_PN
        recent_PNQ = start_I[piece_PN][:, :, None] + passed_PN[:, :, None] * (1 + spread_I[piece_PN] * node_Q) / 2
        recent_weight_PNQ = (drop_I[piece_PN] * passed_PN)[:, :, None] * weight_Q / 2

        points = self.num_points
        recent_PQ = recent_PNQ.reshape(points, -1)

        def joined(old_IQ: Array, recent_PQ: Array) -> Array:
            return np.concatenate([np.broadcast_to(old_IQ.ravel(), (points, old_IQ.size)), recent_PQ], axis=1)

        sum_PQ = joined(rates.rate_sum(old_IQ.ravel()), rates.rate_sum(recent_PQ))
        weights = (old_weight_PIQ.reshape(points, -1), recent_weight_PNQ.reshape(points, -1))
        return DropQuadrature(
            np.maximum(self.rate_sums[:, None] - sum_PQ, 0.0),
            np.interp(joined(old_IQ, recent_PQ), rates.step_J, rates.rate_J),
            np.concatenate(weights, axis=1),
        )

    @cached_property
    def rate_changes(self) -> RateChanges:
        """Pieces between knots, subdivided. The sum over updates is an integral over [k - 1/2, k + 1/2], so the rate of
        update k is reached at k + 1/2; the drop of a piece of one update, such as a jump, is at that update.
        """
        rates = self.rates
        uniform_E = np.round(np.arange(0, 1, PIECE_FRACTION) * rates.num_updates)
        edge_E = np.unique(np.concatenate([rates.step_J, uniform_E, rates.crossings(rates.peak * PIECE_LEVELS)]))
        edge_E = edge_E[edge_E >= rates.warmup]
        changes_I = np.diff(np.interp(edge_E, rates.step_J, rates.rate_J)) != 0
        first_I, last_I = edge_E[:-1][changes_I], edge_E[1:][changes_I]
        seen_P1 = self.time_P[:, None] - 1.0
        first_PI, last_PI = np.minimum(first_I, seen_P1), np.minimum(last_I, seen_P1)
        jump_I = last_I - first_I == 1.0
        begin_PI, end_PI = np.where(jump_I, last_PI, first_PI + 0.5), np.where(jump_I, last_PI, last_PI + 0.5)

        def sum_since(time_PI: Array) -> Array:
            return np.maximum(self.rate_sums[:, None] - rates.rate_sum(np.maximum(time_PI, 0.0)), 0.0)

        def log_rate(edge_PI: Array) -> Array:
            return np.log(np.maximum(np.interp(edge_PI, rates.step_J, rates.rate_J), SMALLEST_RATE))

        since_begin_PI, since_end_PI = sum_since(begin_PI), sum_since(end_PI)
        sum_within_PI = np.maximum(since_begin_PI - since_end_PI, 0.0)
        return RateChanges(log_rate(first_PI), log_rate(last_PI), since_end_PI, sum_within_PI)

    @cached_property
    def mesh(self) -> Mesh:
        """Pieces between knots, subdivided evenly, and geometrically at the start of the run."""
        last = self.rates.num_updates
        uniform_E, geometric_E = (
            np.arange(0, 1, PIECE_FRACTION) * last,
            np.geomspace(1, last, round(0.5 / PIECE_FRACTION)),
        )
        edge_E = np.unique(np.concatenate([self.rates.step_J, uniform_E, geometric_E]))
        midpoint_I = (edge_E[:-1] + edge_E[1:]) / 2
        # A piece consists of the updates from its first edge to the one before its last.
        rate_I = np.interp(midpoint_I - 0.5, self.rates.step_J, self.rates.rate_J)
        return Mesh(self.rates.rate_sum(edge_E), self.rates.rate_sum(midpoint_I), rate_I / self.rates.peak)

    def select(self, mask_P: NDArray[np.bool_]) -> "LossCurve":
        """The curve with the logged points of the mask only."""
        return replace(self, time_P=self.time_P[mask_P], loss_P=self.loss_P[mask_P])

    def binned(self) -> "LossCurve":
        """The curve with about `FITTED_POINTS` points: bins of consecutive points, with the mean time and the geometric
        mean of the loss.
        """
        width = self.num_points // FITTED_POINTS
        if width < 2:
            return self
        first = np.arange(0, self.num_points, width)
        count = np.diff([*first, self.num_points])
        time_P = np.add.reduceat(self.time_P, first) / count
        loss_P = np.exp(np.add.reduceat(np.log(self.loss_P), first) / count)
        return replace(self, time_P=time_P, loss_P=loss_P)
