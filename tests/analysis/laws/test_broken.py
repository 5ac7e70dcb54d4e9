"""Broken power law: recovery, extrapolation over an inflection, limits, and unidentified parameters."""

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

LAW = get_law("broken:D")
POINTS = np.geomspace(100, 2e5, 17)
# A flat stretch, then a steep fall: an ability that appears.
ABILITY = {"a": 1e-3, "b": 3.0, "c_0": 0.1, "c_1": 1.4, "d": 8e3, "f": 0.3}
TRUTHS = (ABILITY, {"a": 0.5, "b": 40.0, "c_0": 0.5, "c_1": -0.4, "d": 3e3, "f": 0.1})


@pytest.mark.parametrize("truth", TRUTHS)
def test_recovers_every_parameter(truth: dict[str, float]) -> None:
    table = Table.from_columns({"D": POINTS, "loss": LAW.predict_one(truth, {"D": POINTS})})
    fitted = fit(table, LAW, "log-mse", profile=False)
    assert fitted.status == "converged", fitted.reason
    for name, value in truth.items():
        assert fitted.parameters[name] == pytest.approx(value, rel=1e-6), name


def test_predicts_beyond_an_inflection_where_a_plain_power_law_cannot() -> None:
    """The first 14 of 17 points; the error is that of the logarithm at the last three."""
    loss = LAW.predict_one({**ABILITY, "a": 1e-6}, {"D": POINTS})
    noisy = loss * np.exp(0.01 * np.random.default_rng(4).standard_normal(17))
    table = Table.from_columns({"D": POINTS[:14], "loss": noisy[:14]})
    held = {}
    for name in ("broken:D", "power:D"):
        fitted = fit(table, get_law(name), "log-mse", profile=False)
        held[name] = float(np.sqrt(np.mean(np.log(fitted.predict({"D": POINTS[14:]}) / loss[14:]) ** 2)))
    assert held["broken:D"] < 0.15
    assert held["power:D"] > 5 * held["broken:D"]


def test_without_a_change_of_exponent_it_is_a_power_law() -> None:
    plain = get_law("power:D").predict_one({"E": 1.7, "A": 50.0, "alpha": 0.2}, {"D": POINTS})
    broken = {"a": 1.7, "b": 50.0, "c_0": 0.2, "c_1": 0.0, "d": 3e3, "f": 0.1}
    np.testing.assert_allclose(LAW.predict_one(broken, {"D": POINTS}), plain, rtol=1e-14)


def test_exponents_on_either_side_of_a_sharp_break() -> None:
    sharp = {"a": 0.0, "b": 2.0, "c_0": 0.3, "c_1": 0.5, "d": 1e4, "f": 1e-3}
    ends = np.array([1e2, 1e3, 1e5, 1e6])
    logs = np.log(LAW.predict_one(sharp, {"D": ends}))
    assert (logs[1] - logs[0]) / np.log(10) == pytest.approx(-0.3)
    assert (logs[3] - logs[2]) / np.log(10) == pytest.approx(-0.8)


@pytest.mark.slow
def test_noisy_curve_without_a_break_does_not_identify_one() -> None:
    loss = get_law("power:D").predict_one({"E": 1.7, "A": 50.0, "alpha": 0.3}, {"D": POINTS})
    noisy = loss * np.exp(0.01 * np.random.default_rng(0).standard_normal(17))
    fitted = fit(Table.from_columns({"D": POINTS, "loss": noisy}), LAW, "log-mse")
    assert fitted.status != "converged"
    assert fitted.not_identified


def test_broken_law_reads_one_column() -> None:
    with pytest.raises(InputError, match="reads one column, not N\\+D"):
        get_law("broken:N+D")
