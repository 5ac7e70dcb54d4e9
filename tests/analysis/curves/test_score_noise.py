"""The score of a perfect law, which seed noise alone determines."""

from dataclasses import asdict

import numpy as np
import pytest

from tests.support.synthetic_curve_study import make_schedule
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.curves.score import perfect_law_score, score_laws
from windtunnel.analysis.curves.seal import PredictedCurve, SealedCurves

RATES = LearningRates.from_updates(np.ones(4000))
LOSS, NOISE = 2.0, 0.01
STEPS = tuple(100.0 * index for index in range(1, 31))


def make_study(seeds: int, num_targets: int, number: int) -> tuple[list[PredictedCurve], dict[str, LossCurve]]:
    """Targets that the law predicts perfectly, and runs with noise at each point."""
    generator = np.random.default_rng(number)
    targets, curves = [], {}
    for index in range(num_targets):
        runs = tuple(f"{index}-{seed}" for seed in range(seeds))
        schedule = asdict(make_schedule("wsd", 4000, decay=0.1 + index / 100))
        targets.append(PredictedCurve("t", runs, schedule, 1.0, 1e5 + index, STEPS, (LOSS,) * len(STEPS), None, 1.0))
        for run in runs:
            loss_P = LOSS * np.exp(NOISE * generator.standard_normal(len(STEPS)))
            curves[run] = LossCurve(run, RATES, np.array(STEPS), loss_P, 1e5 + index, 1024.0)
    return targets, curves


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_perfect_law_score_equals_the_score_of_a_perfect_law(seeds: int) -> None:
    """On average over studies. It is computed from the seed replicates alone, without the law."""
    expected, scores = [], []
    for number in range(20):
        targets, curves = make_study(seeds, 12, number)
        perfect = perfect_law_score(targets, curves)
        assert perfect is not None
        expected.append(list(perfect.to_dict().values()))
        sealed = SealedCurves("a", {"law": "a"}, "validation", tuple(targets), None, "", "ab" * 32)
        (law,) = score_laws([sealed], curves, None)
        assert law.seed_means is not None
        means = law.seed_means
        scores.append([law.mean_abs_relative_error, law.worst, means.mean_abs_relative_error, means.worst])
    bound, score = np.mean(expected, axis=0), np.mean(scores, axis=0)
    assert bound[[0, 2]] == pytest.approx(score[[0, 2]], rel=0.12 if seeds == 2 else 0.05)
    assert bound[[1, 3]] == pytest.approx(score[[1, 3]], rel=0.15 if seeds == 2 else 0.1)


def test_no_perfect_law_score_without_seed_replicates() -> None:
    targets, curves = make_study(1, 3, 0)
    assert perfect_law_score(targets, curves) is None


def test_points_that_were_not_predicted_do_not_count() -> None:
    targets, curves = make_study(3, 1, 0)
    with_extra_point = {
        run: LossCurve(run, RATES, np.append([50.0], curve.time_P), np.append([9.0 + index], curve.loss_P), 1e5, 1024.0)
        for index, (run, curve) in enumerate(curves.items())
    }
    assert perfect_law_score(targets, with_extra_point) == perfect_law_score(targets, curves)
