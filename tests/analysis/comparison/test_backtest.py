"""Backtests: expanding cuts, holdout conditions, and rows that cannot be split."""

import numpy as np
import pytest

from tests.support.true_laws import ADDITIVE, WIDE_SIZES, wide_table
from windtunnel.analysis.comparison.ranking import rank
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError


def test_cuts_expand_over_compute_without_lookahead() -> None:
    ranking = rank(wide_table("chinchilla", ADDITIVE, 0.003), [get_law("chinchilla")], baselines=False, intervals=False)
    fitted = [cut[0] for cut in ranking.cuts]
    assert fitted == sorted(set(fitted))
    assert len(fitted) == 4
    assert fitted[0] >= 0.5 * len(WIDE_SIZES)
    for fitted_rows, held_rows, largest_fitted, smallest_held in ranking.cuts:
        assert fitted_rows + held_rows == len(WIDE_SIZES)
        assert largest_fitted < smallest_held


def test_trunk_on_both_sides_of_a_cut_is_noted() -> None:
    trunks = [f"size {size:.0f}" for size in WIDE_SIZES]
    ranking = rank(
        wide_table("chinchilla", ADDITIVE, 0.003, run=trunks), [get_law("chinchilla")], baselines=False, intervals=False
    )
    assert any("share a trunk" in note for note in ranking.notes)


@pytest.mark.slow
def test_missing_value_in_holdout_condition_is_an_error() -> None:
    whole = wide_table("chinchilla", ADDITIVE, 0.0)
    rate = np.full(len(whole), 0.01)
    rate[3] = np.nan
    missing = Table.from_columns({**whole.columns, "rate": rate}, run=[str(run) for run in whole.run])
    with pytest.raises(InputError, match=f"run {missing.run[3]} has no rate"):
        rank(missing, [get_law("chinchilla")], holdout="rate > 0.1 or C > 1e14")
    rank(missing, [get_law("chinchilla")], holdout="C > 1e14 or isnan(rate)", baselines=False)


def test_empty_holdout_is_an_error() -> None:
    whole = wide_table("chinchilla", ADDITIVE, 0.003)
    for holdout in ("N > 1e12", "N > 0"):
        with pytest.raises(InputError, match="row of 36; hold out the largest runs"):
            rank(whole, [get_law("chinchilla")], holdout=holdout)
    with pytest.raises(InputError, match=r"every row has the same C: .* holdout=\.\.\."):
        rank(whole.take(np.array([0, 0, 0, 0])), [get_law("chinchilla")])
