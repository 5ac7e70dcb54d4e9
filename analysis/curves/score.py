"""Scores of sealed predictions of curves: the errors of each law on the trained curves, compared with a baseline and
with the noise between seeds.

Legend: P points, S seeds of a target, T tested runs, G groups of them, Z sizes, R bootstrap replicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws import is_baseline
from windtunnel.analysis.curves.predict import INTERVAL_LEVEL
from windtunnel.analysis.curves.seal import PredictedCurve, SealedCurves
from windtunnel.analysis.curves.seed_means import align_seeds, mean_over_seeds
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.prediction.score import RunScore
from windtunnel.analysis.signed_json import to_document
from windtunnel.train.errors import InputError

NUM_RESAMPLES = 10_000  # of schedules, for the interval of a difference
NUM_SEED_DRAWS = 400  # for the expected worst error of means over seeds


@dataclass(frozen=True)
class ScoredCurve(RunScore):
    """The score of a run's last loss, and the errors of its whole curve as fractions of the measured loss."""

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
class BaselineComparison:
    """The difference of the mean relative errors of a law and a baseline, with a bootstrap interval over schedules:
    runs with one schedule share the error of the law for it. None where there is one schedule.
    """

    baseline: str
    difference: float
    interval_90: tuple[float, float] | None


@dataclass(frozen=True)
class SeedMeanErrors:
    """Errors on the means over seeds of measured curves, which have less noise than a run."""

    curves: int
    mean_abs_relative_error: float
    worst: float


@dataclass(frozen=True)
class LawScore:
    """The errors of a law on all targets.

    curves: of the runs. mean_worst: mean of their worst errors. seed_means: None where no target has two runs.
    final: root mean square of the errors of final losses, each a mean over seeds. final_in_noise: in standard
    deviations between seeds; None without seed replicates. coverage_90: the fraction of final losses inside their
    intervals.
    """

    requested: Annotated[str, Field(alias="asked")]
    law: str
    sealed: str
    curves: tuple[ScoredCurve, ...]
    mean_abs_relative_error: float
    worst: float
    mean_worst: float
    seed_means: SeedMeanErrors | None
    final: float
    final_in_noise: float | None
    coverage_90: float | None
    comparisons: Annotated[tuple[BaselineComparison, ...], Field(alias="against")]

    def to_dict(self) -> dict[str, Any]:
        return {**to_document(self), "curves": [curve.to_dict() for curve in self.curves]}


@dataclass(frozen=True)
class PerfectLawScore:
    """Expected errors of a perfect law given the noise between seeds: a lower bound for every law."""

    mean_abs_relative_error: float
    worst: float
    seed_means_mean_abs_relative_error: float
    seed_means_worst: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def score_run(predicted: PredictedCurve, curve: LossCurve, run: str) -> ScoredCurve:
    """The errors on the measured curve of a run, at the points within the predicted steps. Between predicted steps the
    log of the prediction is linear. Raises InputError where the curve ends before the last predicted step.
    """
    step_P, log_loss_P = np.array(predicted.step), np.log(predicted.loss)
    used_P = _within(curve.time_P, predicted)
    if not used_P.any() or curve.time_P[-1] < step_P[-1]:
        raise InputError(
            f"{run}: its curve ends at step {curve.time_P[-1]:g}, before the last predicted step, {step_P[-1]:g}; "
            "train it to its end"
        )
    predicted_P = np.exp(np.interp(curve.time_P[used_P], step_P, log_loss_P))
    loss_P = curve.loss_P[used_P]
    error_P = np.abs(predicted_P / loss_P - 1)
    final = RunScore.from_losses(run, float(predicted_P[-1]), float(loss_P[-1]), predicted.interval_90)
    return ScoredCurve(
        **vars(final),
        target=predicted.target,
        points=int(used_P.sum()),
        mean_abs_relative_error=float(error_P.mean()),
        worst=float(error_P.max()),
    )


def score_laws(
    sealed: Sequence[SealedCurves], curves: Mapping[str, LossCurve], seed_noise: float | None
) -> tuple[LawScore, ...]:
    """The scores of sealed laws, in their order. `curves` are the trained ones by run; `seed_noise` is the standard
    deviation of the log of the final loss between seeds. Raises InputError where a run is missing or too short.
    """
    scored: dict[str, tuple[ScoredCurve, ...]] = {}
    for law in sealed:
        scores = []
        for target in law.targets:
            for run in target.runs:
                if run not in curves:
                    raise InputError(f"{run}: a target of {law.sealed[:16]} without a curve; train it")
                scores.append(score_run(target, curves[run], run))
        scored[law.requested] = tuple(scores)
    return tuple(_score_law(law, scored, _seed_mean_errors(law, curves), seed_noise) for law in sealed)


def _seed_mean_errors(sealed: SealedCurves, curves: Mapping[str, LossCurve]) -> SeedMeanErrors | None:
    scores = [
        score_run(target, mean_over_seeds([curves[run] for run in target.runs]), target.target)
        for target in sealed.targets
        if len(target.runs) > 1
    ]
    if not scores:
        return None
    mean = float(np.mean([score.mean_abs_relative_error for score in scores]))
    return SeedMeanErrors(len(scores), mean, max(score.worst for score in scores))


def _score_law(
    sealed: SealedCurves,
    scored: Mapping[str, tuple[ScoredCurve, ...]],
    seed_means: SeedMeanErrors | None,
    seed_noise: float | None,
) -> LawScore:
    scores = scored[sealed.requested]
    error_T = _mean_errors(scores)
    inside = [score.inside_90 for score in scores if score.inside_90 is not None]
    # Final errors are averaged by the position of the target: names of targets are not unique.
    position = {run: index for index, target in enumerate(sealed.targets) for run in target.runs}
    final_errors: dict[int, list[float]] = {}
    for score in scores:
        final_errors.setdefault(position[score.run], []).append(score.final)
    final = float(np.sqrt(np.mean(np.square([float(np.mean(errors)) for errors in final_errors.values()]))))
    schedule_of_run = {run: schedule_key(target) for target in sealed.targets for run in target.runs}
    group_T = np.array([schedule_of_run[score.run] for score in scores])
    return LawScore(
        requested=sealed.requested,
        law=sealed.law,
        sealed=sealed.sealed,
        curves=scores,
        mean_abs_relative_error=float(error_T.mean()),
        worst=max(score.worst for score in scores),
        mean_worst=float(np.mean([score.worst for score in scores])),
        seed_means=seed_means,
        final=final,
        final_in_noise=final / seed_noise if seed_noise else None,
        coverage_90=float(np.mean(inside)) if inside else None,
        comparisons=tuple(
            _compare(name, error_T - _mean_errors(scored[name]), group_T)
            for name in scored
            if is_baseline(name) and name != sealed.requested
        ),
    )


def _mean_errors(scores: Sequence[ScoredCurve]) -> Array:
    return np.array([score.mean_abs_relative_error for score in scores])


def _compare(baseline: str, difference_T: Array, group_T: NDArray[np.str_]) -> BaselineComparison:
    difference = float(np.mean(difference_T))
    groups, group_index_T = np.unique(group_T, return_inverse=True)
    if len(groups) < 2:
        return BaselineComparison(baseline, difference, None)
    count_G = np.bincount(group_index_T).astype(np.float64)
    sum_G = np.bincount(group_index_T, weights=difference_T)
    share_G = np.full(len(groups), 1 / len(groups))
    count_RG = np.random.default_rng(0).multinomial(len(groups), share_G, NUM_RESAMPLES)
    difference_R = (count_RG @ sum_G) / (count_RG @ count_G)
    low, high = np.quantile(difference_R, [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2])
    return BaselineComparison(baseline, difference, (float(low), float(high)))


def schedule_key(target: PredictedCurve) -> str:
    """Equal for targets that differ in their size alone, and so in the length of their warm-up."""
    settings = {key: value for key, value in target.schedule.items() if key not in ("warmup_steps", "total_steps")}
    return f"{target.schedule['total_steps']} {sorted(settings.items())}"


def pooled_seed_noise(final_losses: Mapping[str, Sequence[float]]) -> float | None:
    """The standard deviation of the log of the final loss between seed replicates, pooled over groups of them; None
    without replicates.
    """
    squares, degrees_of_freedom = 0.0, 0
    for losses in final_losses.values():
        logs = np.log(np.asarray(losses, dtype=np.float64))
        squares += float(np.sum((logs - logs.mean()) ** 2))
        degrees_of_freedom += len(logs) - 1
    return float(np.sqrt(squares / degrees_of_freedom)) if degrees_of_freedom else None


def perfect_law_score(targets: Sequence[PredictedCurve], curves: Mapping[str, LossCurve]) -> PerfectLawScore | None:
    """The score of a perfect law, estimated from the seed replicates of the targets; None without replicates. `curves`
    are the trained ones by run.

    The distance of a replicate from the mean of its target's runs, times sqrt(S / (S - 1)), is as large as its distance
    from a perfect law; divided by sqrt(S), it is that of their mean. The worst error of the means is an expectation
    over the seed that represents a size in all schedules, because runs with one seed share most of their training.
    """
    replicated = [target for target in targets if len(target.runs) > 1]
    if not replicated:
        return None
    sizes = sorted({target.size for target in replicated})
    max_seeds = max(len(target.runs) for target in replicated)
    seed_RZ = np.random.default_rng(0).integers(max_seeds, size=(NUM_SEED_DRAWS, len(sizes)))
    errors, worst, mean_errors, mean_worst = [], [], [], []
    for target in replicated:
        sparsest, log_SP = align_seeds([curves[run] for run in target.runs])
        log_SP = log_SP[:, _within(sparsest.time_P, target)]
        seeds = len(log_SP)
        distance_SP = np.abs(log_SP - log_SP.mean(axis=0)) * np.sqrt(seeds / (seeds - 1))
        of_mean_SP = distance_SP / np.sqrt(seeds)
        errors += distance_SP.mean(axis=1).tolist()
        worst.append(distance_SP.max())
        mean_errors.append(of_mean_SP.mean())
        mean_worst.append(of_mean_SP.max(axis=1)[seed_RZ[:, sizes.index(target.size)] % seeds])
    expected_worst = float(np.mean(np.max(mean_worst, axis=0)))
    return PerfectLawScore(float(np.mean(errors)), float(np.max(worst)), float(np.mean(mean_errors)), expected_worst)


def _within(time_P: Array, predicted: PredictedCurve) -> NDArray[np.bool_]:
    """The times within the predicted steps: (P,)."""
    return np.asarray((time_P >= predicted.step[0]) & (time_P <= predicted.step[-1]))
