"""Sensitivity of a ranking: immaterial choices keep the best law, and a choice that changes it is reported."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.true_laws import ADDITIVE, WIDE_SIZES, wide_table
from windtunnel.analysis.comparison.ranking import rank
from windtunnel.analysis.comparison.stability import Variant, format_stability, stability
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.constraints import fix_parameters
from windtunnel.analysis.laws.law import Law
from windtunnel.analysis.tables.table import Table

LAWS = [get_law("chinchilla"), get_law("kaplan")]


def variants(whole: Table, laws: list[Law], **options: str | None) -> dict[str, Variant]:
    ranking = rank(whole, laws, intervals=False, **options)  # type: ignore[arg-type]
    return {variant.change: variant for variant in stability(whole, laws, ranking, **options)}  # type: ignore[arg-type]


@pytest.mark.slow
def test_no_choice_matters_without_noise() -> None:
    """Under a count that is a power of N the additive law is still exact."""
    whole = wide_table("chinchilla", ADDITIVE, 0.0)
    whole = replace(whole, columns={**whole.columns, "N_body": 0.01 * WIDE_SIZES**1.2, "N_again": WIDE_SIZES})
    result = variants(whole, LAWS, holdout="C > 1e14")
    assert set(result) == {
        "with a Huber threshold of 0.0001",
        "with a Huber threshold of 0.01",
        "without the smallest N",
        "with N_body for N",
    }
    for variant in result.values():
        assert variant.best == "chinchilla"
        assert (variant.held_out_mean_abs_relative_error or 1.0) < 0.005
        assert variant.holds
        assert (variant.held_out_mean_abs_relative_error or 0.0) < 1e-7
    assert format_stability(list(result.values()), "chinchilla")[-1] == "chinchilla stays the best under all 4"


@pytest.mark.slow
def test_decisive_smallest_size_is_reported() -> None:
    """The smallest size is off the law: without it the law with the true exponent is exact."""
    whole = wide_table("chinchilla", {**ADDITIVE, "alpha": 0.5, "A": 600.0}, 0.0)
    loss = np.where(WIDE_SIZES.min() == WIDE_SIZES, whole.columns["loss"] * 0.9, whole.columns["loss"])
    whole = replace(whole, columns={**whole.columns, "loss": loss})
    laws = [fix_parameters(get_law("chinchilla"), {"alpha": value}) for value in (0.5, 0.3)]
    best = rank(whole, laws, holdout="N > 4e6", intervals=False, objective="log-mse").best
    result = variants(whole, laws, holdout="N > 4e6", objective="log-mse")
    changed = result["without the smallest N"]
    assert best != "chinchilla@alpha=0.5"
    assert changed.best == "chinchilla@alpha=0.5"
    assert not changed.holds
    assert any(line.startswith("the best law changes under ") for line in format_stability(list(result.values()), best))


@pytest.mark.slow
def test_decisive_parameter_count_is_reported() -> None:
    """One count is a power of the other: an exponent that is true for one is wrong for the other."""
    whole = wide_table("chinchilla", ADDITIVE, 0.0)
    whole = replace(whole, columns={**whole.columns, "N_body": WIDE_SIZES**1.6})
    laws = [fix_parameters(get_law("chinchilla"), {"alpha": value}) for value in (0.32, 0.2)]
    changed = variants(whole, laws, holdout="N > 4e6")["with N_body for N"]
    assert changed.best == "chinchilla@alpha=0.2"
    assert not changed.holds
    assert (changed.held_out_mean_abs_relative_error or 0.0) < 1e-7


@pytest.mark.slow
def test_held_out_rows_are_those_of_the_ranking() -> None:
    """A condition on N holds out the same rows under another count of N."""
    whole = wide_table("chinchilla", ADDITIVE, 0.003)
    whole = replace(whole, columns={**whole.columns, "N_body": 0.1 * WIDE_SIZES})
    result = variants(whole, [get_law("chinchilla")], holdout="N > 4e6")
    base = rank(whole, [get_law("chinchilla")], holdout="N > 4e6", intervals=False).laws[0]
    # Only the unit of N changes.
    assert result["with N_body for N"].held_out_mean_abs_relative_error == pytest.approx(
        base.held_out_mean_abs_relative_error, rel=1e-4
    )


@pytest.mark.slow
def test_noise_weights_apply_in_every_variant() -> None:
    whole = wide_table("chinchilla", ADDITIVE, 0.003)
    corrupted = (np.arange(len(WIDE_SIZES)) % 5 == 0) & (WIDE_SIZES < 4e6)
    noise, loss = np.where(corrupted, 1e3, 1e-3), np.where(corrupted, 5.0, whole.columns["loss"])
    whole = replace(whole, columns={**whole.columns, "loss": loss, "noise": noise})
    for variant in variants(
        whole, [get_law("chinchilla")], holdout="N > 4e6", objective="log-huber:1e-3@noise"
    ).values():
        assert variant.best == "chinchilla"
        assert (variant.held_out_mean_abs_relative_error or 1.0) < 0.005
