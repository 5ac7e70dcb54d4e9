"""The catalog: every law has a name, a citation and consistent parts; analytic Jacobians equal complex steps."""

from dataclasses import replace

import numpy as np
import pytest

from windtunnel.analysis.laws.catalog import NAMES, all_laws, get_law
from windtunnel.analysis.laws.law import Law, monomial
from windtunnel.analysis.solver.coordinates import Coordinates
from windtunnel.train.errors import InputError

POINTS = {
    "N": np.array([1e6, 3e6, 2e7]),
    "D": np.array([4e7, 1e9, 3e8]),
    "C": np.array([1e15, 3e16, 2e17]),
    "M": np.array([20.0, 80.0, 320.0]),
}
NATURAL = {
    "hestness": (9.0, -0.12, 1.5),
    "hestness:growth": (3.0, 0.7),
    "kaplan": (8.8e13, 5.4e13, 0.076, 0.095),
    "power": (1.7, 50.0, 0.2),
    "power:D": (1.7, 50.0, 0.2),
    "chinchilla": (1.7, 400.0, 900.0, 0.34, 0.31),
    "overtraining": (1.84, 212.0, 367.0, 0.136),
    "general": (1.6, 400.0, 900.0, 0.34, 0.31, 0.5),
}


def test_every_name_is_a_law_with_its_papers() -> None:
    for law in all_laws():
        assert law.formula
        assert law.grid
        assert law.citation
        assert law.columns
        assert all(parameter.meaning for parameter in law.parameters)
    assert [law.name for law in all_laws()] == list(NAMES)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"no law named 'chinchila'; there are .*chinchilla"):
        get_law("chinchila")
    with pytest.raises(InputError, match="write chinchilla, not chinchilla:D"):
        get_law("chinchilla:D")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("chinchila", "; did you mean chinchilla\\?$"),
        ("power:", "name a column after the colon, such as power:D"),
        ("mixture:a+", "name a column after the colon"),
        ("power:loss", "predicts loss and cannot read it"),
        ("broken:loss", "predicts loss and cannot read it"),
        ("power_no_floor:C", "power_no_floor is a baseline"),
        ("chinchilla@alpha=0.35,beta=0.4", "one parameter at a time, as in LAW@alpha=0.35@beta=0.4"),
    ],
)
def test_misspelled_law_names_get_a_hint(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_law(name)


@pytest.mark.parametrize("name", NATURAL)
def test_jacobian_is_the_derivative(name: str) -> None:
    law = get_law(name)
    natural_RK = np.array([NATURAL[name], NATURAL[name]]) * np.array([[1.0], [1.07]])
    coordinates = Coordinates.from_law(law, POINTS, np.full(3, 3.0))
    internal_RK = coordinates.to_internal(natural_RK)
    np.testing.assert_allclose(coordinates.to_natural(internal_RK), natural_RK, rtol=1e-12)
    _, jacobian_RKP = coordinates.predict_with_jacobian(internal_RK, POINTS)
    by_complex_step = replace(coordinates, law=replace(law, jacobian=None))
    np.testing.assert_allclose(
        by_complex_step.predict_with_jacobian(internal_RK, POINTS)[1], jacobian_RKP, rtol=1e-10, atol=1e-13
    )
    step = 1e-6
    for parameter in range(law.num_parameters):
        shift_K = np.eye(law.num_parameters)[parameter] * step
        slope_RP = coordinates.predict(internal_RK + shift_K, POINTS) - coordinates.predict(
            internal_RK - shift_K, POINTS
        )
        np.testing.assert_allclose(jacobian_RKP[:, parameter], slope_RP / (2 * step), rtol=1e-5, atol=1e-7)


def test_general_spans_additive_to_the_larger_term() -> None:
    additive = get_law("chinchilla").predict_one(
        {"E": 1.6, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.31}, POINTS
    )
    values = dict(zip(get_law("general").names, NATURAL["general"], strict=True))
    np.testing.assert_allclose(get_law("general").predict_one({**values, "g": 1.0}, POINTS), additive, rtol=1e-12)
    terms_2P = np.array([400.0 * POINTS["N"] ** -0.34, 900.0 * POINTS["D"] ** -0.31])
    larger = 1.6 + terms_2P.max(axis=0)
    np.testing.assert_allclose(get_law("general").predict_one({**values, "g": 0.01}, POINTS), larger, rtol=1e-3)


def test_monomials_are_products_and_quotients_of_columns() -> None:
    np.testing.assert_allclose(monomial("C/M", POINTS), POINTS["C"] / POINTS["M"])
    np.testing.assert_allclose(monomial("C*M", POINTS), POINTS["C"] * POINTS["M"])
    np.testing.assert_allclose(monomial("1/D", POINTS), 1 / POINTS["D"])


def test_law_without_starts_for_a_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match="define `starts`, or make every parameter linear"):
        replace(get_law("chinchilla"), start_grid={"alpha": (0.3,)})


def test_new_law_is_one_small_object() -> None:
    from windtunnel.analysis.laws.law import Parameter

    law = Law(
        name="logarithm",
        title="",
        formula="y = a + b log N",
        citation="",
        grid="",
        columns=("N",),
        parameters=(Parameter("a", "", positive=False), Parameter("b", "", positive=False)),
        predict=lambda values, columns: values["a"] + values["b"] * np.log(columns["N"]),
        linear=("a", "b"),
    )
    np.testing.assert_allclose(law.predict_one({"a": 1.0, "b": 2.0}, POINTS), 1 + 2 * np.log(POINTS["N"]))
