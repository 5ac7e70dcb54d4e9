"""`fit_curves`: from sources to a fitted law, its tests, and predictions with intervals."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.synthetic_curves import PEAK, TRUTH, make_curve, schedules, write_curve
from windtunnel.analysis.curves import ensemble
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.fit_curves import CurveFitResult, fit_curves, rank_curve_laws
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.train.errors import InputError

REPLICATES = 20


@pytest.fixture(scope="module")
def curves() -> dict[str, LossCurve]:
    generator, curves = np.random.default_rng(1), {}
    for name in ("constant", "cosine", "two-stage", "decay"):
        curve = make_curve("annealing", name, every=100)
        noise_P = 1e-3 * generator.standard_normal() + 1e-3 * generator.standard_normal(curve.num_points)
        curves[name] = replace(curve, loss_P=curve.loss_P * np.exp(noise_P))
    return curves


@pytest.fixture(scope="module")
def result(curves: dict[str, LossCurve]) -> CurveFitResult:
    *train, test = curves.values()
    return fit_curves(train, "annealing", test=test, num_replicates=REPLICATES)


def test_result_has_parameters_scores_and_a_document(result: CurveFitResult) -> None:
    assert (result.law, result.status) == ("annealing", "converged")
    assert result.parameters["alpha"] == pytest.approx(TRUTH["annealing"]["alpha"], rel=0.1)
    (score,) = result.tests
    assert score == result.score(result.test[0])
    assert score.worst < 0.01
    document = result.to_dict()
    json.dumps(document, allow_nan=False)
    assert document["test"] == [vars(score)]
    assert document["train"] == ["constant", "cosine", "two-stage"]


def test_prediction_of_a_schedule_has_an_interval(result: CurveFitResult, curves: dict[str, LossCurve]) -> None:
    of_curve, of_rates = result.predict(curves["decay"]), result.predict(schedules()["decay"], warmup=60)
    assert of_curve.interval_90 is not None
    low, high = of_curve.interval_90
    assert low < of_curve.final_loss < high
    assert low < curves["decay"].loss_P[-1] < high
    at_end = np.interp(curves["decay"].time_P[-1], of_rates.curve.time_P, of_rates.loss_P)
    assert at_end == pytest.approx(of_curve.final_loss, rel=1e-4)
    with pytest.raises(InputError, match="the peak rate is"):
        result.predict(10 * schedules()["decay"])
    longer = result.predict(np.full(6000, PEAK), warmup=0)
    assert longer.beyond == pytest.approx(2, rel=0.05)
    assert "times as long as the longest fitted curve" in longer.notes[-1]


def test_result_is_written_for_later_predictions(
    result: CurveFitResult, curves: dict[str, LossCurve], tmp_path: Path
) -> None:
    result.to_json(tmp_path / "fit.json")
    read = FittedCurveLaw.from_json(tmp_path / "fit.json")
    assert read.num_replicates == REPLICATES
    assert read.predict(curves["decay"]).interval_90 == result.predict(curves["decay"]).interval_90


@pytest.mark.slow
def test_auto_combines_laws_by_cross_validation(
    curves: dict[str, LossCurve], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ensemble, "candidates", lambda _: ["annealing", "multi-power", "instantaneous"])
    paths = [write_curve(tmp_path / f"{name}.csv", curves[name]) for name in ("constant", "cosine", "two-stage")]
    result = fit_curves(paths, warmup=60, num_replicates=REPLICATES)
    assert {score.law for score in result.cross_validation} == {"annealing", "multi-power", "instantaneous"}
    assert "instantaneous" not in result.law
    prediction = result.predict(write_curve(tmp_path / "decay.csv", curves["decay"]), warmup=60)
    assert prediction.final_loss == pytest.approx(curves["decay"].loss_P[-1], rel=0.01)


def test_refused_fit_has_no_predictions(curves: dict[str, LossCurve]) -> None:
    few = curves["constant"].select(np.arange(curves["constant"].num_points) < 5)
    result = fit_curves(few, "annealing", test=curves["decay"])
    assert (result.status, result.parameters, list(result.tests)) == ("too_few_points", {}, [])
    with pytest.raises(InputError, match="was refused"):
        result.predict(curves["decay"])
    with pytest.raises(InputError, match="no curve law named"):
        fit_curves(few, "gravity")


@pytest.mark.slow
def test_ranking_orders_laws_by_cross_validation(curves: dict[str, LossCurve]) -> None:
    *train, test = curves.values()
    ranked = rank_curve_laws(["last-window", "annealing"], train, [test])
    assert [law.cross_validation.law for law in ranked] == ["annealing", "last-window"]
    errors = [law.to_dict()["mean_abs_relative_error"] for law in ranked]
    assert errors[0] < errors[1]
