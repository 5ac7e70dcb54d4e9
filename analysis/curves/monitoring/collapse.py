"""Whether a run in training follows the collapsed curve of its family; a deviation is a sign of a mistuned run.

The normalized curve is l(x) = (L(xT) - L0) / (L(T) - L0), x the fraction of the run. The normalized curves of a family
collapse onto one, over sizes, horizons and seeds, when all its hyperparameters scale as they should. Here log l is
compared in bins of equal length in x after every warm-up, each with the mean of its points. L(T) is the forecast of the
final loss from the law and the run's own curve (`RunForecaster.final_loss`), for a run at fraction x from what was
logged until then. L0 is the irreducible loss.

The band is the deviation of the family's own members. Each in turn is cut off where the run is now, its L(T) is
forecast from there, and it is compared with the mean of the whole curves of the others. The root mean square of these
deviations in each bin, smoothed over the bins because a few curves determine a band poorly, is one band. Runs with one
seed read the same data in one order and share most of their noise, so "the others" are the members with other seeds.

The statistic is the largest deviation of the run over the bins, in bands. Its distribution by chance, as the largest of
many bins, is estimated from each member against the mean and the band of the others: the logarithms of these largest
deviations are taken as normal, and the limit is the value that one more of them exceeds with probability
`FALSE_ALARM_RATE`, given that their mean and spread are estimated from few members. This is for one check; repeated
checks raise more false alarms.

Legend: U members of the family, P points, K bins, F candidates of the irreducible loss.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.monitoring.forecast import RunForecaster
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.laws.law import Array

FALSE_ALARM_RATE = 0.05
NUM_BINS, MIN_BINS = 32, 3
MIN_FAMILY = 3
SMALL_FAMILY, FEW_SEEDS = 8, 4  # with fewer curves or seeds the band is poorly known
PRIOR_MEMBERS = 4.0  # the mean square over all bins weighs as much as this many members in each bin
MIN_LOG_SPREAD = 0.1  # of the largest deviations: a few members may agree by chance
MIN_BAND, MIN_DEVIATION = 1e-12, 1e-6  # of noiseless curves
# An irreducible loss above this fraction of the lowest loss leaves only noise above it.
MAX_IRREDUCIBLE_FRACTION, NUM_CANDIDATES = 0.98, 64
# The irreducible loss of a law is that of a run of this many updates at the peak rate and as many at this fraction.
INFINITE_UPDATES, NEGLIGIBLE_RATE = 1e15, 1e-6
ROUNDING = 1e-9  # of the fraction of a run

IrreducibleSource = Literal["law", "family"]


@dataclass(frozen=True)
class FamilyMember:
    """A run with its points after the warm-up, and the law along its schedule."""

    name: str
    forecaster: RunForecaster
    time_P: Array
    loss_P: Array
    seed: int

    def until(self, share: float) -> "FamilyMember":
        """The run as it was at this fraction of its length."""
        seen_P = self.time_P <= share * self.query.rates.num_updates
        return FamilyMember(self.name, self.forecaster, self.time_P[seen_P], self.loss_P[seen_P], self.seed)

    @property
    def query(self) -> LossCurve:
        return self.forecaster.query

    @property
    def share(self) -> float:
        """The fraction of the run that is done."""
        return float(self.time_P[-1]) / self.forecaster.final_time if len(self.time_P) else 0.0

    @property
    def warmup_share(self) -> float:
        return self.query.rates.warmup / self.query.rates.num_updates

    def binned_losses(self, edge_K: Array) -> Array:
        """The loss at the middle of each bin, the law's corrected by the mean residual of the points in the bin: (K,),
        NaN where there are none.
        """
        total, num_bins = self.query.rates.num_updates, len(edge_K) - 1
        residual_P = np.log(self.loss_P) - self.forecaster.log_law(self.time_P)
        bin_P = np.searchsorted(edge_K, self.time_P / total, side="right") - 1
        inside_P = (bin_P >= 0) & (bin_P < num_bins)
        count_K = np.bincount(bin_P[inside_P], minlength=num_bins)
        sum_K = np.bincount(bin_P[inside_P], residual_P[inside_P], minlength=num_bins)
        middle_K = total * (edge_K[:-1] + edge_K[1:]) / 2
        with np.errstate(all="ignore"):
            return np.exp(self.forecaster.log_law(middle_K) + sum_K / count_K)


@dataclass(frozen=True)
class CollapseCheck:
    """The result of a comparison of a run with its family.

    off: whether the run deviates from its family; None where this cannot be decided, for the `reason`.
    deviation: the largest deviation, in bands. limit: the largest one expected by chance.
    above: whether log l is above that of the family where it deviates most.
    since_step: the first step at which the deviation is beyond the limit.
    family: number of members. seeds: number of their seeds.
    irreducible_source: whether the irreducible loss is that of the law or was estimated from the family ("floor" in
        JSON).
    """

    off: bool | None
    reason: str
    deviation: float | None
    limit: float | None
    above: bool | None
    since_step: int | None
    family: int
    seeds: int
    irreducible_source: IrreducibleSource | None

    @property
    def few(self) -> bool:
        """Whether the family is so small that the band is poorly known."""
        return self.family < SMALL_FAMILY or self.seeds < FEW_SEEDS

    def to_dict(self) -> dict[str, Any]:
        content = asdict(self)
        source = content.pop("irreducible_source")
        return {**content, "floor": source, "few": self.few}

    def summary(self) -> str:
        """The result in one line."""
        if self.deviation is None or self.limit is None:
            return f"no answer: {self.reason}"
        if self.off:
            side = "above" if self.above else "below"
            text = f"OFF the family's curve by {self.deviation:.1f} bands ({side} it), from step {self.since_step:,} on"
        else:
            text = f"on the family's curve, within {self.deviation:.1f} bands"
        seeds = f"{self.seeds} seed{'s' * (self.seeds != 1)}"
        few = ", few: the band is poorly known" if self.few else ""
        source = "from the law" if self.irreducible_source == "law" else "estimated from the family"
        return f"{text}; limit {self.limit:.1f} bands ({self.family} curves of {seeds}{few}; irreducible loss {source})"


def check_collapse(run: FamilyMember, family: Sequence[FamilyMember], fit: FittedCurveLaw) -> CollapseCheck:
    """Compares a run with finished runs whose schedules have the same shape (`RunFamily`)."""
    seed_U = np.array([member.seed for member in family])
    seeds = len(set(seed_U.tolist()))

    def undecided(reason: str) -> CollapseCheck:
        return CollapseCheck(None, reason, None, None, None, None, len(family), seeds, None)

    if len(family) < MIN_FAMILY:
        return undecided(f"{len(family)} curves in the family; a band needs {MIN_FAMILY} or more")
    if seeds == 1 and run.seed != seed_U[0]:
        return undecided("the family has one seed, which does not show the noise between seeds")
    first = max(member.warmup_share for member in (run, *family))
    edge_K = np.linspace(first, 1.0, NUM_BINS + 1)
    passed = int(np.searchsorted(edge_K, run.share + ROUNDING, side="right")) - 1
    if run.share >= 1 - ROUNDING:
        passed = NUM_BINS
    if passed < MIN_BINS:
        return undecided(f"too early: the run is at {run.share:.0%}, and warm-ups last until {first:.0%}")
    now, edge_K = edge_K[passed], edge_K[: passed + 1]
    run, family_now = run.until(now), [member.until(now) for member in family]
    loss_UK = np.array([member.binned_losses(edge_K) for member in (run, *family)])
    final = [member.forecaster.final_loss(member.time_P, member.loss_P) for member in (run, *family, *family_now)]
    complete_K = np.isfinite(loss_UK).all(axis=0)
    if complete_K.sum() < MIN_BINS or any(loss is None for loss in final):
        return undecided("too few points of the run or of a curve of its family")
    loss_UK = loss_UK[:, complete_K]
    final_run, final_U, final_now_U = np.split(np.array(final, dtype=np.float64), [1, 1 + len(family)])
    irreducible_U, source = _irreducible_losses([run, *family], loss_UK, final_run, final_U, final_now_U, fit)
    excess_UK = np.log(loss_UK - irreducible_U[:, None])
    own_K = excess_UK[0] - math.log(final_run[0] - irreducible_U[0])
    whole_UK = excess_UK[1:] - np.log(final_U - irreducible_U[1:])[:, None]
    now_UK = excess_UK[1:] - np.log(final_now_U - irreducible_U[1:])[:, None]
    deviation_K = (own_K - whole_UK.mean(axis=0)) / _band(_deviations(whole_UK, now_UK, seed_U))
    limit = _limit(whole_UK, now_UK, seed_U)
    worst = int(np.argmax(np.abs(deviation_K)))
    largest = float(np.abs(deviation_K[worst]))
    beyond = np.flatnonzero(np.abs(deviation_K) > limit)
    total = run.query.rates.num_updates
    return CollapseCheck(
        off=largest > limit,
        reason="",
        deviation=largest,
        limit=limit,
        above=bool(deviation_K[worst] > 0),
        since_step=int(edge_K[:-1][complete_K][beyond[0]] * total) if len(beyond) else None,
        family=len(family),
        seeds=seeds,
        irreducible_source=source,
    )


def irreducible_loss(fit: FittedCurveLaw, size: float | None, peak: float, batch: float | None) -> float:
    """The loss of an infinitely long run of this size whose rate has decayed to nearly nothing and stayed there."""
    step_J = np.array([0.0, INFINITE_UPDATES, INFINITE_UPDATES + 1, 2 * INFINITE_UPDATES])
    rates = LearningRates(step_J, peak * np.array([1.0, 1.0, NEGLIGIBLE_RATE, NEGLIGIBLE_RATE]), 0)
    query = LossCurve.query("an infinitely long run", rates, np.array([2 * INFINITE_UPDATES]), size, batch)
    with np.errstate(all="ignore"):
        loss = float(fit.predict_losses(query)[0])
    return max(0.0, loss) if math.isfinite(loss) else math.inf


def _irreducible_losses(
    members: Sequence[FamilyMember],
    loss_UK: Array,
    final_run: Array,
    final_U: Array,
    final_now_U: Array,
    fit: FittedCurveLaw,
) -> tuple[Array, IrreducibleSource]:
    """Of the run and of each member of the family: the law's, or the one for which the family collapses best."""
    lowest_U = np.minimum(loss_UK.min(axis=1), np.append(final_run, np.minimum(final_U, final_now_U)))
    queries = [member.query for member in members]
    law_U = np.array([irreducible_loss(fit, query.size, query.rates.peak, query.batch) for query in queries])
    if np.all(law_U < MAX_IRREDUCIBLE_FRACTION * lowest_U):
        return law_U, "law"
    candidate_F = np.linspace(0.0, MAX_IRREDUCIBLE_FRACTION * float(lowest_U.min()), NUM_CANDIDATES)
    spread_F = []
    for candidate in candidate_F:
        log_UK = np.log(loss_UK[1:] - candidate) - np.log(final_U - candidate)[:, None]
        # Relative to the height of the curves: a low candidate makes all curves flat, and so alike.
        spread_F.append(float(log_UK.var(axis=0).mean() / np.mean(log_UK.mean(axis=0) ** 2)))
    return np.full(len(members), candidate_F[int(np.argmin(spread_F))]), "family"


def _others(seed_U: NDArray[np.intp], index: int) -> NDArray[np.bool_]:
    """The members with other seeds than this one; all other members where there is only one seed."""
    other_U = np.asarray(seed_U != seed_U[index])
    return other_U if other_U.any() else np.arange(len(seed_U)) != index


def _deviations(whole_UK: Array, now_UK: Array, seed_U: NDArray[np.intp]) -> Array:
    """The deviation of each member, cut off now, from the mean of the whole curves of the others: (U, K)."""
    mean_UK = [whole_UK[_others(seed_U, index)].mean(axis=0) for index in range(len(seed_U))]
    return np.asarray(now_UK - np.array(mean_UK))


def _band(deviation_UK: Array) -> Array:
    square_K = np.mean(deviation_UK**2, axis=0)
    members = len(deviation_UK)
    smoothed_K = (members * square_K + PRIOR_MEMBERS * square_K.mean()) / (members + PRIOR_MEMBERS)
    return np.asarray(np.sqrt(smoothed_K) + MIN_BAND)


def _limit(whole_UK: Array, now_UK: Array, seed_U: NDArray[np.intp]) -> float:
    """The value that the largest deviation of one more member exceeds with probability `FALSE_ALARM_RATE`."""
    members, largest_U = len(seed_U), []
    for index in range(members):
        other_U = _others(seed_U, index)
        if other_U.sum() < 2:  # one curve has no band
            other_U = np.arange(members) != index
        band_K = _band(_deviations(whole_UK[other_U], now_UK[other_U], seed_U[other_U]))
        deviation_K = (now_UK[index] - whole_UK[other_U].mean(axis=0)) / band_K
        largest_U.append(max(float(np.abs(deviation_K).max()), MIN_DEVIATION))
    log_U, seeds = np.log(largest_U), len(set(seed_U.tolist()))
    groups = members if seeds == 1 else seeds
    spread = max(float(log_U.std(ddof=1)), MIN_LOG_SPREAD)
    quantile = float(stdtrit(members - 1, 1 - FALSE_ALARM_RATE))
    return math.exp(log_U.mean() + quantile * spread * math.sqrt(1 + 1 / groups))
