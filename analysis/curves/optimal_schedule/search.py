"""The schedule of least final loss for a horizon, under a function for the final loss: it never rises after the warm-up
and is linear between knots.

The multipliers of the knots are optimized; then the knots are placed anew where the schedule falls, and so on, so that
a jump becomes as sharp as the four digits of a knot allow. One search starts from smooth schedules, another from the
best step schedule. The loss of an optimum is that of the schedule with rounded knots.

Legend: K knots after the warm-up, J updates between which the rate is linear.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from windtunnel.analysis.curves.optimal_schedule.gain import has_jump
from windtunnel.analysis.curves.optimal_schedule.knots import (
    adaptive_shares,
    graded_shares,
    knots_of_schedule,
    linear_updates,
    rounded_knots,
)
from windtunnel.analysis.curves.optimal_schedule.step_schedule import optimize_step_schedule, step_knots
from windtunnel.analysis.laws.law import Array
from windtunnel.train.schedules import Schedule, multiplier

# (updates, multipliers of the peak there), linear between and with the end of the warm-up among them -> final loss.
FinalLoss = Callable[[Array, Array], float]

MIN_MULTIPLIER = 1e-3  # before the last knot: the rate stays above 0 until the end
NUM_KNOTS = 16
NUM_PLACEMENTS = 5  # rounds of placing the knots anew
WSD_FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5)  # of the decays that are starts
MAX_ITERATIONS, TOLERANCE = 60, 1e-9  # of the optimizer; the tolerance is relative to the loss
LOSS_SCALE = 1e3  # of the objective, which is near 0 at the optimum


@dataclass(frozen=True)
class OptimalSchedule:
    """`decay_fraction` is that of a WSD schedule, as a fraction of all updates."""

    schedule: Schedule
    loss: float
    decay_fraction: float = 0.0


@dataclass(frozen=True)
class FreeSchedules:
    """The best schedule, and the best one without a jump; None where every search ended with a jump."""

    best: OptimalSchedule
    gradual: OptimalSchedule | None


def optimize_free_schedule(
    loss_of: FinalLoss,
    total_steps: int,
    warmup_steps: int,
    min_multiplier: float = 0.0,
    start: Schedule | None = None,
    num_knots: int = NUM_KNOTS,
) -> FreeSchedules:
    """The best schedules from the peak to `min_multiplier`; before the end they stay above `MIN_MULTIPLIER`. `start` is
    one more schedule to start a search from.
    """
    search = _Search(loss_of, total_steps, warmup_steps, max(min_multiplier, MIN_MULTIPLIER), min_multiplier)
    share_K = graded_shares(num_knots)
    starts = [(share_K, multiplier_K) for multiplier_K in _smooth_starts(share_K)]
    if start is not None:
        starts.append(knots_of_schedule(start, num_knots))
    solved = [(share_K, search.solve(share_K, multiplier_K)) for share_K, multiplier_K in starts]
    smooth = min(solved, key=lambda knots: search.loss(*knots))
    share_K, multiplier_K = step_knots(optimize_step_schedule(search.loss, search.min_before_end), num_knots)
    with_jumps = (share_K, search.solve(share_K, multiplier_K))
    optima = [search.optimum(*knots) for knots in (*solved, search.refined(*smooth), search.refined(*with_jumps))]
    optima.sort(key=lambda optimum: optimum.loss)
    return FreeSchedules(optima[0], next((optimum for optimum in optima if not has_jump(optimum.schedule)), None))


@dataclass(frozen=True)
class _Search:
    loss_of: FinalLoss
    total_steps: int
    warmup_steps: int
    min_before_end: float
    min_at_end: float

    def loss(self, share_K: Array, multiplier_K: Array) -> float:
        return self._loss_at(share_K)(multiplier_K)

    def _loss_at(self, share_K: Array) -> Callable[[Array], float]:
        """The loss as a function of the multipliers at these shares."""
        step_J = linear_updates(self.total_steps, self.warmup_steps, share_K)
        share_J = np.maximum(step_J - self.warmup_steps, 0) / (self.total_steps - self.warmup_steps)
        trunk = Schedule("constant", self.total_steps, self.warmup_steps, 0, "linear", 0.0, 0.0)
        warmup_J = multiplier(trunk, step_J.astype(np.int64))
        knot = np.array([0.0, *share_K])
        return lambda multiplier_K: self.loss_of(step_J, warmup_J * np.interp(share_J, knot, [1.0, *multiplier_K]))

    def solve(self, share_K: Array, multiplier_K: Array) -> Array:
        """The multipliers of least loss at these shares. The variables are the drops from knot to knot, none of them
        negative: in these both the bounds and the order of the multipliers are linear constraints.
        """
        loss_at, start_K = self._loss_at(share_K), self._feasible(multiplier_K)
        start_loss = loss_at(start_K)

        def objective(drop_K: Array) -> float:
            return LOSS_SCALE * (loss_at(np.maximum(1 - np.cumsum(drop_K), 0.0)) / start_loss - 1)

        is_before_end_K = np.arange(len(share_K)) < len(share_K) - 1
        constraint_2K = -np.stack([is_before_end_K, np.ones(len(share_K))])
        bound_2 = np.array([1 - self.min_before_end, 1 - self.min_at_end])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a step was clipped to its bounds
            result = minimize(
                objective,
                -np.diff(start_K, prepend=1.0),
                method="SLSQP",
                bounds=[(0.0, 1.0)] * len(share_K),
                constraints={
                    "type": "ineq",
                    "fun": lambda drop_K: bound_2 + constraint_2K @ drop_K,
                    "jac": lambda _: constraint_2K,
                },
                options={"maxiter": MAX_ITERATIONS, "ftol": LOSS_SCALE * TOLERANCE},
            )
        if not np.isfinite(result.x).all():
            return start_K
        solved_K = self._feasible(1 - np.cumsum(result.x))
        return solved_K if loss_at(solved_K) < start_loss else start_K

    def refined(self, share_K: Array, multiplier_K: Array) -> tuple[Array, Array]:
        """The knots placed anew and their multipliers optimized again, as long as that gains."""
        lowest = self.loss(share_K, multiplier_K)
        for _ in range(NUM_PLACEMENTS):
            placed_K = adaptive_shares(share_K, multiplier_K, len(share_K))
            solved_K = self.solve(placed_K, np.interp(placed_K, [0.0, *share_K], [1.0, *multiplier_K]))
            if (loss := self.loss(placed_K, solved_K)) >= lowest:
                break
            share_K, multiplier_K, lowest = placed_K, solved_K, loss
        return share_K, multiplier_K

    def optimum(self, share_K: Array, multiplier_K: Array) -> OptimalSchedule:
        knots = rounded_knots(share_K, multiplier_K)
        schedule = Schedule("piecewise", self.total_steps, self.warmup_steps, 0, "linear", 0.0, 0.0, knots)
        return OptimalSchedule(schedule, self.loss(*np.array(schedule.knots).T))

    def _feasible(self, multiplier_K: Array) -> Array:
        """The multipliers made non-increasing and clipped to their bounds."""
        feasible_K = np.clip(np.minimum.accumulate(multiplier_K), self.min_before_end, 1.0)
        last = np.clip(min(multiplier_K[-1], feasible_K[-1]), self.min_at_end, 1.0)
        return np.append(feasible_K[:-1], last)


def _smooth_starts(share_K: Array) -> list[Array]:
    """Multipliers of constant, linear, cosine, and WSD schedules with several decay fractions."""
    decays = [1 - np.sqrt(np.clip((share_K - (1 - fraction)) / fraction, 0, 1)) for fraction in WSD_FRACTIONS]
    return [np.ones_like(share_K), 1 - share_K, 0.5 + 0.5 * np.cos(np.pi * share_K), *decays]
