"""Predictions of a fit: loss, interval, and targets that must be refused."""

import re

import numpy as np
import pytest

from tests.support.true_laws import AT, losses, table
from windtunnel.analysis.comparison.ranking import baseline_errors
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.predict import predict
from windtunnel.analysis.prediction.target import parse_at
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(table(), get_law("chinchilla"), profile=False)


def test_prediction_is_the_law_at_the_target() -> None:
    prediction = predict(fit(table(noise=0.0), get_law("chinchilla"), profile=False), AT)
    expected = float(losses([AT["N"]], [AT["D"]])[0])
    assert prediction.loss == pytest.approx(expected, rel=1e-8)
    assert prediction.interval_90 == pytest.approx((expected, expected), rel=1e-6)
    assert prediction.extrapolation == pytest.approx({"N": 4.0, "D": 2.0, "C": 8.0})


def test_missing_columns_of_a_target_are_derived(fitted: Fit) -> None:
    whole = predict(fitted, AT)
    for at in ({"N": 1.2e7, "C": 6 * 1.2e7 * 2e8}, {"N": 1.2e7, "M": 2e8 / 1.2e7}, {"D": 2e8, "C": 6 * 1.2e7 * 2e8}):
        assert predict(fitted, at).loss == pytest.approx(whole.loss, rel=1e-12)


def test_interval_covers_the_truth_and_widens_with_distance(fitted: Fit) -> None:
    near, far = (predict(fitted, {"N": 3e6 * k, "D": 1e8 * k}) for k in (1.0, 5.0))
    widths = [each.interval_90[1] - each.interval_90[0] for each in (near, far)]
    assert widths[0] < widths[1]
    assert near.interval_90[0] < near.loss < near.interval_90[1]
    # Inside the data the 90 % interval is about 3 standard deviations of the noise wide.
    assert 0.6 < widths[0] / near.loss / (2 * 1.645 * 0.003) < 2.0


@pytest.mark.slow
def test_baselines_are_ranked_on_the_same_points(fitted: Fit) -> None:
    baselines = predict(fitted, AT, baselines=baseline_errors(fitted)).baselines
    assert set(baselines) == {"chinchilla", "constant", "power_no_floor:C", "power:C"}
    errors = {name: error for name, error in baselines.items() if error is not None}
    assert min(errors, key=lambda name: errors[name]) == "chinchilla"
    assert errors["constant"] > 5 * errors["chinchilla"]


def test_far_targets_are_refused_unless_allowed(fitted: Fit) -> None:
    far = {"N": 3e6 * 6, "D": 1e8 * 6}
    with pytest.raises(InputError, match="36 times beyond the data in C"):
        predict(fitted, far)
    prediction = predict(fitted, far, allow_extrapolation=True)
    assert any("36 times" in note for note in prediction.notes)


@pytest.mark.parametrize(
    ("at", "distance"),
    [
        ({"N": 1.2e8, "D": 1e6}, "40 times beyond the data in N"),
        ({"N": 1e5, "D": 4e9}, "40 times beyond the data in D"),
        ({"N": 2.5e3, "D": 1e8}, "40 times below the data in N"),
        ({"N": 1.0, "D": 1.0}, r"6e\+11|1e\+11 times below the data in C and 1e\+05 times below the data in N and 1e"),
    ],
)
def test_target_is_far_in_any_axis_above_or_below(fitted: Fit, at: dict[str, float], distance: str) -> None:
    with pytest.raises(InputError, match=f"the target is {distance}.*pass allow_extrapolation=True"):
        predict(fitted, at)
    assert any(re.search(distance, note) for note in predict(fitted, at, allow_extrapolation=True).notes)


def test_refused_fits_and_bad_targets_have_no_prediction(fitted: Fit) -> None:
    refused = fit(table().select("N < 1.1e5"), get_law("chinchilla"), profile=False)
    with pytest.raises(InputError, match="was refused"):
        predict(refused, AT)
    with pytest.raises(InputError, match=r"add D=NUMBER"):
        predict(fitted, {"N": 1e6})
    for at, problem in (
        ({"N": 1e6, "D": 2e7, "M": 40.0}, "M is not D / N"),
        ({"N": 1e6, "D": 2e7, "C": 5.0}, "C is not 6 N D"),
        ({"N": 1e9, "C": 1.2e14, "M": 20.0}, "N does not follow from C = 6 N D and M = D / N"),
        ({"N": 1e6, "D": 2e7, "Q": 3.0}, "law chinchilla does not read Q"),
        ({"N": 1e6, "D": 2e7, "loss": 3.0}, "law chinchilla does not read loss"),
    ):
        with pytest.raises(InputError, match=problem):
            predict(fitted, at, allow_extrapolation=True)
    assert predict(fitted, {"N": 1e6, "D": 2e7, "C": 1.21e14, "M": 20.0}).loss > 0  # people round
    for text in ("N", "N=", "N=-1", "N=1e6,N=2e6", "N=ten", "N=nan"):
        with pytest.raises(InputError, match=r"^at=\.\.\. "):
            parse_at(text)
    with pytest.raises(InputError, match=r"^at=\.\.\. "):
        parse_at("N=0,D=2e10")
    assert parse_at(" N=1e9 , weight_code=0") == {"N": 1e9, "weight_code": 0.0}


@pytest.mark.slow
def test_baselines_are_ranked_with_the_weights_of_the_fit() -> None:
    """One outlier of known noise moves a fit with equal weights only."""
    plain = table()
    loss = plain.columns["loss"].copy()
    loss[0] *= 1.5
    noise = np.where(np.arange(len(plain)) == 0, 100.0, 0.003)
    weighed = Table.from_columns({**plain.columns, "loss": loss, "noise": noise})
    errors = [
        baseline_errors(fit(weighed, get_law("chinchilla"), objective, profile=False))["chinchilla"]
        for objective in ("log-mse@noise", "log-mse")
    ]
    assert errors[0] is not None
    assert errors[1] is not None
    assert errors[0] < 0.1 * errors[1]
