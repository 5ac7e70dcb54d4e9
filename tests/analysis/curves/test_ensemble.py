"""Laws combined with weights: predicted as their mean, written and read back as one."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.made_curves import curve, of_law
from windtunnel.analysis.curves import ensemble as choice
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.ensemble import (
    CombinedLaw,
    choose,
    combine_fits,
    combined,
    combined_of_fit,
    fit_named,
    validated,
)
from windtunnel.analysis.curves.fit import fit_curves
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.predict import predict_curve
from windtunnel.analysis.curves.result import FittedCurves, fitted_curves
from windtunnel.train.errors import InputError

TRUTH = {"L0": 2.7, "A": 0.6, "C": 2.0, "alpha": 0.45, "memory": 150.0}
LAWS = ("annealing", "instantaneous", "last-window")


@pytest.fixture(scope="module")
def curves() -> list[Curve]:
    """The annealing law's own curves, with noise that is each curve's and noise that is each point's."""
    generator, found = np.random.default_rng(1), []
    for name in ("constant", "cosine", "two-stage"):
        made = of_law(curve_law("annealing"), TRUTH, curve(name, every=100))
        made.loss_P[:] *= np.exp(1e-3 * generator.standard_normal() + 1e-3 * generator.standard_normal(made.num_points))
        found.append(made)
    return found


def test_weights_are_inverse_to_the_mean_squared_error(curves: list[Curve], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "candidates", lambda _: ["annealing", "multi-power", "trajectory", "instantaneous"])
    law, scores = choose(curves)
    assert isinstance(law, CombinedLaw)
    expected = {each.law: 1 / each.mean_squared_error for each in scores}
    total = sum(expected[member.name] for member in law.members)
    for member, weight in zip(law.members, law.weights, strict=True):
        assert weight == pytest.approx(expected[member.name] / total, abs=2e-3)
    assert sum(law.weights) == pytest.approx(1, abs=1e-12)
    assert [each.name for each in law.members] != [each.law for each in scores]
    assert "trajectory" not in law.name  # below a hundredth
    assert "instantaneous" not in law.name  # a baseline, however well it does


def test_a_combination_is_the_mean_of_its_members_and_survives_its_file(curves: list[Curve], tmp_path: Path) -> None:
    fits = [fit_curves(curve_law(name), curves) for name in LAWS[:2]]
    law = combined([each.law for each in fits], [3.0, 1.0])
    assert law.name == "0.750*annealing+0.250*instantaneous"
    joint = combine_fits(law, fits)
    blank = curve("decay", every=100)
    expected_P = 0.75 * fits[0].predict(blank) + 0.25 * fits[1].predict(blank)
    np.testing.assert_allclose(joint.predict(blank), expected_P, rtol=1e-14)
    assert joint.parameters["annealing.alpha"] == fits[0].parameters["alpha"]
    written = fitted_curves(joint, curves, 20, 0)
    written.to_json(tmp_path / "fit.json")
    read = FittedCurves.from_json(tmp_path / "fit.json")
    np.testing.assert_allclose(read.predict(blank), expected_P, rtol=1e-14)
    # The same curves weigh the same in every member, so that the mean of the replicates is a replicate of the mean.
    single = [fitted_curves(each, curves, 20, 0).final_losses(blank) for each in fits]
    np.testing.assert_allclose(read.final_losses(blank), 0.75 * single[0] + 0.25 * single[1], rtol=1e-12)
    found = predict_curve(read, blank)
    assert found.interval_90 is not None
    assert found.interval_90[0] < found.loss_P[-1] < found.interval_90[1]


def test_auto_is_better_than_the_baseline(curves: list[Curve], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "candidates", lambda _: list(LAWS))
    fit, scores = fit_named("auto", curves)
    truth = of_law(curve_law("annealing"), TRUTH, curve("decay", every=100))
    error_P = np.abs(fit.predict(truth) / truth.loss_P - 1)
    baseline_P = np.abs(fit_curves(curve_law("instantaneous"), curves).predict(truth) / truth.loss_P - 1)
    assert len(scores) == len(LAWS)
    assert error_P.mean() < baseline_P.mean()


def test_a_name_that_is_none() -> None:
    with pytest.raises(InputError, match="write a combination as"):
        combined_of_fit("half*annealing+0.5*instantaneous", [])
    with pytest.raises(InputError, match="no curve law named"):
        combined_of_fit("0.5*gravity+0.5*annealing", [])


def test_an_interval_knows_how_wrong_the_law_was_of_schedules_held_out(curves: list[Curve]) -> None:
    """The baseline describes three fitted curves well, and each of them badly when it has to say it from the others."""
    fit = fit_curves(curve_law("instantaneous"), curves)
    scores = validated(fit, curves, None, ())
    known, blind = fitted_curves(fit, curves, 20, 0, scores), fitted_curves(fit, curves, 20, 0)
    assert [each.law for each in scores] == ["instantaneous"]
    assert known.noise == pytest.approx(float(np.sqrt(np.mean(np.square(scores[0].ends)))))
    assert known.noise > 1.5 * blind.noise
    truth = of_law(curve_law("annealing"), TRUTH, curve("decay", every=100))
    widths = []
    for each in (known, blind):
        interval = predict_curve(each, truth).interval_90
        assert interval is not None
        widths.append(interval[1] - interval[0])
    assert widths[0] > widths[1]
