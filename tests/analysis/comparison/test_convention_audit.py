"""The audit: exponents under every convention, against relations that they must obey."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.run_records import record, write
from windtunnel.analysis.comparison.convention_audit import OPTIMAL, Audited, audit, spread
from windtunnel.analysis.laws import law
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli.conventions import add_arguments, describe, run
from windtunnel.train.errors import InputError

ALPHA, BETA, POWER = 0.34, 0.28, 1.1


def powers(noise: float = 0.0) -> Table:
    """A count of parameters that is a power of another: every exponent follows from those of the first."""
    N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 6), np.geomspace(2e7, 2e9, 6)))
    loss = 1.7 + 400 / N**ALPHA + 900 / D**BETA
    loss = loss * np.exp(noise * np.random.default_rng(0).standard_normal(len(N)))
    other = 0.05 * N**POWER
    return Table.of({"N": N, "N_other": other, "D": D, "C": 6 * N * D, "C_other": 6 * other * D, "loss": loss})


def of_law(table: Table, name: str) -> list[Audited]:
    """The audited fits. The grid's diagonals are budgets too; what their minima say is another test's."""
    return [each for each in audit(table, law(name), replicates=20) if each.source == "law"]


def test_exponents_follow_the_convention() -> None:
    found = {(each.N, each.C): each.exponents for each in of_law(powers(), "chinchilla")}
    assert set(found) == {(N, C) for N in ("N", "N_other") for C in ("C", "C_other")}
    for size, factor in (("N", 1.0), ("N_other", POWER)):
        for cost, kappa in (("C", 1.0), ("C_other", POWER)):
            estimate = found[size, cost]
            alpha, slope = ALPHA / factor, kappa / factor
            assert estimate["alpha"].value == pytest.approx(alpha, rel=1e-6)
            assert estimate["beta"].value == pytest.approx(BETA, rel=1e-6)
            assert estimate[OPTIMAL].value == pytest.approx(BETA / (alpha + slope * BETA), rel=1e-6)
    # The optimum is the same runs whatever they are called: the exponents differ by the power between the counts.
    assert found["N_other", "C"][OPTIMAL].value == pytest.approx(POWER * found["N", "C"][OPTIMAL].value, rel=1e-6)


def test_intervals_hold_the_truth_and_the_spread_is_shown() -> None:
    found = audit(powers(noise=0.003), law("chinchilla"), replicates=200)
    for each in found:
        for estimate in each.exponents.values():
            assert estimate.interval[0] < estimate.value < estimate.interval[1]
    own = next(each for each in found if (each.N, each.C) == ("N", "C"))
    assert own.exponents["alpha"].interval[0] < ALPHA < own.exponents["alpha"].interval[1]
    assert own.exponents[OPTIMAL].interval[0] < BETA / (ALPHA + BETA) < own.exponents[OPTIMAL].interval[1]
    low, high = spread(found)["alpha"]
    assert high / low == pytest.approx(POWER, rel=0.01)


def test_a_cost_column_that_repeats_another_counts_once_and_a_missing_one_is_added() -> None:
    columns = dict(powers().columns)
    del columns["C_other"]
    pairs = [(each.N, each.C) for each in of_law(Table.of(columns), "chinchilla")]
    assert pairs == [("N", "C"), ("N", "6 N_other D"), ("N_other", "C"), ("N_other", "6 N_other D")]


def test_a_law_of_compute_is_refitted_under_every_pair() -> None:
    found = of_law(powers(), "overtraining")
    assert len(found) == 4
    assert len({each.value for each in found}) == 4
    found = of_law(powers(), "power")
    assert [(each.N, each.C) for each in found] == [("N", ""), ("N_other", "")]
    with pytest.raises(InputError, match="no count of N or C to audit"):
        audit(powers(), law("power:D"))


def test_isoflop_minima_are_audited_where_runs_line_up() -> None:
    C, step = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e17, 1e20, 6), np.arange(-5, 6)))
    N = 0.1 * C**0.5 * 1.5**step
    D = C / (6 * N)
    loss = 1.7 + 400 / N**0.3 + 400 / D**0.3
    other = 0.05 * N**POWER
    found = audit(Table.of({"N": N, "N_other": other, "D": D, "C": C, "loss": loss}), law("chinchilla"), replicates=20)
    isoflop = {(each.N, each.C): each.exponents[OPTIMAL].value for each in found if each.source == "isoflop"}
    assert set(isoflop) == {("N", "C"), ("N_other", "C")}  # under 6 N_other D the runs form no budgets
    assert isoflop["N_other", "C"] == pytest.approx(POWER * isoflop["N", "C"], rel=1e-6)
    parametric = next(each for each in found if (each.source, each.N, each.C) == ("law", "N", "C"))
    assert parametric.exponents[OPTIMAL].value == pytest.approx(isoflop["N", "C"], abs=0.003)


def test_a_faulty_column_is_named_and_the_others_are_audited() -> None:
    columns = dict(powers().columns)
    columns["C_other"] = np.where(np.arange(36) == 4, -1.0, columns["C_other"])
    found = of_law(Table.of(columns), "chinchilla")
    refused = [each for each in found if each.status == "refused"]
    assert [(each.N, each.C) for each in refused] == [("N", "C_other"), ("N_other", "C_other")]
    assert refused[0].reason.startswith("row 5, column C_other is -1")
    assert sum(bool(each.exponents) for each in found) == 4  # C, and 6 N_other D in the place of the faulty one
    with pytest.raises(InputError, match="needs the columns N"):
        audit(Table.of({"D": columns["D"], "loss": columns["loss"]}), law("chinchilla"))


def test_a_table_of_one_convention_says_so() -> None:
    table = powers()
    alone = replace(table, columns={name: table.columns[name] for name in ("N", "D", "loss")})
    shown = describe(audit(alone, law("chinchilla"), replicates=100))
    assert "only one convention in the table, N = N" in shown
    assert "moves from" not in shown


def test_run_records_are_audited_in_all_their_conventions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "optimal N moves from" in capsys.readouterr().out
    assert command("--json", "-") == 0
    content = json.loads(capsys.readouterr().out)
    pairs = {(each["N"], each["C"]) for each in content["conventions"] if each["source"] == "law"}
    assert {N for N, _ in pairs} == {"N", "N_non_embedding", "N_non_embedding_and_head"}
    costs = {"C", "C_non_embedding", "C_non_embedding_and_head", "C_exact", "C_exact_causal"}
    assert {C for _, C in pairs} == costs
    own = next(each for each in content["conventions"] if (each["N"], each["C"]) == ("N", "C"))
    assert own["exponents"]["alpha"]["value"] == pytest.approx(ALPHA, rel=1e-5)
    low, high = content["spread"][OPTIMAL]
    assert high - low > 0.05
    with pytest.raises(InputError, match=r"no convention could be fitted: refused \(too_few_points\)"):
        command("--where", "S == 1000")
    assert "refused" not in capsys.readouterr().out
