"""The floor of scores: what noise between seeds alone makes of a law that is right."""

from dataclasses import asdict

import numpy as np
import pytest

from tests.support.held_out_curves import schedule
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.schedule_sums import Rates
from windtunnel.analysis.curves.score import noise_alone, outcomes
from windtunnel.analysis.curves.seal import PredictedCurve, SealedCurves

RATES = Rates.of_updates(np.ones(4000))
TRUE, NOISE = 2.0, 0.01
STEPS = tuple(100.0 * place for place in range(1, 31))


def study(seeds: int, targets: int, number: int) -> tuple[list[PredictedCurve], dict[str, Curve]]:
    """Targets of which the law is right, and runs that stray by noise of each point."""
    generator = np.random.default_rng(number)
    made, curves = [], {}
    for place in range(targets):
        runs = tuple(f"{place}-{seed}" for seed in range(seeds))
        held = asdict(schedule("wsd", 4000, decay=0.1 + place / 100))
        made.append(PredictedCurve("t", runs, held, 1.0, 1e5 + place, STEPS, (TRUE,) * len(STEPS), None, 1.0))
        for run in runs:
            loss_P = TRUE * np.exp(NOISE * generator.standard_normal(len(STEPS)))
            curves[run] = Curve(run, RATES, np.array(STEPS), loss_P, 1e5 + place, 1024.0)
    return made, curves


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_it_is_what_a_law_that_is_right_scores(seeds: int) -> None:
    """On average over studies: the twins alone tell it, without the law."""
    floors, scores = [], []
    for number in range(20):
        targets, curves = study(seeds, 12, number)
        found = noise_alone(targets, curves)
        assert found is not None
        floors.append(list(found.document().values()))
        sealed = SealedCurves("a", {"law": "a"}, "validation", tuple(targets), None, "", "ab" * 32)
        (law,) = outcomes([sealed], curves, None)
        assert law.seed_means is not None
        means = law.seed_means
        scores.append([law.mean_abs_relative_error, law.worst, means.mean_abs_relative_error, means.worst])
    floor, score = np.mean(floors, axis=0), np.mean(scores, axis=0)
    assert floor[[0, 2]] == pytest.approx(score[[0, 2]], rel=0.12 if seeds == 2 else 0.05)
    assert floor[[1, 3]] == pytest.approx(score[[1, 3]], rel=0.15 if seeds == 2 else 0.1)


def test_without_twins_nothing_tells_it() -> None:
    targets, curves = study(1, 3, 0)
    assert noise_alone(targets, curves) is None


def test_only_points_that_were_predicted_count() -> None:
    targets, curves = study(3, 1, 0)
    wild = {
        run: Curve(run, RATES, np.append([50.0], curve.time_P), np.append([9.0 + place], curve.loss_P), 1e5, 1024.0)
        for place, (run, curve) in enumerate(curves.items())
    }
    assert noise_alone(targets, wild) == noise_alone(targets, curves)
