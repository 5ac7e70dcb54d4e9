"""One loss curve: the learning rate of every update, and the losses that were logged.

Legend: P logged points, Q quadrature nodes, E edges of a mesh, I its pieces.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.schedule_sums import LEAST_RATE, Rates
from windtunnel.analysis.laws.law import Array

# A fit reads at most about this many points of a curve, each the mean of a stretch of it.
FITTED_POINTS = 400
# A piece over which sums are taken is at most this share of a run.
FINEST = 1 / 128
# Shares of the peak: where the rate crosses one a piece ends, since powers of the rate fall steeply towards 0.
LEVELS: Array = 0.9 ** np.arange(1.0, 80.0)
# Gauss nodes of a piece: many where its drops have just happened, in the last pieces before a time.
NEAR_PIECES = 3
FAR_NODES, NEAR_NODES = np.polynomial.legendre.leggauss(2), np.polynomial.legendre.leggauss(12)


@dataclass(frozen=True)
class Drops:
    """The counted drops of the rate, gathered at nodes, as each logged time sees them: the sum of the rates since, the
    logarithm of the rate there, and how much it dropped; (P, Q).
    """

    since_PQ: Array
    rate_PQ: Array
    weight_PQ: Array


@dataclass(frozen=True)
class Falls:
    """Pieces of a run over which the rate falls or rises after its warm-up, as far as each logged time has seen them:
    the logarithms of the rates before and after, the sum of the rates since the end of the piece, and how much further
    back it begins; (P, I).
    """

    log_before_PI: Array
    log_after_PI: Array
    since_PI: Array
    span_PI: Array


@dataclass(frozen=True)
class Mesh:
    """Pieces of a run over which the rate hardly changes: S1 at their edges and middles, and the share of the peak."""

    sum_E: Array
    middle_I: Array
    rate_share_I: Array


@dataclass(frozen=True)
class Curve:
    """`time_P` is the number of updates made before each loss; it may be the middle of the steps that a logged loss is
    the mean of. `size` are parameters, `batch` tokens for each update and `losses` of which kind it is, "training" or
    "validation", where they are known.
    """

    name: str
    rates: Rates
    time_P: Array
    loss_P: Array
    size: float | None = None
    batch: float | None = None
    notes: tuple[str, ...] = ()
    losses: str | None = None
    warmup_is_guessed: bool = False  # the file begins at its peak: its first step was taken for the end of the warm-up

    @property
    def num_points(self) -> int:
        return len(self.time_P)

    @cached_property
    def times_key(self) -> bytes:
        """Equal for curves that have the same rates and are logged at the same times, as seeds of one schedule are."""
        parts = (self.rates.step_J, self.rates.rate_J, np.array([self.rates.warmup]), self.time_P)
        return hashlib.blake2b(b"/".join(part.tobytes() for part in parts)).digest()

    @property
    def kind(self) -> tuple[bytes, float | None, float | None]:
        """What a law reads of it: equal for seeds of one run, of which a law says the same."""
        return self.times_key, self.size, self.batch

    @cached_property
    def sums(self) -> Array:
        """S1 at each logged time, the warm-up included."""
        return self.rates.sum(self.time_P)

    @cached_property
    def log_sums(self) -> Array:
        return np.log(self.sums)

    @cached_property
    def dropped(self) -> Array:
        """How far the rate has dropped at each logged time."""
        return self.rates.dropped(self.time_P)

    @cached_property
    def drop_places(self) -> tuple[NDArray[np.intp], Array]:
        """Where in the schedule each logged time is, for `Rates.faded`."""
        return self.rates.drops_before(self.time_P)

    @cached_property
    def rate_shares(self) -> Array:
        """The rate of the last update before each logged time, as a share of the peak."""
        return self.rates.rate_before(self.time_P) / self.rates.peak

    @cached_property
    def drops(self) -> Drops:
        """Of pieces of falling (or rising) rate: a sum over updates is an integral to their halves."""
        rates = self.rates
        falling = rates.piece_drops != 0
        parts_I = np.maximum(1, np.ceil(np.diff(rates.step_J)[falling] / (FINEST * rates.num_updates))).astype(np.intp)
        place_I = np.arange(parts_I.sum()) - np.repeat(np.cumsum(parts_I) - parts_I, parts_I)
        length_I = np.repeat(np.diff(rates.step_J)[falling] / parts_I, parts_I)
        start_I = np.repeat(rates.step_J[:-1][falling], parts_I) + place_I * length_I + 0.5
        drop_I = np.repeat(rates.piece_drops[falling], parts_I)
        # Drops up to update t - 1 lie before time t. The first piece of every time that is not far back:
        end_P = self.time_P - 0.5
        first_P = np.maximum(np.searchsorted(start_I, end_P) - NEAR_PIECES, 0)
        node_Q, part_Q = FAR_NODES
        # The drop of a jump is at one update, with the rate that it arrives at.
        spread_I = np.where(length_I == 1, 0.0, 1.0)[:, None]
        far_IQ = start_I[:, None] + length_I[:, None] * (1 + spread_I * node_Q) / 2
        far_PI = np.arange(len(start_I)) < first_P[:, None]
        weight_PQ = far_PI[:, :, None] * ((drop_I * length_I)[:, None] * part_Q / 2)
        node_Q, part_Q = NEAR_NODES
        near_PN = np.minimum(first_P[:, None] + np.arange(NEAR_PIECES), max(len(start_I) - 1, 0))
        once_PN = first_P[:, None] + np.arange(NEAR_PIECES) < len(start_I)
        if not len(start_I):
            empty = np.zeros((self.num_points, 0))
            return Drops(empty, empty, empty)
        passed_PN = np.clip(end_P[:, None] - start_I[near_PN], 0, length_I[near_PN]) * once_PN
        near_PNQ = start_I[near_PN][:, :, None] + passed_PN[:, :, None] * (1 + spread_I[near_PN] * node_Q) / 2
        near_weight_PNQ = (drop_I[near_PN] * passed_PN)[:, :, None] * part_Q / 2
        points = self.num_points
        step_PQ = np.concatenate(
            [np.broadcast_to(far_IQ.ravel(), (points, far_IQ.size)), near_PNQ.reshape(points, -1)], axis=1
        )
        sum_PQ = np.concatenate(
            [
                np.broadcast_to(rates.sum(far_IQ.ravel()), (points, far_IQ.size)),
                rates.sum(near_PNQ.reshape(points, -1)),
            ],
            axis=1,
        )
        return Drops(
            np.maximum(self.sums[:, None] - sum_PQ, 0.0),
            np.interp(step_PQ, rates.step_J, rates.rate_J),
            np.concatenate([weight_PQ.reshape(points, -1), near_weight_PNQ.reshape(points, -1)], axis=1),
        )

    @cached_property
    def falls(self) -> Falls:
        """Between knots and finer. A sum over updates is an integral to their halves: the rate of update k is reached
        at k + 1/2. The drop of a piece of one update, as of a jump, is at that update.
        """
        rates = self.rates
        even_E = np.round(np.arange(0, 1, FINEST) * rates.num_updates)
        edge_E = np.unique(np.concatenate([rates.step_J, even_E, rates.crossings(rates.peak * LEVELS)]))
        edge_E = edge_E[edge_E >= rates.warmup]
        changes_I = np.diff(np.interp(edge_E, rates.step_J, rates.rate_J)) != 0
        first_I, last_I = edge_E[:-1][changes_I], edge_E[1:][changes_I]
        seen_P1 = self.time_P[:, None] - 1.0
        first_PI, last_PI = (np.minimum(edge_I, seen_P1) for edge_I in (first_I, last_I))
        jump_I = last_I - first_I == 1.0
        begin_PI, end_PI = np.where(jump_I, last_PI, first_PI + 0.5), np.where(jump_I, last_PI, last_PI + 0.5)
        begun_PI, since_PI = (
            np.maximum(self.sums[:, None] - rates.sum(np.maximum(time_PI, 0.0)), 0.0) for time_PI in (begin_PI, end_PI)
        )
        log_before_PI, log_after_PI = (
            np.log(np.maximum(np.interp(edge_PI, rates.step_J, rates.rate_J), LEAST_RATE))
            for edge_PI in (first_PI, last_PI)
        )
        return Falls(log_before_PI, log_after_PI, since_PI, np.maximum(begun_PI - since_PI, 0.0))

    @cached_property
    def mesh(self) -> Mesh:
        """Pieces between knots, and finer: even ones, and early on ones that grow with the time."""
        last = self.rates.num_updates
        even_E, growing_E = np.arange(0, 1, FINEST) * last, np.geomspace(1, last, round(0.5 / FINEST))
        edge_E = np.unique(np.concatenate([self.rates.step_J, even_E, growing_E]))
        middle_I = (edge_E[:-1] + edge_E[1:]) / 2
        # A piece is the updates from its first edge to the one before its last.
        share_I = np.interp(middle_I - 0.5, self.rates.step_J, self.rates.rate_J) / self.rates.peak
        return Mesh(self.rates.sum(edge_E), self.rates.sum(middle_I), share_I)

    def points(self, chosen_P: NDArray[np.bool_]) -> "Curve":
        """The curve with some of its logged points."""
        return replace(self, time_P=self.time_P[chosen_P], loss_P=self.loss_P[chosen_P])

    def thinned(self) -> "Curve":
        """Stretches of its points as one, so that about `FITTED_POINTS` are left: mean time, mean logarithm of loss."""
        width = self.num_points // FITTED_POINTS
        if width < 2:
            return self
        first = np.arange(0, self.num_points, width)
        count = np.diff([*first, self.num_points])
        time_P = np.add.reduceat(self.time_P, first) / count
        loss_P = np.exp(np.add.reduceat(np.log(self.loss_P), first) / count)
        return replace(self, time_P=time_P, loss_P=loss_P)
