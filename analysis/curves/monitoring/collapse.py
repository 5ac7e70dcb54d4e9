"""Whether a run in training is on the collapsed curve of its family: the alarm of a run that is not tuned as it is.

l(x) = (L(xT) - L0) / (L(T) - L0), x the share of the run: the curves of a family fall on one, over sizes, horizons and
seeds, when all of it scales as it should. Here the logarithm of l is compared, in equal stretches of x after every
warm-up, each the mean of the points in it. L(T) is the expected final loss by the law and the own curve
(`LawOfRun.final_loss`), of a run at share x of its way by what was logged until then.

The band is what that looks like for the family's own members. Each in turn is taken to be where the run is now, its
L(T) expected from there, and compared with the mean of the others' whole curves: the root mean square of these
deviations, in each stretch (somewhat evened out between stretches, since a few curves tell a band badly), is one band.
Runs of one seed read the same data in one order and share most of their noise: "the others" are those of other seeds.
The statistic is the largest deviation of the run over the stretches, in bands. How large that is by chance alone, as
the largest of many stretches, is what each member shows against the centre and the band of the others. The logarithms
of these largest deviations are taken as normal, and the limit is what one more of them would exceed in `ALARM` of the
cases, with as little known of their spread as there are members. One look is meant: who looks often sees more alarms.

Legend: U members of the family, K stretches, F floors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.monitoring.forecast import LawOfRun
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.laws.law import Array

ALARM = 0.05
STRETCHES = 32
LEAST_STRETCHES = 3
LEAST_FAMILY, FEW, FEW_SEEDS = 3, 8, 4
EVENED = 4.0  # the mean square over all stretches weighs as much as so many members in each
LEAST_SPREAD = 0.1  # of the logarithms of largest deviations: a few that happen to agree do not tell less
# A floor closer than this share to the lowest loss leaves only noise of the excess over it.
HIGHEST_FLOOR = 0.98
# The law's floor: an endless run at the peak, and then as endless a one at hardly any rate.
ENDLESS, HARDLY = 1e15, 1e-6

FloorSource = Literal["law", "family"]


@dataclass(frozen=True)
class Member:
    """A run with its points after the warm-up, and the law along its schedule."""

    name: str
    law: LawOfRun
    time_P: Array
    loss_P: Array
    seed: int

    def until(self, share: float) -> "Member":
        """As it was at that share of its way."""
        seen_P = self.time_P <= share * self.law.whole.rates.num_updates
        return Member(self.name, self.law, self.time_P[seen_P], self.loss_P[seen_P], self.seed)

    @property
    def share(self) -> float:
        return float(self.time_P[-1]) / self.law.final_time if len(self.time_P) else 0.0

    @property
    def warmup_share(self) -> float:
        return self.law.whole.rates.warmup / self.law.whole.rates.num_updates

    def losses(self, edge_K: Array) -> Array:
        """The loss at the middle of each stretch, by the points in it: (K,), NaN where there are none."""
        total = self.law.whole.rates.num_updates
        residual_P = np.log(self.loss_P) - self.law.log_law(self.time_P)
        place_P = np.searchsorted(edge_K, self.time_P / total, side="right") - 1
        inside_P = (place_P >= 0) & (place_P < len(edge_K) - 1)
        count_K = np.bincount(place_P[inside_P], minlength=len(edge_K) - 1)
        sum_K = np.bincount(place_P[inside_P], residual_P[inside_P], minlength=len(edge_K) - 1)
        middle_K = total * (edge_K[:-1] + edge_K[1:]) / 2
        with np.errstate(all="ignore"):
            return np.exp(self.law.log_law(middle_K) + sum_K / count_K)


@dataclass(frozen=True)
class Collapse:
    """`off` is None where nothing can be said, and `reason` says why. Deviations are in bands."""

    off: bool | None
    reason: str
    deviation: float | None  # the largest
    limit: float | None
    above: bool | None  # whether l is above the family's where it deviates most: further from its final loss than they
    since_step: int | None  # where the deviation is beyond the limit for the first time
    family: int
    seeds: int  # of the family
    floor: FloorSource | None

    @property
    def few(self) -> bool:
        return self.family < FEW or self.seeds < FEW_SEEDS

    def words(self) -> str:
        """The answer in one line."""
        if self.deviation is None or self.limit is None:
            return f"no answer: {self.reason}"
        told = f"{self.deviation:.1f} bands"
        text = f"on the family's curve: at most {told} from it"
        if self.off:
            side = "above" if self.above else "below"
            text = f"OFF the family's curve by {told}, l {side} theirs, from step {self.since_step:,} on"
        plural = "seed" if self.seeds == 1 else "seeds"
        few = ": few, the band is hardly known" if self.few else ""
        text += f"; by chance {self.limit:.1f} ({self.family} curves of {self.seeds} {plural}{few}; floor "
        return text + ("of the law)" if self.floor == "law" else "estimated from the family)")


def check_collapse(run: Member, family: Sequence[Member], fit: FittedCurves) -> Collapse:
    """The run against finished runs of its schedule's shape (`family.family_of`)."""
    seed_U = np.array([each.seed for each in family])
    seeds = len(set(seed_U.tolist()))
    if len(family) < LEAST_FAMILY:
        return _none(f"{len(family)} curves of its family, and {LEAST_FAMILY} or more tell a band", len(family), seeds)
    if seeds == 1 and run.seed != seed_U[0]:
        return _none("its family is all of one seed, which tells nothing of the noise of another", len(family), seeds)
    first = max(each.warmup_share for each in (run, *family))
    edge_K = np.linspace(first, 1.0, STRETCHES + 1)
    passed = int(np.searchsorted(edge_K, run.share + 1e-9, side="right")) - 1
    if run.share >= 1 - 1e-9:
        passed = STRETCHES
    if passed < LEAST_STRETCHES:
        return _none(f"too early: it is at {run.share:.0%}, and warm-ups last until {first:.0%}", len(family), seeds)
    now, edge_K = edge_K[passed], edge_K[: passed + 1]
    run, then = run.until(now), [each.until(now) for each in family]
    loss_UK = np.array([each.losses(edge_K) for each in (run, *family)])
    final_U = [each.law.final_loss(each.time_P, each.loss_P) for each in (run, *family, *then)]
    told_K = np.isfinite(loss_UK).all(axis=0)
    if told_K.sum() < LEAST_STRETCHES or any(each is None for each in final_U):
        return _none("too few points, of it or of a curve of its family", len(family), seeds)
    loss_UK, final = loss_UK[:, told_K], np.array(final_U, dtype=np.float64)
    floor_U, source = _floors([run, *family], loss_UK, final, fit)
    own_K, whole_UK, then_UK = _collapsed(loss_UK, final, floor_U, len(family))
    deviation_K = (own_K - whole_UK.mean(axis=0)) / _band(_deviations(whole_UK, then_UK, seed_U))
    limit = _limit(whole_UK, then_UK, seed_U)
    worst = int(np.argmax(np.abs(deviation_K)))
    largest = float(np.abs(deviation_K[worst]))
    beyond = np.flatnonzero(np.abs(deviation_K) > limit)
    total = run.law.whole.rates.num_updates
    since = int(edge_K[:-1][told_K][beyond[0]] * total) if len(beyond) else None
    above = bool(deviation_K[worst] > 0)
    return Collapse(largest > limit, "", largest, limit, above, since, len(family), seeds, source)


def law_floor(fit: FittedCurves, size: float | None, peak: float, batch: float | None) -> float:
    """The loss of an endless run of that size whose rate has dropped to hardly anything, and stayed there."""
    step_J = np.array([0.0, ENDLESS, ENDLESS + 1, 2 * ENDLESS])
    rates = Rates(step_J, peak * np.array([1.0, 1.0, HARDLY, HARDLY]), 0)
    endless = Curve("an endless run", rates, np.array([2 * ENDLESS]), np.array([np.nan]), size, batch)
    with np.errstate(all="ignore"):
        found = float(fit.predict(endless)[0])
    return max(0.0, found) if math.isfinite(found) else math.inf


def _none(reason: str, family: int, seeds: int) -> Collapse:
    return Collapse(None, reason, None, None, None, None, family, seeds, None)


def _floors(members: Sequence[Member], loss_UK: Array, final: Array, fit: FittedCurves) -> tuple[Array, FloorSource]:
    """Of the run and of each of the family: the law's at its size, or one that makes the family collapse best."""
    lowest_U = loss_UK.min(axis=1)
    lowest_U = np.minimum(lowest_U, final[: len(members)])
    lowest_U[1:] = np.minimum(lowest_U[1:], final[len(members) :])
    wholes = [each.law.whole for each in members]
    floor_U = np.array([law_floor(fit, whole.size, whole.rates.peak, whole.batch) for whole in wholes])
    if np.all(floor_U < HIGHEST_FLOOR * lowest_U):
        return floor_U, "law"
    floor_F = np.linspace(0.0, HIGHEST_FLOOR * float(lowest_U.min()), 64)
    spread_F = []
    for floor in floor_F:
        log_UK = np.log(loss_UK[1:] - floor) - np.log(final[1 : len(members)] - floor)[:, None]
        # Next to its own height: a floor far below makes every curve flat, and so all of them alike.
        spread_F.append(float(log_UK.var(axis=0).mean() / np.mean(log_UK.mean(axis=0) ** 2)))
    return np.full(len(members), floor_F[int(np.argmin(spread_F))]), "family"


def _collapsed(loss_UK: Array, final: Array, floor_U: Array, members: int) -> tuple[Array, Array, Array]:
    """Logarithms of l: of the run (K,), of the family's whole curves, and of them as they were then; (U, K) each."""
    excess_UK = np.log(loss_UK - floor_U[:, None])
    own_K = excess_UK[0] - math.log(final[0] - floor_U[0])
    whole_UK = excess_UK[1:] - np.log(final[1 : members + 1] - floor_U[1:])[:, None]
    then_UK = excess_UK[1:] - np.log(final[members + 1 :] - floor_U[1:])[:, None]
    return own_K, whole_UK, then_UK


def _others(seed_U: NDArray[np.intp], held: int) -> NDArray[np.bool_]:
    """Members of other seeds; where there is only one, all but the one."""
    other_U = np.asarray(seed_U != seed_U[held])
    return other_U if other_U.any() else np.arange(len(seed_U)) != held


def _deviations(whole_UK: Array, then_UK: Array, seed_U: NDArray[np.intp]) -> Array:
    """Each member as it was then, from the mean of the others' whole curves: (U, K)."""
    centre_UK = [whole_UK[_others(seed_U, held)].mean(axis=0) for held in range(len(seed_U))]
    return np.asarray(then_UK - np.array(centre_UK))


def _band(deviation_UK: Array) -> Array:
    square_K = np.mean(deviation_UK**2, axis=0)
    members = len(deviation_UK)
    return np.asarray(np.sqrt((members * square_K + EVENED * square_K.mean()) / (members + EVENED)) + 1e-12)


def _limit(whole_UK: Array, then_UK: Array, seed_U: NDArray[np.intp]) -> float:
    """What the largest deviation of one more member exceeds in `ALARM` of the cases."""
    members, largest_U = len(seed_U), []
    for held in range(members):
        kept_U = _others(seed_U, held)
        if kept_U.sum() < 2:  # one is no band
            kept_U = np.arange(members) != held
        band_K = _band(_deviations(whole_UK[kept_U], then_UK[kept_U], seed_U[kept_U]))
        deviation_K = (then_UK[held] - whole_UK[kept_U].mean(axis=0)) / band_K
        largest_U.append(max(float(np.abs(deviation_K).max()), 1e-6))
    log_U, groups = np.log(largest_U), len(set(seed_U.tolist()))
    groups = members if groups == 1 else groups
    spread = max(float(log_U.std(ddof=1)), LEAST_SPREAD)
    return math.exp(log_U.mean() + float(stdtrit(members - 1, 1 - ALARM)) * spread * math.sqrt(1 + 1 / groups))
