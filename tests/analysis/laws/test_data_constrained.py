"""Repeated data: the published values, the clamp of N', limits, the derivative, recovery jointly and in stages."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.constraints import fix_parameters
from windtunnel.analysis.solver.coordinates import Coordinates
from windtunnel.analysis.tables.table import Table

LAW = get_law("data-constrained")
CONSTANTS = {
    "E": float(np.exp(0.6254804)),
    "A": float(np.exp(6.255414)),
    "B": float(np.exp(7.3049974)),
    "alpha": 0.3526596,
    "beta": 0.3526596,
}
PUBLISHED = {**CONSTANTS, "R_D*": 15.387756, "R_N*": 5.309743}
SIZES, UNIQUE, EPOCHS = (
    grid.ravel() for grid in np.meshgrid([3e7, 1e8, 4e8, 2e9], [1e8, 1e9, 1e10], [1.0, 2.0, 4.0, 10.0, 40.0])
)
COLUMNS = {"N": SIZES, "D": UNIQUE * EPOCHS, "U": UNIQUE}


def test_published_values_are_reproduced() -> None:
    at = {"N": np.array([6.34e9, 8.67e9]), "D": np.array([242e9, 178e9]), "U": np.array([25e9, 25e9])}
    printed = [2.2256440889984477, 2.2269634075087867]
    # The constants are printed to eight digits.
    np.testing.assert_allclose(LAW.predict_one(PUBLISHED, at), printed, rtol=2e-8)


def test_one_epoch_of_a_small_model_is_the_additive_law() -> None:
    at = {"N": np.array([1e6, 1e7]), "D": np.array([1e10, 1e11]), "U": np.array([1e10, 1e11])}
    additive = get_law("chinchilla").predict_one(CONSTANTS, at)
    np.testing.assert_allclose(LAW.predict_one(PUBLISHED, at), additive, rtol=1e-14)
    # Half-lives without end make every repeated token and every excess parameter a fresh one.
    endless = LAW.predict_one({**PUBLISHED, "R_D*": 1e12, "R_N*": 1e12}, COLUMNS)
    np.testing.assert_allclose(endless, get_law("chinchilla").predict_one(CONSTANTS, COLUMNS), rtol=1e-8)


@given(st.floats(1.0, 1000.0), st.floats(1.0, 10.0))
def test_more_epochs_never_hurt_and_are_worth_less_than_fresh_tokens(epochs: float, more: float) -> None:
    at = {"N": np.array([1e8, 1e8]), "D": 1e9 * np.array([epochs, epochs * more]), "U": np.array([1e9, 1e9])}
    fewer, repeated = LAW.predict_one(PUBLISHED, at)
    fresh = LAW.predict_one(PUBLISHED, {**at, "U": at["D"]})[1]
    assert fresh - 1e-12 <= repeated <= fewer + 1e-12


@pytest.mark.parametrize("half_lives", [(15.0, 5.0), (0.02, 300.0), (1e8, 1e8)])
def test_jacobian_is_the_derivative(half_lives: tuple[float, float]) -> None:
    natural_RK = np.array([[1.87, 520.0, 1487.0, 0.37, 0.31, *half_lives]])
    coordinates = Coordinates.from_law(LAW, COLUMNS, np.full(len(SIZES), 3.0))
    internal_RK = coordinates.to_internal(natural_RK)
    _, analytic_RKP = coordinates.predict_with_jacobian(internal_RK, COLUMNS)
    stepped = replace(coordinates, law=replace(LAW, jacobian=None))
    _, complex_RKP = stepped.predict_with_jacobian(internal_RK, COLUMNS)
    np.testing.assert_allclose(analytic_RKP, complex_RKP, rtol=1e-7, atol=1e-12)


def test_recovers_all_seven_parameters() -> None:
    truth = {"E": 1.9, "A": 600.0, "B": 1500.0, "alpha": 0.36, "beta": 0.33, "R_D*": 12.0, "R_N*": 4.0}
    fitted = fit(Table.from_columns({**COLUMNS, "loss": LAW.predict_one(truth, COLUMNS)}), LAW, profile=False)
    assert fitted.status == "converged", fitted.reason
    for name, value in truth.items():
        assert fitted.parameters[name] == pytest.approx(value, rel=1e-6), name


def test_stages_fix_the_constants_of_single_epoch_runs() -> None:
    table = Table.from_columns({**COLUMNS, "loss": LAW.predict_one(PUBLISHED, COLUMNS)})
    # Sizes below N_opt(U), as the first stage needs.
    first = fit(
        table.select("D == U and N * 10 < U"),
        fix_parameters(get_law("chinchilla"), {"beta": "alpha"}),
        profile=False,
        allow_few_points=True,
    )
    constants = {**first.parameters, "beta": first.parameters["alpha"]}
    second = fit(table, fix_parameters(LAW, constants), profile=False)
    assert second.law.names == ("R_D*", "R_N*")
    assert second.parameters["R_D*"] == pytest.approx(PUBLISHED["R_D*"], rel=1e-5)
    assert second.parameters["R_N*"] == pytest.approx(PUBLISHED["R_N*"], rel=1e-5)


def test_half_lives_that_no_run_reaches_are_not_identified() -> None:
    """With at most two epochs and seed noise, the data do not show how many more would help."""
    few = {name: values[EPOCHS <= 2] for name, values in COLUMNS.items()}
    loss = LAW.predict_one(PUBLISHED, few) * np.exp(0.005 * np.random.default_rng(3).standard_normal(len(few["N"])))
    fitted = fit(Table.from_columns({**few, "loss": loss}), fix_parameters(LAW, {**CONSTANTS, "R_N*": 5.309743}))
    assert fitted.status != "converged"
    assert "R_D*" in fitted.not_identified
    assert fitted.intervals["R_D*"][1] == np.inf
