"""Approach 1: crossings of known curves, coverage of the intervals, and refusals."""

import numpy as np
import pytest

from tests.support.true_laws import TRUTHS, Truth, best_size, exponent, isoflop_grid, ladder
from windtunnel.analysis.compute_optimal.envelope import fit_envelope
from windtunnel.analysis.compute_optimal.size_curve import size_curves
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize(("ratio", "sizes", "reach"), [(2.0, 7, 6.0), (1.4, 12, 6.0), (4.0, 5, 30.0)])
def test_exact_crossings_give_the_exponent(truth: Truth, ratio: float, sizes: int, reach: float) -> None:
    result = fit_envelope(ladder(truth, ratio=ratio, sizes=sizes, reach=reach, horizons=7), replicates=50)
    assert result.status == "converged"
    assert result.line is not None
    assert 1 / result.line.slope == pytest.approx(exponent(truth), abs=0.004)
    for crossing in (crossing for crossing in result.crossings if crossing.refusal is None):
        assert pytest.approx(float(best_size(truth, crossing.C)), rel=0.06) == crossing.N
        assert pytest.approx(6 * crossing.N * crossing.D, rel=0.01) == crossing.C
        assert crossing.smaller < crossing.N < crossing.larger


def test_neighbors_differ_by_a_factor_of_two_and_no_edge_of_the_grid_is_a_point() -> None:
    table = ladder(TRUTHS[1], ratio=1.4, sizes=12)
    result = fit_envelope(table, replicates=50)
    assert all(crossing.larger / crossing.smaller >= 1.9 for crossing in result.crossings)
    sizes = np.unique(table.columns["N"])
    assert sizes[0] < min(crossing.N for crossing in result.crossings)
    assert max(crossing.N for crossing in result.crossings) < sizes[-1]


@pytest.mark.slow
@pytest.mark.parametrize("truth", TRUTHS[1:])
def test_intervals_cover_the_true_exponent(truth: Truth) -> None:
    """100 studies with 0.3 % noise: 95 % intervals contain the truth in 90 or more (fewer occur once in fifty times),
    and the bias of the exponent is less than a third of its standard deviation.
    """
    fits = [fit_envelope(ladder(truth, noise=0.003, seed=seed), replicates=200, seed=seed).line for seed in range(100)]
    lines = [line for line in fits if line is not None]
    assert len(lines) >= 97
    ends = [line.slope_interval() for line in lines]
    assert sum(1 / high <= exponent(truth) <= 1 / low for low, high in ends) >= 0.9 * len(lines)
    result = np.array([1 / line.slope for line in lines])
    assert abs(result.mean() - exponent(truth)) < result.std() / 3
    assert np.median([1 / low - 1 / high for low, high in ends]) < 8 * result.std()  # the intervals are informative


@pytest.mark.slow
def test_crossings_lost_over_an_edge_do_not_bias_the_line() -> None:
    """On isoFLOP budgets the smallest and largest sizes cross at the ends of the compute. Keeping all those crossings
    gives a mean exponent 0.018 above the truth and intervals that contain it in 86 %; the standard error of the mean of
    50 studies is 0.003.
    """
    truth = TRUTHS[1]
    lines = [
        fit_envelope(isoflop_grid(truth, noise=0.004, seed=seed), replicates=100, seed=seed).line for seed in range(50)
    ]
    usable = [line for line in lines if line is not None]
    assert len(usable) >= 48
    assert abs(np.mean([1 / line.slope for line in usable]) - exponent(truth)) < 0.013
    ends = [line.slope_interval() for line in usable]
    assert sum(1 / high <= exponent(truth) <= 1 / low for low, high in ends) >= 0.9 * len(usable)


def test_seeds_are_averaged_and_give_the_noise() -> None:
    table, generator = ladder(TRUTHS[1]), np.random.default_rng(0)
    twice = {name: np.tile(values, 2) for name, values in table.columns.items()}
    twice["loss"] = twice["loss"] * np.exp(0.002 * generator.standard_normal(len(twice["loss"])))
    cell = np.tile([f"{row}" for row in range(len(table))], 2)
    label = np.array([f"row {row}" for row in range(2 * len(table))])
    result = fit_envelope(Table(twice, {}, label, cell, label, "memory"), replicates=200)
    assert result.noise_from == "seeds"
    assert result.noise == pytest.approx(0.002, rel=0.25)
    assert result.num_sizes == 7
    assert result.line is not None
    low, high = result.line.slope_interval()
    assert 1 / high <= exponent(TRUTHS[1]) <= 1 / low


def test_shared_noise_widens_intervals() -> None:
    """The branches of a trunk share their noise, which moves a crossing more than independent noise does."""
    table = ladder(TRUTHS[1], noise=0.002)
    run = np.array([f"{size:.6g}" for size in table.columns["N"]])
    shared = fit_envelope(Table(table.columns, {}, run, table.cell, table.label, "memory"), replicates=500)
    independent = fit_envelope(table, replicates=500)
    assert np.median([crossing.log_sd for crossing in shared.crossings]) > 1.2 * np.median(
        [crossing.log_sd for crossing in independent.crossings]
    )


def test_row_order_and_rounded_sizes_do_not_matter() -> None:
    table = ladder(TRUTHS[1], noise=0.001)
    order = np.random.default_rng(1).permutation(len(table))
    rounded = {**table.columns, "N": table.columns["N"] * (1 + 0.002 * np.sin(np.arange(len(table))))}
    base, shuffled, jittered = (
        fit_envelope(each, replicates=100) for each in (table, table.take(order), Table.from_columns(rounded))
    )
    assert base.line is not None
    assert shuffled.line is not None
    assert jittered.line is not None
    assert shuffled.line.slope == pytest.approx(base.line.slope, rel=0.01)
    assert len(size_curves(Table.from_columns(rounded))[0]) == 7
    assert jittered.line.slope == pytest.approx(base.line.slope, rel=0.01)


def test_refusals_name_what_is_missing() -> None:
    table = ladder(TRUTHS[1])
    size = table.columns["N"]
    rows = np.arange(len(table))

    def status(chosen: np.ndarray) -> tuple[str, str]:
        result = fit_envelope(table.take(chosen), replicates=50)
        assert result.line is None
        return result.status, result.reason

    assert status(size == size[0]) == ("one_size", "every run has N = 3e+05; crossings need several sizes")
    assert status(rows % 6 == 3)[0] == "one_horizon"
    assert status(rows % 6 < 2)[0] == "one_horizon"  # two horizons do not make a curve
    assert status(size <= 3e5 * 4)[0] == "too_few_crossings"
    assert status(np.isin(size, [3e5, 3e5 * 64]))[0] == "no_overlap"
    # Horizons far above each size's optimum: the larger size is better everywhere.
    long = ladder(TRUTHS[1], reach=4.0)
    beyond = {**long.columns, "D": long.columns["D"] * 50, "C": long.columns["C"] * 50}
    E, A, B, alpha, beta = TRUTHS[1]
    beyond["loss"] = E + A / beyond["N"] ** alpha + B / beyond["D"] ** beta
    result = fit_envelope(Table.from_columns(beyond), replicates=50)
    assert result.status == "too_few_crossings"
    assert {crossing.refusal for crossing in result.crossings} == {"edge"}


def test_reversed_crossings_are_refused() -> None:
    """The larger size is better at small compute and worse at large compute."""
    table = ladder(TRUTHS[1])
    upside_down = {**table.columns, "loss": 100 / table.columns["loss"]}
    result = fit_envelope(Table.from_columns(upside_down), replicates=50)
    assert {crossing.refusal for crossing in result.crossings} == {"reversed"}
    assert result.status == "too_few_crossings"


def test_crossing_hidden_by_noise_is_refused() -> None:
    result = fit_envelope(ladder(TRUTHS[2], noise=0.05, reach=3.0), replicates=200)
    assert result.line is None
    assert {"noise", "edge", "reversed", None} >= {crossing.refusal for crossing in result.crossings}


def test_missing_loss_is_an_error() -> None:
    table = ladder(TRUTHS[1])
    loss = table.columns["loss"].copy()
    loss[3] = np.nan
    with pytest.raises(InputError, match="row 4, column loss is missing or not a number"):
        fit_envelope(Table.from_columns({**table.columns, "loss": loss}))
