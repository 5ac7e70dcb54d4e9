"""The schedule of least final loss for a horizon that never rises after its warm-up, linear between knots, under
whatever says the final loss of a schedule.

Knots are placed, their multipliers found, and the knots placed anew where the schedule falls, so that a jump becomes as
sharp as the four digits allow in which knots are written. One search begins at smooth schedules, another at the best of
a few jumps. The loss of an optimum is that of the schedule as it is written.

Legend: K knots after the warm-up, J updates between which the rate is linear.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from windtunnel.analysis.curves.optimal_schedule.gain import jumps
from windtunnel.analysis.curves.optimal_schedule.knots import (
    even_shares,
    following,
    linear_updates,
    shares_along,
    written,
)
from windtunnel.analysis.curves.optimal_schedule.step_schedule import best_staircase, knots_of
from windtunnel.analysis.laws.law import Array
from windtunnel.train.schedules import Schedule, multiplier

# (updates, multipliers of the peak there), linear between and with the end of the warm-up among them -> final loss.
FinalLoss = Callable[[Array, Array], float]

# Before its last knot a schedule that is to be trained stays above 0, and above this share of the peak.
LEAST = 1e-3
NUM_KNOTS = 16
ROUNDS = 5  # of placing the knots anew
WSD_STARTS = (0.1, 0.2, 0.3, 0.4, 0.5)
ITERATIONS, TOLERANCE = 60, 1e-9  # of the solver; the tolerance is a share of the loss


@dataclass(frozen=True)
class Optimum:
    schedule: Schedule
    loss: float
    decay_fraction: float = 0.0  # of all updates, under WSD: as settings take it


@dataclass(frozen=True)
class FreeOptima:
    best: Optimum
    gradual: Optimum | None  # the best that was met without a jump


def best_free(
    loss_of: FinalLoss,
    total_steps: int,
    warmup_steps: int,
    floor: float = 0.0,
    start: Schedule | None = None,
    num_knots: int = NUM_KNOTS,
) -> FreeOptima:
    """The best schedules from the peak to the floor; `start` is where a search begins among other places. Before its
    end a schedule stays above `LEAST`.
    """
    search = _Search(loss_of, total_steps, warmup_steps, max(floor, LEAST), floor)
    share_K = even_shares(num_knots)
    starts = [(share_K, value_K) for value_K in _smooth_starts(share_K)]
    if start is not None:
        starts.append(shares_along(start, num_knots))
    solved = [(share_K, search.solve(share_K, value_K)) for share_K, value_K in starts]
    smooth = min(solved, key=lambda each: search.loss(*each))
    share_K, value_K = knots_of(best_staircase(search.loss, search.least), num_knots)
    jumping = (share_K, search.solve(share_K, value_K))
    met = [search.optimum(*each) for each in (*solved, search.refined(*smooth), search.refined(*jumping))]
    met.sort(key=lambda each: each.loss)
    return FreeOptima(met[0], next((each for each in met if not jumps(each.schedule)), None))


@dataclass(frozen=True)
class _Search:
    loss_of: FinalLoss
    total_steps: int
    warmup_steps: int
    least: float  # before the last knot
    floor: float  # at the last knot

    def loss(self, share_K: Array, value_K: Array) -> float:
        return self._losses_at(share_K)(value_K)

    def _losses_at(self, share_K: Array) -> Callable[[Array], float]:
        """The loss of multipliers at these shares."""
        step_J = linear_updates(self.total_steps, self.warmup_steps, share_K)
        along_J = np.maximum(step_J - self.warmup_steps, 0) / (self.total_steps - self.warmup_steps)
        trunk = Schedule("constant", self.total_steps, self.warmup_steps, 0, "linear", 0.0, 0.0)
        warmed_J = multiplier(trunk, step_J.astype(np.int64))
        share_with_peak = np.array([0.0, *share_K])
        return lambda value_K: self.loss_of(step_J, warmed_J * np.interp(along_J, share_with_peak, [1.0, *value_K]))

    def solve(self, share_K: Array, value_K: Array) -> Array:
        """The multipliers of least loss at these shares, searched for among the drops from knot to knot, none of them
        negative: in drops both the range and the order are linear.
        """
        losses, start_K = self._losses_at(share_K), self._allowed(value_K)
        unit = losses(start_K)

        def objective(drop_K: Array) -> float:
            return 1e3 * (losses(np.maximum(1 - np.cumsum(drop_K), 0.0)) / unit - 1)

        before_the_last_K = np.arange(len(share_K)) < len(share_K) - 1
        taken_2K = -np.stack([before_the_last_K, np.ones(len(share_K))])
        room_2 = np.array([1 - self.least, 1 - self.floor])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that a step was clipped to its bounds
            found = minimize(
                objective,
                -np.diff(start_K, prepend=1.0),
                method="SLSQP",
                bounds=[(0.0, 1.0)] * len(share_K),
                constraints={"type": "ineq", "fun": lambda d_K: room_2 + taken_2K @ d_K, "jac": lambda d_K: taken_2K},
                options={"maxiter": ITERATIONS, "ftol": 1e3 * TOLERANCE},
            )
        if not np.isfinite(found.x).all():
            return start_K
        found_K = self._allowed(1 - np.cumsum(found.x))
        return found_K if losses(found_K) < unit else start_K

    def refined(self, share_K: Array, value_K: Array) -> tuple[Array, Array]:
        """The knots placed anew and their multipliers found again, as long as that gains."""
        lowest = self.loss(share_K, value_K)
        for _ in range(ROUNDS):
            placed_K = following(share_K, value_K, len(share_K))
            found_K = self.solve(placed_K, np.interp(placed_K, [0.0, *share_K], [1.0, *value_K]))
            if (loss := self.loss(placed_K, found_K)) >= lowest:
                break
            share_K, value_K, lowest = placed_K, found_K, loss
        return share_K, value_K

    def optimum(self, share_K: Array, value_K: Array) -> Optimum:
        knots = written(share_K, value_K)
        schedule = Schedule("piecewise", self.total_steps, self.warmup_steps, 0, "linear", 0.0, 0.0, knots)
        written_share_K, written_value_K = np.array(schedule.knots).T
        return Optimum(schedule, self.loss(written_share_K, written_value_K))

    def _allowed(self, value_K: Array) -> Array:
        """Never rising, within the range."""
        allowed_K = np.clip(np.minimum.accumulate(value_K), self.least, 1.0)
        last = np.clip(min(value_K[-1], allowed_K[-1]), self.floor, 1.0)
        return np.append(allowed_K[:-1], last)


def _smooth_starts(share_K: Array) -> list[Array]:
    """Constant, linear, cosine, and WSD at several fractions."""
    decays = [1 - np.sqrt(np.clip((share_K - (1 - fraction)) / fraction, 0, 1)) for fraction in WSD_STARTS]
    return [np.ones_like(share_K), 1 - share_K, 0.5 + 0.5 * np.cos(np.pi * share_K), *decays]
