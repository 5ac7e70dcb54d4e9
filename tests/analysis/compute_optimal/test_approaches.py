"""The three approaches compared: agreement on a true law, disagreement on another, refusals, and the command."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.paths import PUBLIC_DATA
from tests.support.true_laws import TRUTHS, best_size, exponent, isoflop_grid, ladder
from windtunnel.analysis.compute_optimal.approaches import compare_approaches
from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop
from windtunnel.analysis.compute_optimal.isoflop_interpolated import fit_interpolated_isoflop
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli.approaches import add_arguments, run
from windtunnel.train.errors import InputError

TRUTH = TRUTHS[1]


def dense(noise: float, seed: int = 0) -> Table:
    """A grid that every approach can use, with no two runs of equal compute."""
    return ladder(TRUTH, sizes=16, ratio=1.4, horizons=7, reach=10.0, noise=noise, seed=seed)


@pytest.mark.slow
def test_all_three_agree_on_exact_losses() -> None:
    result = compare_approaches(dense(0.0), [1e18])
    assert [approach.status for approach in result.approaches] == ["converged"] * 3
    assert result.verdict == "agree"
    for approach in result.approaches:
        assert approach.exponent_N is not None
        assert approach.exponent_D is not None
        assert approach.exponent_N.value == pytest.approx(exponent(TRUTH), abs=0.004)
        assert approach.exponent_N.value + approach.exponent_D.value == pytest.approx(1.0, abs=0.002)
        assert np.exp(approach.optima[0].log_N.value) == pytest.approx(float(best_size(TRUTH, 1e18)), rel=0.04)
        assert approach.optima[0].log_N.value + approach.optima[0].log_D.value == pytest.approx(
            np.log(1e18 / 6), abs=0.01
        )
    E, A, B, alpha, beta = TRUTH
    N = float(best_size(TRUTH, 1e18))
    assert result.approaches[2].optima[0].loss == pytest.approx(E + A / N**alpha + B / (1e18 / 6 / N) ** beta, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["dense", "isoflop"])
def test_noise_alone_is_seldom_a_disagreement(grid: str) -> None:
    """12 studies of a true additive law: at most one disagrees, and each approach's 95 % interval of the exponent
    contains the truth in 10 or more.
    """
    make = {"dense": dense, "isoflop": lambda noise, seed: isoflop_grid(TRUTH, noise=noise, seed=seed)}[grid]
    studies = [compare_approaches(make(0.004, seed), seed=seed) for seed in range(12)]
    assert sum(study.verdict == "disagree" for study in studies) <= 1
    for place in range(3):
        estimates = [study.approaches[place].exponent_N for study in studies]
        ends = [each.interval for each in estimates if each is not None]
        assert len(ends) >= 11
        assert sum(low <= exponent(TRUTH) <= high for low, high in ends) >= 10


def wasted_warmup() -> Table:
    """Small models waste half their tokens on a warm-up of fixed length, so that no additive law is true."""
    table = isoflop_grid(TRUTH, noise=0.001)
    *_, B, _, beta = TRUTH
    size, tokens = table.columns["N"], table.columns["D"]
    useful = tokens / (1 + (3e8 / size) ** 0.9)
    loss = table.columns["loss"] + B / useful**beta - B / tokens**beta
    return Table.from_columns({**table.columns, "loss": loss})


@pytest.mark.slow
def test_wrong_law_disagrees_with_the_other_approaches() -> None:
    """The first two approaches assume no law and agree; the third gives another exponent, with a note."""
    result = compare_approaches(wasted_warmup())
    disagree = {
        (difference.one, difference.other): difference.disagree
        for difference in result.differences
        if difference.quantity == "a"
    }
    assert disagree == {
        ("envelope", "isoflop"): False,
        ("envelope", "parametric"): True,
        ("isoflop", "parametric"): True,
    }
    assert result.verdict == "disagree"
    assert "envelope and parametric, isoflop and parametric" in result.sentence
    assert any("times the noise: it does not describe these runs" in note for note in result.approaches[2].notes)


@pytest.mark.slow
def test_errors_of_approaches_are_correlated() -> None:
    """The paired difference of two approaches is more precise than independent intervals suggest."""
    result = compare_approaches(dense(0.004))
    envelope, isoflop, _ = result.approaches
    assert envelope.exponent_N is not None
    assert isoflop.exponent_N is not None
    one, other = envelope.exponent_N.noise_R[:400], isoflop.exponent_N.noise_R[:400]
    assert np.corrcoef(one, other)[0, 1] > 0.3
    assert np.var(one - other) < np.var(one) + np.var(other)


@pytest.mark.slow
def test_interpolated_budgets_give_the_exponent_where_none_line_up() -> None:
    table = dense(0.002)
    assert fit_isoflop(table, replicates=50).status != "converged"
    result = fit_interpolated_isoflop(table, replicates=200)
    assert result.size is not None
    assert result.size.interval[0] <= exponent(TRUTH) <= result.size.interval[1]
    assert result.size.exponent == pytest.approx(exponent(TRUTH), abs=0.01)
    lowest, highest = table.columns["C"].min(), table.columns["C"].max()
    assert all(lowest < minimum.C < highest for minimum in result.minima)
    by_all = compare_approaches(table)
    assert any("interpolated to common budgets" in note for note in by_all.approaches[1].notes)


@pytest.mark.slow
def test_budgets_that_line_up_are_not_interpolated() -> None:
    table = isoflop_grid(TRUTH, noise=0.002)
    alone, isoflop = fit_isoflop(table).size, compare_approaches(table).approaches[1]
    assert alone is not None
    assert isoflop.exponent_N is not None
    assert (isoflop.exponent_N.value, isoflop.exponent_N.interval) == (alone.exponent, alone.interval)
    assert isoflop.notes == ()


@pytest.mark.slow
def test_refused_approaches_have_a_reason() -> None:
    result = compare_approaches(ladder(TRUTH, noise=0.001))  # two or three sizes at any one budget
    assert [approach.refused for approach in result.approaches] == [False, True, False]
    assert "0 budgets with a minimum" in result.approaches[1].reason
    assert result.verdict == "agree"
    assert "two approaches" in result.sentence
    one_size = ladder(TRUTH).select("N < 4e5")
    result = compare_approaches(one_size)
    assert [approach.status for approach in result.approaches] == ["one_size", "too_few_points", "too_few_points"]
    assert (result.verdict, result.differences) == ("too_few_approaches", ())
    table = ladder(TRUTH)
    flat = compare_approaches(Table.from_columns({**table.columns, "loss": np.full(len(table), 3.0)}))
    assert [approach.refused for approach in flat.approaches] == [True] * 3
    assert flat.approaches[2].status == "not_identified"
    assert flat.sentence == "no comparison: none of the three has an answer"


@pytest.mark.slow
def test_compute_column_is_used_as_it_is() -> None:
    table = dense(0.0)
    kappa = 0.8  # C = c N^0.8 D
    flops = table.columns["C"] * (table.columns["N"] / 1e6) ** (kappa - 1)
    result = compare_approaches(Table.from_columns({**table.columns, "C": flops}))
    *_, alpha, beta = TRUTH
    for approach in result.approaches:
        assert approach.exponent_N is not None
        assert approach.exponent_D is not None
        assert approach.exponent_N.value == pytest.approx(beta / (alpha + kappa * beta), abs=0.006)
        assert approach.exponent_D.value == pytest.approx(alpha / (alpha + kappa * beta), abs=0.006)
    assert any("C is the table's own column" in note for note in result.notes)


@pytest.mark.slow
def test_mid_run_evaluations_are_noted() -> None:
    table = ladder(TRUTH, noise=0.001)
    progress = np.where(np.arange(len(table)) % 6 == 5, 1.0, 0.5)
    result = compare_approaches(Table.from_columns({**table.columns, "progress": progress}))
    assert any("mid-run evaluations were used" in note for note in result.notes)


@pytest.mark.slow
def test_approaches_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = isoflop_grid(TRUTH, noise=0.002).columns
    path = tmp_path / "points.csv"
    rows = zip(*(columns[name].tolist() for name in ("N", "C", "loss")), strict=True)
    path.write_text("Model Size,Training FLOP,loss\n" + "".join(f"{n!r},{c!r},{x!r}\n" for n, c, x in rows))

    def command(*words: str) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return run(parser.parse_args([str(path), "--columns", "N=`Model Size`,C=`Training FLOP`", *words]))

    assert command("--flops", "1e20", "--flops", "1e21") == 0
    shown = capsys.readouterr().out
    assert "isoFLOP minima" in shown
    assert "the three approaches agree within noise" in shown
    assert command("--json", "-") == 0
    content = json.loads(capsys.readouterr().out)
    assert [each["approach"] for each in content["approaches"]] == ["envelope", "isoflop", "parametric"]
    assert content["verdict"] == "agree"
    assert content["budgets"] == pytest.approx([1e20, 1e21])
    low, high = content["approaches"][2]["exponent_N"]["interval"]
    assert low < exponent(TRUTH) < high
    assert {difference["quantity"] for difference in content["differences"]} == {"a", "b", "log N"}
    with pytest.raises(InputError, match=r"envelope refused \(one_size\): .*; isoflop refused .*; parametric refused"):
        command("--where", f"N < {1.01 * float(columns['N'].min())!r}")
    assert "none of the three has an answer" in capsys.readouterr().out
    with pytest.raises(InputError, match="a budget of -1 FLOPs"):
        command("--flops", "-1")
    with pytest.raises(InputError, match=r"times beyond the data in C, more than 30: .* pass allow_extrapolation=True"):
        command("--flops", "1e20", "--flops", "1e30")
    assert command("--flops", "1e30", "--allow-extrapolation") == 0
    assert "at C = 1e+30 FLOPs" in (shown := capsys.readouterr().out)
    assert "note: the target is 1e+10 times beyond the data in C, more than the 30 a prediction is trusted to" in shown
    path.write_text(path.read_text() + "1e8,1e19,\n")
    with pytest.raises(InputError, match="column loss is missing or not a number"):
        command()


@pytest.mark.slow
@pytest.mark.skipif(
    not (PUBLIC_DATA / "porian_isoflop").is_dir(), reason="the public tables are not beside the project"
)
def test_published_exponent_by_the_first_two_approaches() -> None:
    """Both approaches give the published exponent of the tuned setup, 0.4969."""
    points = load_table(
        PUBLIC_DATA / "porian_isoflop" / "isoflop_points_flat.csv",
        columns="C=flops,N=n,D=tokens",
        where="experiment == 'rw/tuned/short/const/standard/val'",
    )
    result = compare_approaches(points)
    for approach in result.approaches[:2]:
        assert approach.exponent_N is not None
        assert approach.exponent_N.value == pytest.approx(0.4969, abs=0.02)
        assert approach.exponent_N.interval[0] < 0.4969 < approach.exponent_N.interval[1]
