"""Objectives: their names, sums and weights."""

import numpy as np
import pytest

from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.train.errors import InputError

TARGET = np.array([2.0, 3.0, 4.0])
PREDICTION = np.array([[2.0, 3.3, 3.9]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mse", 0.3**2 + 0.1**2),
        ("lad", 0.4),
        ("log-lad", np.log(1.1) + np.log(4 / 3.9)),
        ("log-mse", np.log(1.1) ** 2 + np.log(4 / 3.9) ** 2),
        ("huber:0.2", 0.2 * (0.3 - 0.1) + 0.5 * 0.1**2),
        ("log-huber", 1e-3 * (np.log(1.1) + np.log(4 / 3.9) - 1e-3)),
    ],
)
def test_objectives_are_sums_not_means(name: str, value: float) -> None:
    assert parse_objective(name).value(PREDICTION, TARGET[None])[0] == pytest.approx(value, rel=1e-12)


def test_objective_names_round_trip() -> None:
    for name in ("log-huber:0.001", "log-lad", "log-mse", "mse", "lad", "huber:0.1", "mse@sigma"):
        assert parse_objective(name).name == name
    assert parse_objective("log-huber:1e-3").name == "log-huber:0.001"


def test_threshold_is_derived_from_the_seed_noise() -> None:
    objective = parse_objective("log-huber:seed-noise", 0.004)
    assert objective.delta == pytest.approx(1.345 * 0.004)
    assert objective.name == "log-huber:seed-noise=0.00538"
    assert parse_objective(objective.name) == objective
    assert parse_objective("log-huber:seed-noise", 1e-5).delta == 1e-3
    weighted = parse_objective("log-huber:seed-noise@sigma", 0.004)
    assert (weighted.noise_column, weighted.name) == ("sigma", "log-huber:seed-noise=0.00538@sigma")
    with pytest.raises(InputError, match="no repeated seeds to measure the noise with"):
        parse_objective("log-huber:seed-noise")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "huge",
        "log-huber:-1",
        "log-huber:x",
        "lad:3",
        "log-huber:inf",
        "huber:seed-noise",
        "log-lad:seed-noise",
        "log-mse@",
        "huber:",
    ],
)
def test_invalid_objectives_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="objective"):
        parse_objective(name)


def test_misspelled_objectives_get_a_hint() -> None:
    with pytest.raises(InputError, match=r"did you mean log-huber\?$"):
        parse_objective("log-hubr:1e-3")
    with pytest.raises(InputError, match="'log-mse@': write what follows its @"):
        parse_objective("log-mse@")


def test_weights_come_from_the_noise_column() -> None:
    objective = parse_objective("mse@sigma")
    weights = objective.weights({"sigma": np.array([1.0, 2.0, 1.0])}, 3)
    np.testing.assert_allclose(weights / weights[0], [1, 0.25, 1])
    assert weights.mean() == pytest.approx(1.0)
    with pytest.raises(InputError, match="sigma is 0 in row 2"):
        objective.weights({"sigma": np.array([1.0, 0.0])}, 2)
    with pytest.raises(InputError, match="no column sigma; the table has N"):
        objective.weights({"N": np.array([1.0])}, 1)


def test_prediction_without_a_logarithm_has_an_infinite_objective() -> None:
    assert parse_objective("log-huber").value(np.array([[-1.0, 3.0, 4.0]]), TARGET[None])[0] == np.inf
