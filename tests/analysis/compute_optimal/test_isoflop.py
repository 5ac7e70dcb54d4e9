"""isoFLOP fits: minima of known curves, refusals, coverage of the intervals, and published exponents."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.paths import PUBLIC_DATA
from tests.support.true_laws import TRUTHS, Truth, best_size, exponent, loss_of
from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop, fit_pairs, group_nearby
from windtunnel.analysis.compute_optimal.isoflop_curve import Form
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli.isoflop import add_arguments, run
from windtunnel.train.errors import InputError

BUDGETS = np.geomspace(1e17, 1e20, 7)


def grid(truth: Truth, ratio: float, noise: float = 0.0, seed: int = 0, sizes: int = 11) -> Table:
    """Sizes about each budget's optimum, off it by a different fraction of their ratio at every budget."""
    steps = np.arange(sizes) - (sizes - 1) / 2
    shift = np.linspace(-0.4, 0.4, len(BUDGETS))
    size = (best_size(truth, BUDGETS)[:, None] * ratio ** (steps + shift[:, None])).ravel()
    flops = np.repeat(BUDGETS, sizes)
    tokens = flops / (6 * size)
    loss = loss_of(truth, size, tokens, noise, seed)
    return Table.from_columns({"N": size, "D": tokens, "C": flops, "loss": loss})


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize(("ratio", "bias"), [(1.25, 0.002), (1.5, 0.005), (2.0, 0.025)])
def test_bias_of_cubic_minima_is_small(truth: Truth, ratio: float, bias: float) -> None:
    result = fit_isoflop(grid(truth, ratio), replicates=50)
    sizes = np.array([minimum.N for minimum in result.minima])
    assert result.status == "converged"
    assert np.abs(np.log(sizes / best_size(truth, BUDGETS))).max() < bias
    assert result.size is not None
    assert result.tokens is not None
    assert result.size.exponent == pytest.approx(exponent(truth), abs=0.004)
    assert result.tokens.exponent == pytest.approx(1 - exponent(truth), abs=0.004)
    assert result.size.at(1e18) == pytest.approx(best_size(truth, np.array(1e18)), rel=0.02)


def test_parabola_of_the_same_window_is_biased() -> None:
    """The cubic is needed: for exponents 0.5 and 0.25 and a tenfold half-window a parabola is off by 18 %."""
    truth = TRUTHS[2]
    E, A, B, alpha, beta = truth
    best = float(best_size(truth, np.array(1e19)))
    log_N = np.linspace(-np.log(10), np.log(10), 41)
    size = best * np.exp(log_N)
    log_loss = np.log(E + A / size**alpha + B / (1e19 / 6 / size) ** beta)
    second, first, _ = np.polyfit(log_N, log_loss, 2)
    assert np.exp(-first / (2 * second)) - 1 > 0.1
    table = Table.from_columns({"N": size, "D": 1e19 / 6 / size, "C": np.full(41, 1e19), "loss": np.exp(log_loss)})
    assert pytest.approx(best, rel=0.01) == fit_isoflop(table, replicates=10).minima[0].N


@pytest.mark.parametrize("form", ["cubic", "spline"])
def test_spline_and_cubic_agree_on_a_fine_grid(form: Form) -> None:
    result = fit_isoflop(grid(TRUTHS[1], 1.3), form=form, replicates=20)
    assert result.size is not None
    assert result.size.exponent == pytest.approx(0.28 / 0.62, abs=0.005)


@pytest.mark.parametrize("form", ["cubic", "spline"])
def test_only_minima_at_an_edge_are_refused(form: Form) -> None:
    table = grid(TRUTHS[1], 1.5)
    best = best_size(TRUTHS[1], table.columns["C"])
    # The cheapest budget keeps the sizes below its optimum, the next budget those above.
    keep = np.where(table.columns["C"] < 2e17, table.columns["N"] < best, True)
    keep &= np.where(np.isclose(table.columns["C"], BUDGETS[1]), table.columns["N"] > best, True)
    result = fit_isoflop(table.take(keep), form=form, replicates=20)
    assert [minimum.refusal for minimum in result.minima] == ["edge", "edge", None, None, None, None, None]
    assert np.isnan(result.minima[0].N)
    assert result.status == "converged"


def test_maxima_are_refused() -> None:
    table = grid(TRUTHS[1], 1.5)
    upside_down = Table.from_columns({**table.columns, "loss": 10 - table.columns["loss"]})
    result = fit_isoflop(upside_down, replicates=20)
    assert {minimum.refusal for minimum in result.minima} == {"maximum"}
    assert (result.status, result.size) == ("too_few_points", None)
    assert "0 budgets with a minimum" in result.reason


def test_few_sizes_and_one_budget_are_refused() -> None:
    table = grid(TRUTHS[1], 1.5, sizes=4)
    assert {minimum.refusal for minimum in fit_isoflop(table, replicates=20).minima} == {"few_sizes"}
    one = grid(TRUTHS[1], 1.5).select("C < 1.5e17")
    assert fit_isoflop(one, replicates=20).status == "one_budget"


def test_minimum_hidden_by_noise_is_refused() -> None:
    flat = grid(TRUTHS[1], 1.02, sizes=5)
    assert {minimum.refusal for minimum in fit_isoflop(flat, noise=0.02, replicates=500).minima} <= {"noise", "edge"}
    assert {minimum.refusal for minimum in fit_isoflop(flat, noise=1e-6, replicates=500).minima} == {None}


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.001, 0.005])
def test_intervals_cover_the_true_exponent(noise: float) -> None:
    """95 % intervals of the exponent over 200 noisy studies: at least as many contain the truth as chance allows."""
    truth = exponent(TRUTHS[1])
    tables = (grid(TRUTHS[1], 1.5, noise, seed) for seed in range(200))
    fits = [fit_isoflop(table, replicates=200, seed=number).size for number, table in enumerate(tables)]
    covered = sum(fit is not None and fit.interval[0] <= truth <= fit.interval[1] for fit in fits)
    assert 182 <= covered <= 200
    widths = [fit.interval[1] - fit.interval[0] for fit in fits if fit is not None]
    assert np.median(widths) < 60 * noise  # the intervals are informative


def test_noise_comes_from_seeds_where_the_table_has_them() -> None:
    table = grid(TRUTHS[1], 1.5)
    generator = np.random.default_rng(0)
    twice = {name: np.tile(values, 2) for name, values in table.columns.items()}
    twice["loss"] = twice["loss"] * np.exp(0.01 * generator.standard_normal(len(twice["loss"])))
    cell = np.tile([f"{row}" for row in range(len(table))], 2)
    label = np.array([f"row {row}" for row in range(2 * len(table))])
    result = fit_isoflop(Table(twice, {}, label, cell, label, "memory"), replicates=100)
    assert result.noise_from == "seeds"
    assert result.noise == pytest.approx(0.01, rel=0.25)
    assert fit_isoflop(table, noise=0.02, replicates=20).noise_from == "given"
    with pytest.raises(InputError, match="noise -1"):
        fit_isoflop(table, noise=-1.0)


def test_runs_of_one_trunk_share_noise() -> None:
    """A factor common to all losses moves no minimum; independent noise does."""
    table = grid(TRUTHS[1], 1.5, 0.003)
    together = Table(table.columns, {}, np.full(len(table), "one"), table.cell, table.label, "memory")
    result = fit_isoflop(together, noise=0.01, replicates=200)
    independent = fit_isoflop(table, noise=0.01, replicates=200)
    assert max(minimum.log_sd for minimum in result.minima) < 1e-9
    assert min(minimum.log_sd for minimum in independent.minima) > 1e-3


def test_budgets_are_grouped_by_compute() -> None:
    flops = np.array([1e18, 2e18, 1.01e18, 2.04e18, 4e18, 0.99e18])
    assert [rows.tolist() for rows in group_nearby(np.log(flops))] == [[5, 0, 2], [1, 3], [4]]
    # A chain of close budgets is not one group.
    assert len(group_nearby(np.log(1e18 * 1.03 ** np.arange(20)))) == 10


def test_pairs_are_weighted_by_their_standard_deviation() -> None:
    flops, sizes = np.geomspace(1e17, 1e20, 6), 0.1 * np.geomspace(1e17, 1e20, 6) ** 0.5
    result = fit_pairs(flops, sizes)
    assert result.exponent == pytest.approx(0.5, abs=1e-12)
    assert result.coefficient == pytest.approx(0.1, rel=1e-9)
    bent = sizes * np.array([1, 1, 1, 1, 1, 2.0])
    spread = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 1e6])
    assert fit_pairs(flops, bent).exponent > 0.53
    assert fit_pairs(flops, bent, spread).exponent == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(InputError, match="2 optimal pairs"):
        fit_pairs(flops[:2], sizes[:2])
    with pytest.raises(InputError, match="row 6: optimal size is nan"):
        fit_pairs(flops, np.append(sizes[:5], np.nan))


def test_isoflop_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = grid(TRUTHS[1], 1.5, 0.002).columns
    rows = zip(*(columns[name] for name in ("N", "D", "C", "loss")), strict=True)
    path = tmp_path / "points.csv"
    path.write_text(
        "params,tokens,flops,val\n"
        + "".join(f"{n!r},{d!r},{c!r},{x!r}\n" for n, d, c, x in ([float(v) for v in row] for row in rows))
    )

    def command(*words: str) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return run(parser.parse_args([str(path), "--columns", "N=params,D=tokens,C=flops,loss=val", *words]))

    assert command("--bootstrap", "100") == 0
    assert "optimal N = " in capsys.readouterr().out
    assert command("--bootstrap", "100", "--json", "-") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["exponent_N"]["value"] == pytest.approx(0.4516, abs=0.05)
    assert len(content["budgets"]) == 7
    with pytest.raises(InputError, match=r"refused \(one_budget\): .* needs 5 sizes or more at each of 3 budgets"):
        command("--where", "flops < 1.5e17")
    shown = capsys.readouterr().out
    assert "1e+17" in shown
    assert "refused (one_budget)" not in shown
    with pytest.raises(InputError, match="row 1 and row 2 have the same C, and --pairs takes one best size"):
        command("--pairs")


PUBLISHED = {
    "rw/base/long/kaplan/kaplan/train": (0.8353, 0.8338),
    "rw/base/long/kaplan/standard/val": (0.7065, 0.7009),
    "rw/base/short/kaplan/standard/val": (0.6020, 0.6035),
    "rw/base/short/chinchilla/standard/val": (0.5715, 0.5714),
    "rw/tuned/short/const/standard/val": (0.4969, 0.4970),
}


@pytest.mark.skipif(
    not (PUBLIC_DATA / "porian_isoflop").is_dir(), reason="the public tables are not beside the project"
)
@pytest.mark.parametrize("setup", PUBLISHED)
def test_published_exponents(setup: str) -> None:
    folder, where = PUBLIC_DATA / "porian_isoflop", f"experiment == '{setup}'"
    pairs = load_table(folder / "optimal_pairs_flat.csv", columns="C=flops,N=n_opt", where=f"{where} and n_std > 0")
    columns = pairs.require("C", "N", "n_std")
    assert round(fit_pairs(columns["C"], columns["N"], columns["n_std"]).exponent, 4) == PUBLISHED[setup][0]
    assert round(fit_pairs(columns["C"], columns["N"]).exponent, 4) == PUBLISHED[setup][1]
    points = load_table(folder / "isoflop_points_flat.csv", columns="C=flops,N=n,D=tokens", where=where)
    result = fit_isoflop(points, replicates=500).size
    assert result is not None
    assert result.interval[0] < PUBLISHED[setup][0] < result.interval[1]


@pytest.mark.skipif(
    not (PUBLIC_DATA / "porian_isoflop").is_dir(), reason="the public tables are not beside the project"
)
@pytest.mark.parametrize("form", ["cubic", "spline"])
def test_tuned_points_give_an_exponent_within_the_published_interval(form: Form) -> None:
    points = load_table(
        PUBLIC_DATA / "porian_isoflop" / "isoflop_points_flat.csv",
        columns="C=flops,N=n,D=tokens",
        where="experiment == 'rw/tuned/short/const/standard/val'",
    )
    result = fit_isoflop(points, form=form, replicates=500).size
    assert result is not None
    assert 0.4907 <= result.exponent <= 0.5045
    assert result.interval[1] - result.interval[0] < 0.06
