"""Convention audit: exponents under every convention, and the relations between them."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.run_records import record, write
from windtunnel.analysis.comparison.convention_audit import (
    OPTIMAL_SIZE,
    ConventionExponents,
    audit_conventions,
    exponent_ranges,
)
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli.conventions import add_arguments, format_conventions, run
from windtunnel.train.errors import InputError

ALPHA, BETA, POWER = 0.34, 0.28, 1.1


def powers(noise: float = 0.0) -> Table:
    """A count of parameters that is a power of another: every exponent follows from those of the first."""
    N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 6), np.geomspace(2e7, 2e9, 6)))
    loss = 1.7 + 400 / N**ALPHA + 900 / D**BETA
    loss = loss * np.exp(noise * np.random.default_rng(0).standard_normal(len(N)))
    other = 0.05 * N**POWER
    return Table.from_columns(
        {"N": N, "N_other": other, "D": D, "C": 6 * N * D, "C_other": 6 * other * D, "loss": loss}
    )


def law_results(table: Table, name: str) -> list[ConventionExponents]:
    """The results of the fits. (The diagonals of the grid are isoFLOP budgets too.)"""
    return [result for result in audit_conventions(table, get_law(name), replicates=20) if result.source == "law"]


@pytest.mark.slow
def test_exponents_follow_the_convention() -> None:
    results = {(result.N, result.C): result.exponents for result in law_results(powers(), "chinchilla")}
    assert set(results) == {(N, C) for N in ("N", "N_other") for C in ("C", "C_other")}
    for size, factor in (("N", 1.0), ("N_other", POWER)):
        for cost, kappa in (("C", 1.0), ("C_other", POWER)):
            estimate = results[size, cost]
            alpha, slope = ALPHA / factor, kappa / factor
            assert estimate["alpha"].value == pytest.approx(alpha, rel=1e-6)
            assert estimate["beta"].value == pytest.approx(BETA, rel=1e-6)
            assert estimate[OPTIMAL_SIZE].value == pytest.approx(BETA / (alpha + slope * BETA), rel=1e-6)
    # The optimal runs are the same under both counts of N: the exponents differ by the power between the counts.
    assert results["N_other", "C"][OPTIMAL_SIZE].value == pytest.approx(
        POWER * results["N", "C"][OPTIMAL_SIZE].value, rel=1e-6
    )


@pytest.mark.slow
def test_intervals_contain_the_truth_and_ranges_span_the_conventions() -> None:
    results = audit_conventions(powers(noise=0.003), get_law("chinchilla"), replicates=200)
    for result in results:
        for estimate in result.exponents.values():
            assert estimate.interval[0] < estimate.value < estimate.interval[1]
    own = next(result for result in results if (result.N, result.C) == ("N", "C"))
    assert own.exponents["alpha"].interval[0] < ALPHA < own.exponents["alpha"].interval[1]
    assert own.exponents[OPTIMAL_SIZE].interval[0] < BETA / (ALPHA + BETA) < own.exponents[OPTIMAL_SIZE].interval[1]
    low, high = exponent_ranges(results)["alpha"]
    assert high / low == pytest.approx(POWER, rel=0.01)


@pytest.mark.slow
def test_repeated_cost_column_is_dropped_and_a_missing_one_added() -> None:
    columns = dict(powers().columns)
    del columns["C_other"]
    pairs = [(result.N, result.C) for result in law_results(Table.from_columns(columns), "chinchilla")]
    assert pairs == [("N", "C"), ("N", "6 N_other D"), ("N_other", "C"), ("N_other", "6 N_other D")]


@pytest.mark.slow
def test_law_of_compute_is_refitted_under_every_pair() -> None:
    results = law_results(powers(), "overtraining")
    assert len(results) == 4
    assert len({result.value for result in results}) == 4
    results = law_results(powers(), "power")
    assert [(result.N, result.C) for result in results] == [("N", ""), ("N_other", "")]
    with pytest.raises(InputError, match="no count of N or C to vary"):
        audit_conventions(powers(), get_law("power:D"))


@pytest.mark.slow
def test_isoflop_exponents_are_included_where_budgets_line_up() -> None:
    C, step = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e17, 1e20, 6), np.arange(-5, 6)))
    N = 0.1 * C**0.5 * 1.5**step
    D = C / (6 * N)
    loss = 1.7 + 400 / N**0.3 + 400 / D**0.3
    other = 0.05 * N**POWER
    results = audit_conventions(
        Table.from_columns({"N": N, "N_other": other, "D": D, "C": C, "loss": loss}),
        get_law("chinchilla"),
        replicates=20,
    )
    isoflop = {
        (result.N, result.C): result.exponents[OPTIMAL_SIZE].value for result in results if result.source == "isoflop"
    }
    assert set(isoflop) == {("N", "C"), ("N_other", "C")}  # under 6 N_other D the runs form no budgets
    assert isoflop["N_other", "C"] == pytest.approx(POWER * isoflop["N", "C"], rel=1e-6)
    parametric = next(result for result in results if (result.source, result.N, result.C) == ("law", "N", "C"))
    assert parametric.exponents[OPTIMAL_SIZE].value == pytest.approx(isoflop["N", "C"], abs=0.003)


@pytest.mark.slow
def test_invalid_column_is_named_and_the_others_are_fitted() -> None:
    columns = dict(powers().columns)
    columns["C_other"] = np.where(np.arange(36) == 4, -1.0, columns["C_other"])
    results = law_results(Table.from_columns(columns), "chinchilla")
    refused = [result for result in results if result.status == "refused"]
    assert [(result.N, result.C) for result in refused] == [("N", "C_other"), ("N_other", "C_other")]
    assert refused[0].reason.startswith("row 5, column C_other is -1")
    assert sum(bool(result.exponents) for result in results) == 4  # C, and 6 N_other D instead of the invalid column
    with pytest.raises(InputError, match="needs the columns N"):
        audit_conventions(Table.from_columns({"D": columns["D"], "loss": columns["loss"]}), get_law("chinchilla"))


def test_table_of_one_convention_is_noted() -> None:
    table = powers()
    alone = replace(table, columns={name: table.columns[name] for name in ("N", "D", "loss")})
    shown = "\n".join(format_conventions(audit_conventions(alone, get_law("chinchilla"), replicates=100)))
    assert "the table has only one convention, N = N" in shown
    assert "depending on the convention" not in shown


@pytest.mark.slow
def test_conventions_command_uses_all_counts_of_run_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def command(*words: str) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return run(parser.parse_args([str(tmp_path), "--bootstrap", "100", *words]))

    for width in (16, 32, 64, 128):
        for steps in (1000, 2000, 4000):
            content = record(width=width, steps=steps, status="planned")
            N, D = content["counts"]["parameters"]["total"], content["counts"]["tokens"]
            write(tmp_path, record(width=width, steps=steps, loss=1.7 + 40 / N**ALPHA + 90 / D**BETA))
    assert command() == 0
    assert "optimal N is between" in capsys.readouterr().out
    assert command("--json", "-") == 0
    content = json.loads(capsys.readouterr().out)
    pairs = {(result["N"], result["C"]) for result in content["conventions"] if result["source"] == "law"}
    assert {N for N, _ in pairs} == {"N", "N_non_embedding", "N_non_embedding_and_head"}
    costs = {"C", "C_non_embedding", "C_non_embedding_and_head", "C_exact", "C_exact_causal"}
    assert {C for _, C in pairs} == costs
    own = next(result for result in content["conventions"] if (result["N"], result["C"]) == ("N", "C"))
    assert own["exponents"]["alpha"]["value"] == pytest.approx(ALPHA, rel=1e-5)
    low, high = content["spread"][OPTIMAL_SIZE]
    assert high - low > 0.05
    with pytest.raises(InputError, match=r"no convention could be fitted: refused \(too_few_points\)"):
        command("--where", "S == 1000")
    assert "refused" not in capsys.readouterr().out
