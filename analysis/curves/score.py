"""Sealed predictions of curves against the curves that were trained: each law's errors, beside the noise between seeds
and beside a baseline.

Legend: P points, S seeds of a target, T tested runs, G groups of them, Z sizes, R bootstrap replicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws import is_baseline
from windtunnel.analysis.curves.seal import PredictedCurve, SealedCurves
from windtunnel.analysis.curves.seed_means import align_seeds, mean_over_seeds
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.prediction.score import RunScore
from windtunnel.train.errors import InputError

INTERVAL_LEVEL = 0.90
NUM_RESAMPLES = 10_000  # of schedules, for the interval of a difference
NUM_SEED_DRAWS = 400  # for the expected worst error of means over seeds


@dataclass(frozen=True)
class ScoredCurve(RunScore):
    """The score of a run's last loss, and the errors of its whole curve as shares of the measured loss."""

    target: str
    points: int
    mean_abs_relative_error: float
    worst: float

    @property
    def final(self) -> float:
        """predicted / measured - 1 at the last point."""
        return self.error

    def to_dict(self) -> dict[str, Any]:
        names = ("run", "target", "points", "mean_abs_relative_error", "worst", "final", "inside_90")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Against:
    """The difference of mean relative errors, a law's less the baseline's, with a bootstrap interval over schedules:
    runs under one schedule share what a law gets wrong of it. None where there is one schedule: it says nothing of
    others.
    """

    baseline: str
    difference: float
    interval_90: tuple[float, float] | None


@dataclass(frozen=True)
class SeedMeans:
    """Errors of measured curves that are means over seeds: a law says what a run comes to, and is of no seed."""

    curves: int
    mean_abs_relative_error: float
    worst: float


@dataclass(frozen=True)
class LawOutcome:
    """`seed_means` is None where no target has two runs. `final_in_noise` is the root mean square of the final errors,
    means over seeds, in standard deviations between seeds; None where no run has a twin.
    """

    asked: str
    law: str
    sealed: str
    curves: tuple[ScoredCurve, ...]
    mean_abs_relative_error: float
    worst: float
    mean_worst: float
    seed_means: SeedMeans | None
    final: float
    final_in_noise: float | None
    coverage_90: float | None
    against: tuple[Against, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "curves": [curve.to_dict() for curve in self.curves]}


def score_run(predicted: PredictedCurve, curve: LossCurve, run: str) -> ScoredCurve:
    """Where the curve was logged at other steps than were predicted, between them linearly in the logarithm. Raises
    InputError where it ends before.
    """
    step_P, log_loss_P = np.array(predicted.step), np.log(predicted.loss)
    used_P = (curve.time_P >= step_P[0]) & (curve.time_P <= step_P[-1])
    if not used_P.any() or curve.time_P[-1] < step_P[-1]:
        raise InputError(
            f"{run}: its curve ends at step {curve.time_P[-1]:g}, before {step_P[-1]:g}, the last predicted"
        )
    predicted_P = np.exp(np.interp(curve.time_P[used_P], step_P, log_loss_P))
    loss_P = curve.loss_P[used_P]
    error_P = np.abs(predicted_P / loss_P - 1)
    last = RunScore.from_losses(run, float(predicted_P[-1]), float(loss_P[-1]), predicted.interval_90)
    return ScoredCurve(
        **vars(last),
        target=predicted.target,
        points=int(used_P.sum()),
        mean_abs_relative_error=float(error_P.mean()),
        worst=float(error_P.max()),
    )


def outcomes(
    sealed: Sequence[SealedCurves], curves: Mapping[str, LossCurve], noise: float | None
) -> tuple[LawOutcome, ...]:
    """Of every law, in their order. `curves` are the trained ones by run, `noise` the standard deviation of the log of
    the final loss between seeds. Raises InputError where a run is missing or short.
    """
    scored: dict[str, tuple[ScoredCurve, ...]] = {}
    for each in sealed:
        found = []
        for target in each.targets:
            for run in target.runs:
                if run not in curves:
                    raise InputError(f"{run}: a target of {each.sealed[:16]} that has no curve; train it")
                found.append(score_run(target, curves[run], run))
        scored[each.asked] = tuple(found)
    return tuple(_outcome(each, scored, _seed_means(each, curves), noise) for each in sealed)


def _seed_means(sealed: SealedCurves, curves: Mapping[str, LossCurve]) -> SeedMeans | None:
    found = []
    for target in sealed.targets:
        twins = [curves[run] for run in target.runs]
        if len(twins) > 1:
            found.append(score_run(target, mean_over_seeds(twins), target.target))
    if not found:
        return None
    mean = float(np.mean([each.mean_abs_relative_error for each in found]))
    return SeedMeans(len(found), mean, max(each.worst for each in found))


def _outcome(
    sealed: SealedCurves,
    scored: Mapping[str, tuple[ScoredCurve, ...]],
    seed_means: SeedMeans | None,
    noise: float | None,
) -> LawOutcome:
    found = scored[sealed.asked]
    error_T = np.array([each.mean_abs_relative_error for each in found])
    inside = [each.inside_90 for each in found if each.inside_90 is not None]
    # By the target's place: its name is for people, and two that differ in what it leaves out may share one.
    place = {run: number for number, target in enumerate(sealed.targets) for run in target.runs}
    by_target: dict[int, list[float]] = {}
    for each in found:
        by_target.setdefault(place[each.run], []).append(each.final)
    final = [float(np.mean(values)) for values in by_target.values()]
    root_mean_square = float(np.sqrt(np.mean(np.square(final))))
    schedules = {run: schedule_of(target) for target in sealed.targets for run in target.runs}
    group_T = np.array([schedules[each.run] for each in found])
    against = tuple(
        _against(name, error_T, np.array([each.mean_abs_relative_error for each in scored[name]]), group_T)
        for name in scored
        if is_baseline(name) and name != sealed.asked
    )
    return LawOutcome(
        asked=sealed.asked,
        law=sealed.law,
        sealed=sealed.sealed,
        curves=found,
        mean_abs_relative_error=float(error_T.mean()),
        worst=max(each.worst for each in found),
        mean_worst=float(np.mean([each.worst for each in found])),
        seed_means=seed_means,
        final=root_mean_square,
        final_in_noise=root_mean_square / noise if noise else None,
        coverage_90=float(np.mean(inside)) if inside else None,
        against=against,
    )


def schedule_of(target: PredictedCurve) -> str:
    """Equal for targets that differ by their size alone, on which the warm-up depends."""
    share = {key: value for key, value in target.schedule.items() if key not in ("warmup_steps", "total_steps")}
    return f"{target.schedule['total_steps']} {sorted(share.items())}"


def _against(baseline: str, error_T: Array, baseline_T: Array, group_T: Any) -> Against:
    difference = float(np.mean(error_T - baseline_T))
    groups, place_T = np.unique(group_T, return_inverse=True)
    if len(groups) < 2:
        return Against(baseline, difference, None)
    count_G = np.bincount(place_T).astype(np.float64)
    sum_G = np.bincount(place_T, weights=error_T - baseline_T)
    drawn_RG = np.random.default_rng(0).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), NUM_RESAMPLES)
    drawn_R = (drawn_RG @ sum_G) / (drawn_RG @ count_G)
    low, high = np.quantile(drawn_R, [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2])
    return Against(baseline, difference, (float(low), float(high)))


def noise_between_seeds(finals: Mapping[str, Sequence[float]]) -> float | None:
    """The standard deviation of the log of the final loss between seeds, pooled over cells; None where none has two."""
    squares, freedom = 0.0, 0
    for losses in finals.values():
        logs = np.log(np.asarray(losses, dtype=np.float64))
        squares += float(np.sum((logs - logs.mean()) ** 2))
        freedom += len(logs) - 1
    return float(np.sqrt(squares / freedom)) if freedom else None


@dataclass(frozen=True)
class NoiseAlone:
    """Shares of the loss, as a law's scores are: of runs, and expected of means over seeds."""

    mean_abs_relative_error: float
    worst: float
    seed_means_mean_abs_relative_error: float
    seed_means_worst: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def noise_alone(targets: Sequence[PredictedCurve], curves: Mapping[str, LossCurve]) -> NoiseAlone | None:
    """Expected scores of a perfect law given seed noise: a lower bound of every law's. None without seed replicates.

    The distance of each replicate from the mean of its target's runs, times sqrt(S / (S - 1)), is as large as its
    distance from a perfect law; over sqrt(S), as the distance of their mean. The worst point of means is an expectation
    over the seed of each size that all schedules share: runs of one seed share most of their training.
    """
    twinned = [target for target in targets if len(target.runs) > 1]
    if not twinned:
        return None
    sizes = sorted({target.size for target in twinned})
    most = max(len(target.runs) for target in twinned)
    seed_RZ = np.random.default_rng(0).integers(most, size=(NUM_SEED_DRAWS, len(sizes)))
    errors, worst, mean_errors, mean_worst = [], [], [], []
    for target in twinned:
        sparse, log_SP = align_seeds([curves[run] for run in target.runs])
        log_SP = log_SP[:, (sparse.time_P >= target.step[0]) & (sparse.time_P <= target.step[-1])]
        seeds = len(log_SP)
        apart_SP = np.abs(log_SP - log_SP.mean(axis=0)) * np.sqrt(seeds / (seeds - 1))
        of_mean_SP = apart_SP / np.sqrt(seeds)
        errors += apart_SP.mean(axis=1).tolist()
        worst.append(apart_SP.max())
        mean_errors.append(of_mean_SP.mean())
        mean_worst.append(of_mean_SP.max(axis=1)[seed_RZ[:, sizes.index(target.size)] % seeds])
    expected_worst = float(np.mean(np.max(mean_worst, axis=0)))
    return NoiseAlone(float(np.mean(errors)), float(np.max(worst)), float(np.mean(mean_errors)), expected_worst)
