"""Intervals of predictions: bounded inside the data where a parameter ended at a bound, and equal in a batch."""

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.tables.table import Table

SIZES, TOKENS = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 3e7, 6), np.geomspace(2e7, 2e9, 7)))
COLUMNS = {"N": SIZES, "D": TOKENS}
WITHOUT_CONSTANT = {"N_c": 8.8e13, "D_c": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095}


def without_constant(seed: int, noise: float = 0.03) -> Fit:
    """The additive law fitted to losses of a law without a constant."""
    loss = get_law("kaplan").predict_one(WITHOUT_CONSTANT, COLUMNS)
    loss = loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(loss)))
    return fit(Table.from_columns({**COLUMNS, "loss": loss}), get_law("chinchilla"), profile=False)


@pytest.mark.slow
def test_inside_the_data_a_fit_at_a_bound_has_bounded_intervals() -> None:
    fitted = without_constant(1)
    assert fitted.certificate is not None
    assert fitted.certificate.at_bound == ("E",)
    loss, low, high = predict_interval(fitted, COLUMNS)
    # A new run is within some standard deviations of 3 %, one of them at either end of Student's 90 %.
    below, above = np.log(loss / low), np.log(high / loss)
    assert below.min() > 0.02
    assert above.min() > 0.02
    assert max(below.max(), above.max()) < 0.15


@pytest.mark.parametrize("seed", range(4))
def test_beyond_the_data_refits_stay_in_their_valley(seed: int) -> None:
    """Losses eight times beyond either column are known to some tens of per cent, whatever E is."""
    loss, low, high = predict_interval(without_constant(seed), {"N": [2.4e8], "D": [1.6e10]})
    assert 0.5 * loss[0] < low[0] < high[0] < 1.5 * loss[0]


@pytest.mark.slow
def test_batch_of_queries_has_the_intervals_of_single_queries() -> None:
    fitted = without_constant(2)
    at = {"N": np.geomspace(1e6, 1e9, 7), "D": np.geomspace(1e9, 1e10, 7)}
    together: tuple[Array, ...] = predict_interval(fitted, at)
    for query in range(7):
        alone = predict_interval(fitted, {name: values[query : query + 1] for name, values in at.items()})
        np.testing.assert_allclose([ends[0] for ends in alone], [ends[query] for ends in together], rtol=1e-5)
