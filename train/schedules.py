"""Learning-rate schedules: pure functions of the step, without state.

A schedule is data (`Schedule`, with resolved integers). `multiplier` maps a step to the factor on the peak rate. Step s
in 0..total_steps-1 is the s-th update. No update is made at s == total_steps, where a decay has arrived exactly at its
final fraction.

A warm-up is followed by a plateau (constant; a power law under `power`), and the last `decay_steps` decay from it.
Before its decay a schedule does not depend on its horizon, so a trunk and the branches decayed from it have bitwise
equal rates. In cosine, linear and piecewise schedules the decay takes all steps after warm-up.

Arrays: S steps.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from windtunnel.train.errors import InputError

ScheduleShape = Literal["wsd", "cosine", "linear", "constant", "power", "piecewise"]
DecayShape = Literal["1-sqrt", "linear", "exponential", "cosine", "step"]
Knots = tuple[tuple[float, float], ...]

# The shapes that decay from the end of warm-up to the horizon; for cosine and linear, the shape of that decay.
_FULL_DECAY: dict[ScheduleShape, DecayShape] = {"cosine": "cosine", "linear": "linear"}
FULL_SHAPES: tuple[ScheduleShape, ...] = (*_FULL_DECAY, "piecewise")


@dataclass(frozen=True)
class Schedule:
    """One fully resolved schedule. Raises InputError for an invalid combination.

    shape: `wsd` (warm-up, stable, decay), `cosine` and `linear` (decay from the end of warm-up to the horizon),
        `constant`, `power` (Shen et al. 2024, arXiv 2408.13359): ((s + 1) / (warmup_steps + 1)) ** -power_exponent, or
        `piecewise`: linear from the peak at the end of warm-up through `knots`.
    total_steps: updates in the run, at least 1.
    warmup_steps: updates below the peak; update `warmup_steps` is the first at the peak.
    decay_steps: length of the final decay of `wsd` and `power`; 0 for a trunk and for every other shape.
    decay_shape: the shape of that decay; used by `wsd` and `power` only. `step` is at the final fraction throughout the
        decay: a two-stage schedule.
    final_fraction: the multiplier at the end of a decay; for `power`, relative to the start of the decay. Above 0 for
        an exponential decay. Not used without a decay.
    power_exponent: used by `power` only; not negative.
    knots: used by `piecewise` only; (share of the updates after warm-up, multiplier). Shares ascend from above 0 to
        exactly 1; multipliers are from 0 to 1, and above 0 except the last.
    """

    shape: ScheduleShape
    total_steps: int
    warmup_steps: int
    decay_steps: int
    decay_shape: DecayShape
    final_fraction: float
    power_exponent: float
    knots: Knots = field(default=(), metadata={"neutral": ()})

    def __post_init__(self) -> None:
        object.__setattr__(self, "knots", tuple((float(share), float(value)) for share, value in self.knots))
        if self.shape not in get_args(ScheduleShape):
            raise InputError(f"schedule shape {self.shape!r} is unknown: choose from {_names(ScheduleShape)}")
        if self.decay_shape not in get_args(DecayShape):
            raise InputError(f"decay shape {self.decay_shape!r} is unknown: choose from {_names(DecayShape)}")
        for name, minimum in (("total_steps", 1), ("warmup_steps", 0), ("decay_steps", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < minimum:
                raise InputError(f"schedule {name} is {value!r}: give an integer of at least {minimum}")
        if not 0.0 <= self.final_fraction <= 1.0:
            raise InputError(f"schedule final_fraction is {self.final_fraction}: give a fraction from 0 to 1")
        if not 0.0 <= self.power_exponent < float("inf"):
            raise InputError(f"schedule power_exponent is {self.power_exponent}: give a finite number of at least 0")
        if self.shape not in ("wsd", "power") and self.decay_steps:
            raise InputError(
                f"a {self.shape} schedule takes no decay_steps, got {self.decay_steps}: set 0, or use shape wsd"
            )
        if self.warmup_steps + self.decay_steps > self.total_steps:
            raise InputError(
                f"warm-up of {self.warmup_steps} and decay of {self.decay_steps} steps exceed the {self.total_steps} "
                "steps of the schedule: shorten one or train longer"
            )
        if self.shape in FULL_SHAPES and self.warmup_steps == self.total_steps:
            raise InputError(
                f"warm-up takes all {self.total_steps} steps and leaves a {self.shape} schedule no steps to decay: "
                "shorten it or train longer"
            )
        if self.decay_steps and self.decay_shape == "exponential" and self.final_fraction == 0.0:
            raise InputError("an exponential decay never reaches 0: give a final_fraction above 0, or use 1-sqrt")
        if self.decay_steps > 1 and self.decay_shape == "step" and self.final_fraction == 0.0:
            raise InputError("after a step to rate 0 nothing is trained: give a final_fraction above 0, or use 1-sqrt")
        self._check_knots()

    def _check_knots(self) -> None:
        if (self.shape == "piecewise") != bool(self.knots):
            raise InputError(
                f"schedule knots are {list(self.knots)}: a piecewise schedule needs knots, no other shape has them; "
                "write them as share:multiplier, for example 0.5:0.8 1:0"
            )
        last_share = 0.0
        for share, value in self.knots:
            if not last_share < share <= 1.0:
                raise InputError(
                    f"schedule knot {share:g}:{value:g}: shares of the updates after warm-up must ascend from above 0 "
                    "to 1; sort the knots"
                )
            if not (0.0 < value <= 1.0 or (value == 0.0 and share == 1.0)):
                raise InputError(
                    f"schedule knot {share:g}:{value:g}: the multiplier must be from above 0 to 1, and may be 0 at the "
                    "end only"
                )
            last_share = share
        if self.knots and last_share != 1.0:
            raise InputError(f"schedule knots end at {last_share:g}: the last share must be 1, the end of the run")

    @property
    def decay_start(self) -> int:
        """First step of the decay, still at the rate of the plateau; `total_steps` without a decay."""
        if self.shape in FULL_SHAPES:
            return self.warmup_steps
        return self.total_steps - self.decay_steps


def multiplier(schedule: Schedule, steps: NDArray[np.integer[Any]] | int) -> NDArray[np.float64]:
    """Factor on the peak rate at each step: float64 of the shape of `steps`, within [0, 1].

    The value of an element does not depend on other elements of the array. Raises ValueError unless steps are integers
    from 0 to `total_steps`, both included.
    """
    array = np.asarray(steps)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"steps must be integers, got {array.dtype}")
    if array.size and not (array.min() >= 0 and array.max() <= schedule.total_steps):
        raise ValueError(f"steps {array.min()}..{array.max()} are outside the schedule's 0..{schedule.total_steps}")
    # One contiguous axis, so that NumPy uses the same code path for a scalar, a slice and a whole run.
    step_S = np.array(array, dtype=np.int64).reshape(-1)
    warmup, start = schedule.warmup_steps, schedule.decay_start

    plateau_S = np.ones(step_S.shape)
    if schedule.shape == "power":
        elapsed_S = (np.clip(step_S, warmup, start) + 1) / (warmup + 1)
        plateau_S = elapsed_S**-schedule.power_exponent
    result_S = np.where(step_S < warmup, (step_S + 1) / (warmup + 1), plateau_S)

    duration = schedule.total_steps - start
    if duration:
        progress_S = np.maximum(step_S - start, 0) / duration
        if schedule.shape == "piecewise":
            share_J, value_J = np.array([(0.0, 1.0), *schedule.knots]).T
            decay_S = np.interp(progress_S, share_J, value_J)
        else:
            shape = _FULL_DECAY.get(schedule.shape, schedule.decay_shape)
            decay_S = _decay(shape, progress_S, schedule.final_fraction)
        # The first decay step has the bits of the plateau, whatever the decay rounds to at zero progress.
        result_S = np.where(step_S <= start, result_S, plateau_S * decay_S)
    return result_S.reshape(array.shape)


def shares_rates(first: Schedule, second: Schedule, steps: int) -> bool:
    """Whether updates 0..steps-1 have bitwise equal multipliers, so that `second` may branch from `first` at `steps`.

    Raises ValueError if `steps` is negative or either schedule is shorter.
    """
    if steps < 0:
        raise ValueError(f"steps must not be negative, got {steps}")
    step_S = np.arange(steps)
    return multiplier(first, step_S).tobytes() == multiplier(second, step_S).tobytes()


def _decay(shape: DecayShape, progress_S: NDArray[np.float64], final_fraction: float) -> NDArray[np.float64]:
    """Decay from 1 at progress 0 to exactly `final_fraction` at progress 1.

    1-sqrt, linear and cosine: Hägele et al. 2024, arXiv 2405.18392. exponential: Hu et al. 2024 (MiniCPM), arXiv
    2404.06395, with the half-life that arrives at the final fraction.
    """
    if shape == "step":
        return np.full(progress_S.shape, final_fraction)
    if shape == "exponential":
        decay_S = final_fraction**progress_S
    else:
        if shape == "1-sqrt":
            remaining_S = 1.0 - np.sqrt(progress_S)
        elif shape == "linear":
            remaining_S = 1.0 - progress_S
        elif shape == "cosine":
            remaining_S = 0.5 * (1.0 + np.cos(np.pi * progress_S))
        else:
            raise ValueError(f"decay shape {shape!r} has no formula: add it here")
        decay_S = final_fraction + (1.0 - final_fraction) * remaining_S
    return np.where(progress_S == 1.0, final_fraction, decay_S)


def _names(literal: Any) -> str:
    return ", ".join(get_args(literal))
