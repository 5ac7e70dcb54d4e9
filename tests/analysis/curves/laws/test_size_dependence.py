"""One law over several sizes."""

from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.curves.laws.test_laws import TRUTH as OF_ONE_SIZE
from tests.support.made_curves import curve, of_law
from windtunnel.analysis.curves.cross_validation import folds
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.ensemble import candidates
from windtunnel.analysis.curves.fit import fit_curves
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.laws.size_dependence import of_parameters
from windtunnel.train.errors import InputError

TRUTH = {"E": 1.7, "L0": 1.5, "A": 0.6, "C": 2.0, "phi": 0.3, "alpha": 0.45, "memory": 150.0}
TRUTH |= {"A_N": 0.05, "C_N": -0.1, "alpha_N": 0.02}
SIZES = (2e6, 8e6, 32e6)


def made(sizes: tuple[float, ...], *names: str) -> list[Curve]:
    law = of_parameters(curve_law("annealing"), TRUTH)
    blank = [replace(curve(name, every=200), name=f"{name}-{size:g}", size=size) for size in sizes for name in names]
    return [of_law(law, TRUTH, each) for each in blank]


def test_truth_is_recovered_and_an_unseen_size_predicted() -> None:
    found = fit_curves(curve_law("annealing:N"), made(SIZES, "constant", "two-stage"))
    assert found.status == "converged", found.reason
    for parameter, value in TRUTH.items():
        assert found.parameters[parameter] == pytest.approx(value, rel=1e-6), parameter
    (unseen,) = made((128e6,), "decay")
    np.testing.assert_allclose(found.predict(unseen), unseen.loss_P, rtol=1e-7)


@pytest.mark.parametrize("name", ["annealing", "multi-power", "functional"])
def test_derivatives(name: str) -> None:
    law = of_parameters(curve_law(name), {"E"})
    own = OF_ONE_SIZE[name]
    values = {each: own.get(each, 0.07) for each in law.names} | {"E": 1.7, "phi": 0.3}
    blank = replace(curve("cosine", every=300), size=8e6)
    _, jacobian_KP = law.predict_with_jacobian(values, blank)
    for place, parameter in enumerate(law.names):
        step = 1e-5 * values[parameter]
        up, down = (law.predict({**values, parameter: values[parameter] + sign * step}, blank) for sign in (1, -1))
        apart_P = (up - down) / (2 * step)
        np.testing.assert_allclose(jacobian_KP[place], apart_P, rtol=1e-5, atol=1e-8 * np.abs(apart_P).max() + 1e-12)


def test_two_sizes_have_no_floor_of_their_own() -> None:
    assert "E" not in fit_curves(curve_law("annealing:N"), made(SIZES[:2], "constant", "two-stage")).parameters


def test_sizes_must_be_said_and_differ() -> None:
    curves = made(SIZES, "constant")
    with pytest.raises(InputError, match="reads the size of every curve"):
        fit_curves(curve_law("annealing:N"), [*curves, replace(curves[0], size=None)])
    with pytest.raises(InputError, match="two sizes or more"):
        fit_curves(curve_law("annealing:N"), curves[:1])
    with pytest.raises(InputError, match="name annealing:N"):
        fit_curves(curve_law("annealing"), curves)
    with pytest.raises(InputError, match="only the size can follow"):
        curve_law("annealing:D")
    with pytest.raises(InputError, match="no form over sizes"):
        curve_law("trajectory:N")


def test_a_schedule_is_held_out_in_all_its_sizes() -> None:
    curves = made(SIZES[:2], "constant", "two-stage")
    assert candidates(curves)[0] == "annealing:N"
    for fitted, held in folds(curves):
        schedule = held.name.split("-")[0]
        assert len(fitted) == 2
        assert all(each.name.split("-")[0] != schedule for each in fitted)
