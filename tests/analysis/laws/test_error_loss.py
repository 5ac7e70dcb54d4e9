"""Error against loss: recovery, the derivative, and a range of losses too narrow to identify the amplitude."""

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.solver.coordinates import Coordinates
from windtunnel.analysis.tables.table import Table

LAW = get_law("error-loss")
TRUTH = {"epsilon": 0.857, "k": 2.206, "gamma": 0.715}
LOSS = np.array([4.31, 3.52, 3.29, 3.01, 2.78, 2.51])


def test_recovers_six_points() -> None:
    fitted = fit(
        Table.from_columns({"loss": LOSS, "error": LAW.predict_one(TRUTH, {"loss": LOSS})}), LAW, profile=False
    )
    assert fitted.objective == "mse"
    for name, value in TRUTH.items():
        assert fitted.parameters[name] == pytest.approx(value, rel=1e-8), name


def test_error_never_exceeds_that_of_guessing() -> None:
    error = LAW.predict_one(TRUTH, {"loss": np.linspace(0.5, 50, 200)})
    assert np.all(np.diff(error) >= 0)
    assert error.max() <= TRUTH["epsilon"]


def test_jacobian_is_the_derivative() -> None:
    coordinates = Coordinates.from_law(LAW, {"loss": LOSS}, np.full(6, 0.6))
    internal_RK = coordinates.to_internal(np.array([list(TRUTH.values())]))
    _, jacobian_RKP = coordinates.predict_with_jacobian(internal_RK, {"loss": LOSS})
    for place in range(3):
        shift_K = 1e-6 * np.eye(3)[place]
        ahead, behind = (coordinates.predict(internal_RK + sign * shift_K, {"loss": LOSS}) for sign in (1, -1))
        np.testing.assert_allclose(jacobian_RKP[:, place], (ahead - behind) / 2e-6, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_narrow_range_of_losses_does_not_identify_the_amplitude() -> None:
    loss = np.linspace(3.00, 3.04, 8)
    error = LAW.predict_one(TRUTH, {"loss": loss}) + 0.004 * np.random.default_rng(1).standard_normal(8)
    fitted = fit(Table.from_columns({"loss": loss, "error": error}), LAW)
    assert fitted.status != "converged"
    assert fitted.not_identified
