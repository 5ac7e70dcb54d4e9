"""Noise carried to sums of losses and to a law's parameters in large tables: as in small ones, in linear memory."""

import numpy as np
import pytest

from tests.support.size_grids import TRUTHS, exponent, ladder
from windtunnel.analysis.compute_optimal import noise_propagation as pulled_noise
from windtunnel.analysis.compute_optimal import noise_propagation as refits
from windtunnel.analysis.compute_optimal import size_curve
from windtunnel.analysis.compute_optimal.noise_propagation import Sums, drawn_noise
from windtunnel.analysis.compute_optimal.size_curve import curves_of, noise_of_curves
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws import law
from windtunnel.analysis.tables.table import Table

TRUTH = TRUTHS[1]


def test_sums_are_of_the_draws_and_these_do_not_depend_on_how_many_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    run = np.array(["c", "a", "b", "a", "c"])
    shares = np.array([[1.0, -1.0, 0.0], [0.25, 0.25, 0.5]])
    rows = np.array([1, 3, 4])
    (whole,) = drawn_noise(run, 0.01, 50, seed=7)
    assert (whole[:, 1] == whole[:, 3]).all()
    assert whole.std() == pytest.approx(0.01, rel=0.2)
    monkeypatch.setattr(pulled_noise, "DRAWN", 20)  # six replicates of three runs
    parts = list(drawn_noise(run, 0.01, 50, seed=7))
    assert max(len(part) for part in parts) == 6
    assert (np.concatenate(parts) == whole).all()
    nothing = Sums(np.empty(0, dtype=np.intp), np.empty((1, 0)))
    moved, none = pulled_noise.pulled_noise(run, 0.01, 50, 7, [Sums(rows, shares), nothing])
    np.testing.assert_allclose(moved, whole[:, rows] @ shares.T, rtol=1e-12)
    assert (none == 0).all()


def test_noise_about_the_curves_is_read_off_some_rows_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of 3,000 rows know the noise as all of them do, to what 300 rows can; few rows are all read."""
    curves, _ = curves_of(ladder(TRUTH, sizes=2, horizons=1500, noise=0.01))
    monkeypatch.setattr(size_curve, "MOST_READ", 3000)
    every, freedom = noise_of_curves(curves)
    assert freedom == pytest.approx(3000, rel=0.01)
    monkeypatch.setattr(size_curve, "MOST_READ", 150)
    some, of_some = noise_of_curves(curves)
    assert [len(each.residuals()[0]) for each in curves] == [150, 150]
    assert of_some == pytest.approx(300, rel=0.01)
    assert every == pytest.approx(0.01, rel=0.03)
    assert some == pytest.approx(every, rel=3 / np.sqrt(2 * 300))
    log_C, _, _ = curves[0].residuals()
    assert np.ptp(log_C) == np.ptp(curves[0].log_C_P)


def test_a_step_finds_what_a_refit_finds_where_points_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ladder(TRUTH, sizes=20, ratio=1.3, horizons=300, noise=0.004)
    assert len(table) > refits.FEW
    found = fit(table, law("chinchilla"), profile=False)
    stepped = refits.refits(found, table.run, 0.004, 40, seed=3)
    monkeypatch.setattr(refits, "FEW", len(table))
    refitted = refits.refits(found, table.run, 0.004, 40, seed=3)
    alpha, beta = (found.law.names.index(name) for name in ("alpha", "beta"))
    one, other = (rows[:, beta] / (rows[:, alpha] + rows[:, beta]) for rows in (refitted, stepped))
    assert np.corrcoef(one, other)[0, 1] > 0.999
    assert np.std(one) == pytest.approx(np.std(other), rel=0.02)
    assert np.abs(one - other).max() < 0.15 * np.std(one)
    assert np.mean(one) == pytest.approx(exponent(TRUTH), abs=0.01)


def test_rows_of_one_run_are_off_together_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows a run spread the parameters as a quarter of the points would, not as all of them."""
    table = ladder(TRUTH, sizes=20, ratio=1.3, horizons=100, noise=0.004)
    found = fit(table, law("chinchilla"), profile=False)
    monkeypatch.setattr(refits, "FEW", 0)
    alone = refits.refits(found, table.run, 0.004, 200, seed=3)
    four = np.array([f"run {row // 4}" for row in range(len(table))])
    shared = refits.refits(found, four, 0.004, 200, seed=3)
    floor = found.law.names.index("E")
    assert np.std(shared[:, floor]) > 1.5 * np.std(alone[:, floor])


def test_a_large_table_has_the_exponents_of_its_truth() -> None:
    """6,000 rows: noise is read off part of each size, and the law's refits are steps."""
    from windtunnel.analysis.compute_optimal.approaches import compare_approaches

    table: Table = ladder(TRUTH, sizes=10, ratio=1.6, horizons=600, reach=10.0, noise=0.01)
    found = compare_approaches(table)
    assert found.verdict == "agree"
    for each in found.approaches:
        assert each.exponent_N is not None
        low, high = each.exponent_N.interval
        assert each.exponent_N.value == pytest.approx(exponent(TRUTH), abs=0.01)
        assert low - 0.003 < exponent(TRUTH) < high + 0.003
