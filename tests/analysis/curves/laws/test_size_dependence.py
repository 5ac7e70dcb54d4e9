"""Curve laws over several sizes."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.synthetic_curves import TRUTH as TRUTH_OF_ONE_SIZE
from tests.support.synthetic_curves import make_query, with_law_losses
from windtunnel.analysis.curves.cross_validation import folds
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.ensemble import candidates
from windtunnel.analysis.curves.fit import fit_curve_law
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.laws.size_dependence import with_parameters
from windtunnel.train.errors import InputError

TRUTH = {"E": 1.7, "L0": 1.5, "A": 0.6, "C": 2.0, "phi": 0.3, "alpha": 0.45, "memory": 150.0}
TRUTH |= {"A_N": 0.05, "C_N": -0.1, "alpha_N": 0.02}
SIZES = (2e6, 8e6, 32e6)


def make_curves(sizes: tuple[float, ...], *names: str) -> list[LossCurve]:
    law = with_parameters(curve_law("annealing"), TRUTH)
    queries = [
        replace(make_query(name, every=200), name=f"{name}-{size:g}", size=size) for size in sizes for name in names
    ]
    return [with_law_losses(law, TRUTH, query) for query in queries]


@pytest.mark.slow
def test_fit_recovers_the_truth_and_predicts_an_unseen_size() -> None:
    fit = fit_curve_law(curve_law("annealing:N"), make_curves(SIZES, "constant", "two-stage"))
    assert fit.status == "converged", fit.reason
    for parameter, value in TRUTH.items():
        assert fit.parameters[parameter] == pytest.approx(value, rel=1e-6), parameter
    (unseen,) = make_curves((128e6,), "decay")
    np.testing.assert_allclose(fit.predict_losses(unseen), unseen.loss_P, rtol=1e-7)


@pytest.mark.parametrize("name", ["annealing", "multi-power", "functional"])
def test_derivatives_equal_finite_differences(name: str) -> None:
    law = with_parameters(curve_law(name), {"E"})
    of_one_size = TRUTH_OF_ONE_SIZE[name]
    values = {name: of_one_size.get(name, 0.07) for name in law.names} | {"E": 1.7, "phi": 0.3}
    query = replace(make_query("cosine", every=300), size=8e6)
    _, jacobian_KP = law.predict_with_jacobian(values, query)
    for index, parameter in enumerate(law.names):
        step = 1e-5 * values[parameter]
        up, down = (law.predict({**values, parameter: values[parameter] + sign * step}, query) for sign in (1, -1))
        difference_P = (up - down) / (2 * step)
        atol = 1e-8 * np.abs(difference_P).max() + 1e-12
        np.testing.assert_allclose(jacobian_KP[index], difference_P, rtol=1e-5, atol=atol)


@pytest.mark.slow
def test_two_sizes_have_no_irreducible_loss_of_their_own() -> None:
    curves = make_curves(SIZES[:2], "constant", "two-stage")
    assert "E" not in fit_curve_law(curve_law("annealing:N"), curves).parameters


def test_sizes_must_be_given_and_differ() -> None:
    curves = make_curves(SIZES, "constant")
    with pytest.raises(InputError, match="reads the size of every curve"):
        fit_curve_law(curve_law("annealing:N"), [*curves, replace(curves[0], size=None)])
    with pytest.raises(InputError, match="two sizes or more"):
        fit_curve_law(curve_law("annealing:N"), curves[:1])
    with pytest.raises(InputError, match="name annealing:N"):
        fit_curve_law(curve_law("annealing"), curves)
    with pytest.raises(InputError, match="only the size can follow"):
        curve_law("annealing:D")
    with pytest.raises(InputError, match="no form over sizes"):
        curve_law("trajectory:N")


def test_schedule_is_held_out_in_all_its_sizes() -> None:
    curves = make_curves(SIZES[:2], "constant", "two-stage")
    assert candidates(curves)[0] == "annealing:N"
    for fitted, held_out in folds(curves):
        schedule = held_out.name.split("-")[0]
        assert len(fitted) == 2
        assert all(curve.name.split("-")[0] != schedule for curve in fitted)
