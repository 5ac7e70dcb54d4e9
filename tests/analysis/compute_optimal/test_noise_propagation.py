"""Noise propagated to linear combinations and to a law's parameters: large tables agree with small ones."""

import numpy as np
import pytest

from tests.support.true_laws import TRUTHS, exponent, ladder
from windtunnel.analysis.compute_optimal import noise_propagation, size_curve
from windtunnel.analysis.compute_optimal.approaches import compare_approaches
from windtunnel.analysis.compute_optimal.noise_propagation import (
    LinearCombinations,
    noise_draws,
    propagate_noise,
    refit_parameters,
)
from windtunnel.analysis.compute_optimal.size_curve import noise_about_curves, size_curves
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.tables.table import Table

TRUTH = TRUTHS[1]


def test_draws_do_not_depend_on_how_many_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    run = np.array(["c", "a", "b", "a", "c"])
    weights = np.array([[1.0, -1.0, 0.0], [0.25, 0.25, 0.5]])
    rows = np.array([1, 3, 4])
    (whole,) = noise_draws(run, 0.01, 50, seed=7)
    assert (whole[:, 1] == whole[:, 3]).all()
    assert whole.std() == pytest.approx(0.01, rel=0.2)
    monkeypatch.setattr(noise_propagation, "MAX_DRAWS", 20)  # six replicates of three runs
    parts = list(noise_draws(run, 0.01, 50, seed=7))
    assert max(len(part) for part in parts) == 6
    assert (np.concatenate(parts) == whole).all()
    empty = LinearCombinations(np.empty(0, dtype=np.intp), np.empty((1, 0)))
    noise, none = propagate_noise(run, 0.01, 50, 7, [LinearCombinations(rows, weights), empty])
    np.testing.assert_allclose(noise, whole[:, rows] @ weights.T, rtol=1e-12)
    assert (none == 0).all()


def test_noise_about_curves_is_estimated_from_some_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of 3,000 rows gives the same estimate within the precision of 300 rows; of few rows all are used."""
    curves, _ = size_curves(ladder(TRUTH, sizes=2, horizons=1500, noise=0.01))
    monkeypatch.setattr(size_curve, "MAX_NOISE_ROWS", 3000)
    every, degrees = noise_about_curves(curves)
    assert degrees == pytest.approx(3000, rel=0.01)
    monkeypatch.setattr(size_curve, "MAX_NOISE_ROWS", 150)
    some, some_degrees = noise_about_curves(curves)
    assert [len(each.residuals()[0]) for each in curves] == [150, 150]
    assert some_degrees == pytest.approx(300, rel=0.01)
    assert every == pytest.approx(0.01, rel=0.03)
    assert some == pytest.approx(every, rel=3 / np.sqrt(2 * 300))
    log_C, _, _ = curves[0].residuals()
    assert np.ptp(log_C) == np.ptp(curves[0].log_C_P)


@pytest.mark.slow
def test_newton_step_agrees_with_a_refit_for_many_points(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ladder(TRUTH, sizes=20, ratio=1.3, horizons=300, noise=0.004)
    assert len(table) > noise_propagation.MAX_REFIT_POINTS
    result = fit(table, get_law("chinchilla"), profile=False)
    stepped = refit_parameters(result, table.run, 0.004, 40, seed=3)
    monkeypatch.setattr(noise_propagation, "MAX_REFIT_POINTS", len(table))
    refitted = refit_parameters(result, table.run, 0.004, 40, seed=3)
    alpha, beta = (result.law.names.index(name) for name in ("alpha", "beta"))
    one, other = (rows[:, beta] / (rows[:, alpha] + rows[:, beta]) for rows in (refitted, stepped))
    assert np.corrcoef(one, other)[0, 1] > 0.999
    assert np.std(one) == pytest.approx(np.std(other), rel=0.02)
    assert np.abs(one - other).max() < 0.15 * np.std(one)
    assert np.mean(one) == pytest.approx(exponent(TRUTH), abs=0.01)


def test_newton_step_correlates_rows_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With four rows per run the parameters spread as with a quarter of the points."""
    table = ladder(TRUTH, sizes=20, ratio=1.3, horizons=100, noise=0.004)
    result = fit(table, get_law("chinchilla"), profile=False)
    monkeypatch.setattr(noise_propagation, "MAX_REFIT_POINTS", 0)
    independent = refit_parameters(result, table.run, 0.004, 200, seed=3)
    four = np.array([f"run {row // 4}" for row in range(len(table))])
    shared = refit_parameters(result, four, 0.004, 200, seed=3)
    E = result.law.names.index("E")
    assert np.std(shared[:, E]) > 1.5 * np.std(independent[:, E])


@pytest.mark.slow
def test_large_table_gives_the_true_exponents() -> None:
    """6,000 rows: noise is estimated from a part of each size, and the law's refits are Newton steps."""
    table: Table = ladder(TRUTH, sizes=10, ratio=1.6, horizons=600, reach=10.0, noise=0.01)
    result = compare_approaches(table)
    assert result.verdict == "agree"
    for approach in result.approaches:
        assert approach.exponent_N is not None
        low, high = approach.exponent_N.interval
        assert approach.exponent_N.value == pytest.approx(exponent(TRUTH), abs=0.01)
        assert low - 0.003 < exponent(TRUTH) < high + 0.003
