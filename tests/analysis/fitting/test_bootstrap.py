"""Bootstrap over runs: points of a run share a weight, and spreads are right where they are known."""

import numpy as np
import pytest

from windtunnel.analysis.fitting.bootstrap import bootstrap_weights
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.tables.table import Table


def test_weights_are_shared_by_a_run_and_have_mean_one() -> None:
    run = np.array(["a", "a", "b", "c", "c", "c", "d", "e", "f", "g"])
    weights = bootstrap_weights(run, 20_000, 2, seed=0)
    assert weights.shape == (20_000, 10)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 3], weights[:, 5])
    assert not np.array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.05)
    np.testing.assert_array_equal(bootstrap_weights(run, 5, 2, seed=0), bootstrap_weights(run, 5, 2, seed=0))


def table(seed: int) -> Table:
    sizes, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 10), np.geomspace(2e7, 4e9, 10)))
    columns = {"N": sizes, "D": tokens}
    truth = {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.31}
    noise = np.exp(0.005 * np.random.default_rng(seed).standard_normal(100))
    return Table.from_columns({**columns, "loss": get_law("chinchilla").predict_one(truth, columns) * noise})


@pytest.mark.slow
def test_spread_of_replicates_is_that_of_repeated_studies() -> None:
    studies = [
        fit(table(seed), get_law("chinchilla"), "log-mse", profile=False).parameters["alpha"] for seed in range(40)
    ]
    fitted = fit(table(99), get_law("chinchilla"), "log-mse", bootstrap=400, profile=False)
    assert fitted.replicates is not None
    assert fitted.interval_method == "bootstrap over runs"
    spread = float(np.std(fitted.replicates[3]))
    assert spread == pytest.approx(float(np.std(studies)), rel=0.4)
    low, high = fitted.intervals["alpha"]
    assert high - low == pytest.approx(3.92 * spread, rel=0.2)


def test_duplicating_the_rows_of_every_run_changes_nothing() -> None:
    once = table(0)
    twice = Table.from_columns(
        {name: np.repeat(values, 2) for name, values in once.columns.items()}, run=[str(k // 2) for k in range(200)]
    )
    spreads = []
    for each in (once, twice):
        fitted = fit(each, get_law("chinchilla"), bootstrap=300, profile=False)
        assert fitted.replicates is not None
        spreads.append(float(np.std(np.log(fitted.replicates[3]))))
    assert spreads[1] == pytest.approx(spreads[0], rel=0.2)


@pytest.mark.parametrize("objective", ["log-huber:1e-3", "log-lad", "mse"])
def test_replicates_are_fits(objective: str) -> None:
    fitted = fit(table(1), get_law("chinchilla"), objective, bootstrap=50, profile=False)
    assert fitted.replicates is not None
    assert np.isfinite(fitted.replicates).all()
    median = np.median(fitted.replicates, axis=1)
    np.testing.assert_allclose(median, list(fitted.parameters.values()), rtol=0.1)


def test_percentile_at_a_bound_is_unbounded() -> None:
    """Where the true E is zero, many replicates end at zero: the data do not bound E from below."""
    sizes = np.geomspace(1e6, 3e8, 24)
    noise = np.exp(0.01 * np.random.default_rng(1).standard_normal(24))
    fitted = fit(
        Table.from_columns({"N": sizes, "loss": 40 * sizes**-0.2 * noise}),
        get_law("power"),
        bootstrap=100,
        profile=False,
    )
    assert fitted.intervals["E"][0] == 0.0
    assert fitted.intervals["E"][1] > fitted.parameters["E"]
    assert fitted.not_identified == ("E",)
    assert fitted.status == "not_identified"
