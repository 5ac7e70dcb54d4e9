"""Fixed and tied parameters: the same law with fewer parameters."""

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.constraints import fix_parameters, parse_fixed
from windtunnel.analysis.solver.coordinates import Coordinates
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

TRUTH = {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.34}
SIZES, TOKENS = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 3e7, 5), np.geomspace(2e7, 2e9, 5)))
COLUMNS = {"N": SIZES, "D": TOKENS}


@pytest.mark.parametrize(
    "fixed", [{"E": 1.7}, {"beta": "alpha"}, {"E": 1.7, "alpha": 0.34}, {"A": 400.0, "beta": "alpha"}]
)
def test_free_parameters_are_recovered(fixed: dict[str, float | str]) -> None:
    law = fix_parameters(get_law("chinchilla"), fixed)
    loss = get_law("chinchilla").predict_one(TRUTH, COLUMNS)
    fitted = fit(Table.from_columns({**COLUMNS, "loss": loss}), law, profile=False)
    assert set(fitted.parameters) == set(TRUTH) - set(fixed)
    for name, value in fitted.parameters.items():
        assert value == pytest.approx(TRUTH[name], rel=1e-8), name
    np.testing.assert_allclose(fitted.predict(COLUMNS), loss, rtol=1e-9)


@pytest.mark.parametrize("fixed", [{"beta": "alpha"}, {"alpha": 0.3, "B": 700.0}])
def test_jacobian_is_the_derivative(fixed: dict[str, float | str]) -> None:
    law = fix_parameters(get_law("chinchilla"), fixed)
    coordinates = Coordinates.from_law(law, COLUMNS, np.full(len(SIZES), 3.0))
    internal_RK = coordinates.to_internal(np.array([[{**TRUTH, "beta": 0.31}[name] for name in law.names]]))
    _, jacobian_RKP = coordinates.predict_with_jacobian(internal_RK, COLUMNS)
    for place in range(law.num_parameters):
        shift_K = 1e-6 * np.eye(law.num_parameters)[place]
        ahead, behind = (coordinates.predict(internal_RK + sign * shift_K, COLUMNS) for sign in (1, -1))
        np.testing.assert_allclose(jacobian_RKP[:, place], (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-8)


def test_assignments_are_parsed() -> None:
    assert parse_fixed(["alpha=0.35", "beta = alpha"]) == {"alpha": 0.35, "beta": "alpha"}
    assert (
        fix_parameters(get_law("chinchilla"), parse_fixed(["beta=alpha", "E=1.5"])).name
        == "chinchilla@beta=alpha@E=1.5"
    )
    assert fix_parameters(get_law("chinchilla"), {}) is get_law("chinchilla")
    with pytest.raises(InputError, match="'alpha': write a fixed parameter as NAME=VALUE"):
        parse_fixed(["alpha"])


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"gamma": 1.0}, "has no parameter gamma; it has E, A, B, alpha, beta"),
        ({"beta": "gamma"}, "has no parameter gamma"),
        ({"E": -1.0}, "E = -1 is outside"),
        ({"alpha": float("nan")}, "alpha = nan is outside"),
        ({"alpha": 0.3, "beta": "alpha"}, "tied to alpha, which is fixed itself"),
        ({"E": "alpha"}, "cannot be tied"),
        ({**TRUTH}, "every parameter is fixed"),
    ],
)
def test_invalid_fixed_parameters_are_refused(fixed: dict[str, float | str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fix_parameters(get_law("chinchilla"), fixed)


def test_law_in_two_steps_fixes_the_parameters_of_a_step() -> None:
    with pytest.raises(InputError, match="is two steps: fix a parameter of one of them"):
        fix_parameters(get_law("ladder"), {"E": 1.5})
    fixed = get_law("chinchilla@beta=alpha/error-loss")
    assert fixed.steps is not None
    assert fixed.steps[0].name == "chinchilla@beta=alpha"
    assert "beta" not in fixed.names
