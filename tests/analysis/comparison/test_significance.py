"""Significance of differences between laws: a wrong law is separated from the true one, equal laws are not."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.true_laws import ADDITIVE, WIDE_SIZES, WIDE_TOKENS, grid, wide_table, with_noise
from windtunnel.analysis.comparison.backtest import backtest, holdout_splits
from windtunnel.analysis.comparison.ranking import rank, score_laws
from windtunnel.analysis.comparison.significance import indistinguishable_laws
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.constraints import fix_parameters
from windtunnel.analysis.laws.law import Law
from windtunnel.analysis.tables.table import Table


def differ(truth: dict[str, float], laws: list[Law], noise: float, seed: int) -> bool:
    whole, splits = holdout_splits(wide_table("chinchilla", truth, noise, seed), laws, None)
    tested = backtest(whole, laws, splits, dict.fromkeys((law.name for law in laws), None))
    return not indistinguishable_laws(tested, [law.name for law in laws])


@pytest.mark.slow
def test_wrong_law_differs_significantly_from_the_true_one() -> None:
    assert differ(ADDITIVE, [get_law("chinchilla"), fix_parameters(get_law("chinchilla"), {"alpha": 0.6})], 0.002, 0)


@pytest.mark.slow
def test_additive_law_differs_significantly_where_the_scarcer_resource_limits() -> None:
    """The larger of the two terms limits the loss, not their sum."""
    loss = 1.2 + np.maximum(60.0 * WIDE_SIZES**-0.32, 300.0 * WIDE_TOKENS**-0.40)
    loss = with_noise(loss, 0.003)
    laws = [get_law("general"), get_law("chinchilla")]
    whole, splits = holdout_splits(
        Table.from_columns({"N": WIDE_SIZES, "D": WIDE_TOKENS, "loss": loss}), laws, "C > 1e14"
    )
    tested = backtest(whole, laws, splits, dict.fromkeys((law.name for law in laws), None))
    assert indistinguishable_laws(tested, ["general", "chinchilla"]) == ()
    general, additive = (law.held_out_mean_abs_relative_error or 0.0 for law in score_laws(tested, intervals=False))
    assert general < 0.5 * additive


@pytest.mark.slow
def test_law_is_indistinguishable_from_its_copy() -> None:
    assert not differ(ADDITIVE, [get_law("chinchilla"), replace(get_law("chinchilla"), name="again")], 0.002, 0)


@pytest.mark.slow
def test_equally_wrong_laws_seldom_differ_significantly() -> None:
    """The truth is symmetric in N and D, and so are the errors of the two laws: nominally 10 % of studies find a
    significant difference, and 4 of 8 studies would do so once in two hundred times.
    """
    size, tokens = grid(np.geomspace(1e6, 3e7, 5), np.geomspace(1e6, 3e7, 5))
    truth = {"E": 1.2, "A": 60.0, "B": 60.0, "alpha": 0.35, "beta": 0.35}
    laws = [fix_parameters(get_law("chinchilla"), {name: 0.42}) for name in ("alpha", "beta")]
    significant = 0
    for seed in range(8):
        loss = get_law("chinchilla").predict_one(truth, {"N": size, "D": tokens})
        loss = with_noise(loss, 0.003, seed)
        whole, splits = holdout_splits(Table.from_columns({"N": size, "D": tokens, "loss": loss}), laws, "C > 3e14")
        tested = backtest(whole, laws, splits, dict.fromkeys((law.name for law in laws), None))
        significant += not indistinguishable_laws(tested, [law.name for law in laws])
    assert significant < 4


@pytest.mark.slow
def test_no_law_differs_significantly_on_one_held_out_run() -> None:
    whole = wide_table("chinchilla", ADDITIVE, 0.003)
    last = f"N > {0.99 * WIDE_SIZES.max()} and D > {0.99 * WIDE_TOKENS.max()}"
    ranking = rank(whole, [get_law("chinchilla")], holdout=last)
    assert set(ranking.indistinguishable or ()) == {law.law for law in ranking.laws[1:]}
