"""Mixtures: any number of domains, recovery, the meaning of k, column patterns, refusals."""

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array, Columns
from windtunnel.analysis.laws.mixture import resolve_columns
from windtunnel.analysis.solver.coordinates import Coordinates
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError


def proportions(num_domains: int, num_points: int, seed: int = 0) -> dict[str, Array]:
    drawn_PJ = np.random.default_rng(seed).dirichlet(np.full(num_domains, 0.7), num_points)
    return {f"weight_{place}": drawn_PJ[:, place] for place in range(num_domains)}


@pytest.mark.parametrize("num_domains", [1, 2, 3, 17])
def test_recovers_any_number_of_domains(num_domains: int) -> None:
    columns: Columns = proportions(max(num_domains, 2), 90)
    columns = dict(list(columns.items())[:num_domains])
    law = resolve_columns(get_law("mixture"), columns)
    slopes = np.random.default_rng(1).normal(0, 1.5, law.num_parameters - 2)
    truth = dict(zip(law.names, [2.1, 0.8, *slopes], strict=True))
    fitted = fit(
        Table.from_columns({**columns, "loss": law.predict_one(truth, columns)}), get_law("mixture"), profile=False
    )
    assert fitted.status == "converged", fitted.reason
    assert fitted.law.columns == tuple(columns)
    for name, value in truth.items():
        assert fitted.parameters[name] == pytest.approx(value, rel=1e-7, abs=1e-7), name


def test_k_is_the_loss_above_c_at_equal_proportions() -> None:
    law = get_law("mixture:web+code+books")
    truth = dict(zip(law.names, (2.0, 0.7, 1.3, -0.4), strict=True))
    equal = {name: np.array([1 / 3]) for name in law.columns}
    np.testing.assert_allclose(law.predict_one(truth, equal), [2.7])
    # Each domain alone: the slopes sum to zero, the last is minus the others.
    alone = {name: np.eye(3)[place] for place, name in enumerate(law.columns)}
    logs = np.log((law.predict_one(truth, alone) - 2.0) / 0.7)
    np.testing.assert_allclose(logs, [1.3, -0.4, -0.9])


def test_jacobian_is_the_derivative() -> None:
    columns = proportions(4, 12)
    law = resolve_columns(get_law("mixture"), columns)
    coordinates = Coordinates.from_law(law, columns, np.full(12, 3.0))
    internal_RK = coordinates.to_internal(np.array([[2.0, 0.7, 1.3, -0.4, 0.2]]))
    _, jacobian_RKP = coordinates.predict_with_jacobian(internal_RK, columns)
    for place in range(law.num_parameters):
        shift_K = 1e-6 * np.eye(law.num_parameters)[place]
        ahead, behind = (coordinates.predict(internal_RK + sign * shift_K, columns) for sign in (1, -1))
        np.testing.assert_allclose(jacobian_RKP[:, place], (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-8)


def test_mixture_is_made_again_from_its_name() -> None:
    law = resolve_columns(get_law("mixture"), {"weight_code": 0, "loss": 0, "weight_web": 0})
    assert law.name == "mixture:weight_code+weight_web"
    assert get_law(law.name).names == law.names


def test_patterns_without_a_matching_column_are_refused() -> None:
    with pytest.raises(InputError, match=r"no column matches share_\*; the table has N, loss"):
        resolve_columns(get_law("mixture:share_*"), ["N", "loss"])
    assert resolve_columns(get_law("chinchilla"), ["N", "D", "loss"]) is get_law("chinchilla")


def test_proportions_that_do_not_sum_to_one_are_refused() -> None:
    columns = proportions(3, 20)
    columns["weight_1"][4] += 0.3
    with pytest.raises(InputError, match=r"row 5: proportions .* sum to 1\.3"):
        fit(Table.from_columns({**columns, "loss": np.linspace(3, 4, 20)}), get_law("mixture"))


def test_weight_decay_is_not_a_proportion() -> None:
    assert resolve_columns(get_law("mixture"), ["weight_decay", "weight_a", "weight_b"]).columns == (
        "weight_a",
        "weight_b",
    )
    with pytest.raises(InputError, match=r"no column matches weight_\*"):
        resolve_columns(get_law("mixture"), ["N", "weight_decay"])
