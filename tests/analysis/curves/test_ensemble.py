"""Combinations of laws: weights, predictions, and files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.synthetic_curves import make_curve, make_query
from windtunnel.analysis.curves import ensemble
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.ensemble import (
    CombinedLaw,
    choose_law,
    combine_fits,
    combine_laws,
    fit_named_law,
    member_scores,
    reconstruct_law,
)
from windtunnel.analysis.curves.fit import fit_curve_law
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.train.errors import InputError

LAWS = ("annealing", "instantaneous", "last-window")


@pytest.fixture(scope="module")
def curves() -> list[LossCurve]:
    """The annealing law's own curves, with noise of each curve and noise of each point."""
    generator, curves = np.random.default_rng(1), []
    for name in ("constant", "cosine", "two-stage"):
        curve = make_curve("annealing", name, every=100)
        noise_P = 1e-3 * generator.standard_normal() + 1e-3 * generator.standard_normal(curve.num_points)
        curves.append(replace(curve, loss_P=curve.loss_P * np.exp(noise_P)))
    return curves


@pytest.mark.slow
def test_weights_are_inverse_to_mean_squared_errors(curves: list[LossCurve], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "candidates", lambda _: ["annealing", "multi-power", "trajectory", "instantaneous"])
    law, scores = choose_law(curves)
    assert isinstance(law, CombinedLaw)
    expected = {score.law: 1 / score.mean_squared_error for score in scores}
    total = sum(expected[member.name] for member in law.members)
    for member, weight in zip(law.members, law.weights, strict=True):
        assert weight == pytest.approx(expected[member.name] / total, abs=2e-3)
    assert sum(law.weights) == pytest.approx(1, abs=1e-12)
    assert [member.name for member in law.members] != [score.law for score in scores]
    assert "trajectory" not in law.name  # a weight below 0.01
    assert "instantaneous" not in law.name  # a baseline


@pytest.mark.slow
def test_combination_predicts_the_weighted_mean_and_is_read_back(curves: list[LossCurve], tmp_path: Path) -> None:
    fits = [fit_curve_law(curve_law(name), curves) for name in LAWS[:2]]
    law = combine_laws([fit.law for fit in fits], [3.0, 1.0])
    assert law.name == "0.750*annealing+0.250*instantaneous"
    joint = combine_fits(law, fits)
    query = make_query("decay", every=100)
    expected_P = 0.75 * fits[0].predict_losses(query) + 0.25 * fits[1].predict_losses(query)
    np.testing.assert_allclose(joint.predict_losses(query), expected_P, rtol=1e-14)
    assert joint.parameters["annealing.alpha"] == fits[0].parameters["alpha"]
    FittedCurveLaw.from_fit(joint, curves, 20, 0).to_json(tmp_path / "fit.json")
    read = FittedCurveLaw.from_json(tmp_path / "fit.json")
    np.testing.assert_allclose(read.predict_losses(query), expected_P, rtol=1e-14)
    # A curve has the same weights in every member, so the mean of the replicates is a replicate of the mean.
    single = [FittedCurveLaw.from_fit(fit, curves, 20, 0).final_losses(query) for fit in fits]
    np.testing.assert_allclose(read.final_losses(query), 0.75 * single[0] + 0.25 * single[1], rtol=1e-12)
    prediction = read.predict(query)
    assert prediction.interval_90 is not None
    assert prediction.interval_90[0] < prediction.loss_P[-1] < prediction.interval_90[1]


@pytest.mark.slow
def test_auto_is_better_than_the_baseline(curves: list[LossCurve], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "candidates", lambda _: list(LAWS))
    fit, scores = fit_named_law("auto", curves)
    truth = make_curve("annealing", "decay", every=100)
    error_P = np.abs(fit.predict_losses(truth) / truth.loss_P - 1)
    baseline_P = np.abs(fit_curve_law(curve_law("instantaneous"), curves).predict_losses(truth) / truth.loss_P - 1)
    assert len(scores) == len(LAWS)
    assert error_P.mean() < baseline_P.mean()


def test_reconstruct_law_rejects_a_bad_name() -> None:
    with pytest.raises(InputError, match="write a combination as"):
        reconstruct_law("half*annealing+0.5*instantaneous", [])
    with pytest.raises(InputError, match="no curve law named"):
        reconstruct_law("0.5*gravity+0.5*annealing", [])


@pytest.mark.slow
def test_interval_includes_the_errors_of_cross_validation(curves: list[LossCurve]) -> None:
    """The baseline fits three curves well, but predicts each of them badly from the others."""
    fit = fit_curve_law(curve_law("instantaneous"), curves)
    scores = member_scores(fit, curves, None, ())
    with_scores, without = (
        FittedCurveLaw.from_fit(fit, curves, 20, 0, scores),
        FittedCurveLaw.from_fit(fit, curves, 20, 0),
    )
    assert [score.law for score in scores] == ["instantaneous"]
    assert with_scores.noise == pytest.approx(float(np.sqrt(np.mean(np.square(scores[0].ends)))))
    assert with_scores.noise > 1.5 * without.noise
    truth = make_curve("annealing", "decay", every=100)
    widths = []
    for fitted in (with_scores, without):
        interval = fitted.predict(truth).interval_90
        assert interval is not None
        widths.append(interval[1] - interval[0])
    assert widths[0] > widths[1]
