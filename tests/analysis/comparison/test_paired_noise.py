"""Paired noise: pairs and units of runs, estimates from residuals, and draws."""

from typing import Any

import numpy as np
import pytest

from tests.benchmarks.contrast_coverage import fit_arm, select_study
from tests.support.true_laws import ARM_COMPUTE, ARM_SEED, ARM_SEEDS, arm
from windtunnel.analysis.comparison.paired_noise import (
    ArmNoise,
    draw_noise,
    estimate_noise,
    pair_correlation,
    pair_runs,
)
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.noise import residual_noise
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.tables.table import Table


def test_runs_pair_by_seed_and_budget() -> None:
    first, second = arm(1.2, 60.0, 0.12), arm(1.2, 69.0, 0.12)
    order = np.random.default_rng(0).permutation(len(ARM_COMPUTE))
    units_a, units_b, pairs = pair_runs(first, second.take(order))
    assert len(pairs) == len(ARM_COMPUTE)
    assert all(order[other] == one for one, other in pairs)
    assert all(units_a[one] == units_b[other] for one, other in pairs)
    assert len(set(units_a.tolist())) == len(ARM_COMPUTE)


def test_trunk_and_all_its_pairs_are_one_unit() -> None:
    trunks = [f"seed {seed:.0f}" for seed in ARM_SEED]
    first = Table.from_columns(arm(1.2, 60.0, 0.12).columns, run=trunks)
    units_a, units_b, pairs = pair_runs(first, arm(1.2, 69.0, 0.12))
    assert len(pairs) == len(ARM_COMPUTE)
    assert len(set(units_a.tolist())) == ARM_SEEDS
    assert units_a.tolist() == units_b.tolist()


@pytest.mark.slow
def test_residuals_give_the_noise_within_and_between_runs() -> None:
    runs, rows = 40, 6
    run = np.repeat(np.arange(runs), rows).astype(str)
    C = np.tile(1e13 * 4.0 ** np.arange(rows), runs)
    within, between = [], []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        noise = 0.002 * generator.standard_normal(len(C)) + 0.004 * np.repeat(generator.standard_normal(runs), rows)
        table = Table.from_columns({"C": C, "loss": (1.2 + 60.0 * C**-0.12) * np.exp(noise)}, run=run.tolist())
        result = fit(table, get_law("power:C"), "log-mse", profile=False)
        points = result.points
        problem = Problem.from_points(
            result.law, points.columns, points.target_P, points.weights_P, parse_objective("log-mse")
        )
        matched = residual_noise(problem, problem.coordinates.to_internal(result.natural_row()))
        noise = estimate_noise(matched, points.weights_P, points.run_P)
        within.append(noise.within**0.5)
        between.append(noise.between**0.5)
        assert noise.degrees == runs - 3
    assert np.mean(within) == pytest.approx(0.002, rel=0.05)
    assert np.mean(between) == pytest.approx(0.004, rel=0.1)


@pytest.mark.slow
def test_noise_of_few_points_is_not_underestimated() -> None:
    """The largest of few residuals is often clipped: without Huber's factor the variance of eight points is estimated
    7 % too small.
    """
    C = 1e13 * 4.0 ** np.arange(8)
    drawn = 0.002 * np.random.default_rng(0).standard_normal((2000, len(C)))
    _, noise = fit_arm(C, (1.2 + 60.0 * C**-0.12) * np.exp(drawn))
    within = [
        estimate_noise(select_study(noise, study), np.ones(len(C)), C.astype(str)).within for study in range(len(drawn))
    ]
    # The standard error of the mean is 1.4 %.
    assert np.mean(within) == pytest.approx(0.002**2, rel=0.045)


def test_draws_have_the_estimated_size_and_correlations() -> None:
    rows = 40
    generator = np.random.default_rng(0)
    common, *own = generator.standard_normal((3, rows))
    arms = [
        ArmNoise(9.0, 16.0, 200.0, np.full(rows, scale), 0.6**0.5 * common + 0.4**0.5 * noise)
        for scale, noise in zip((1.0, 2.0), own, strict=True)
    ]
    pairs = [(row, row) for row in range(rows)]
    units = np.arange(rows) // 2
    rho = pair_correlation(arms, pairs)
    assert rho == pytest.approx(0.6, abs=0.2)
    first, second = draw_noise(arms, pairs, (units, units), 20_000, 0)
    assert first.std() == pytest.approx(5.0, rel=0.03)
    assert second.std() == pytest.approx(10.0, rel=0.03)

    def correlated(one: Any, other: Any) -> float:
        return float(np.corrcoef(one, other)[0, 1])

    assert correlated(first[:, 0], first[:, 1]) == pytest.approx(16 / 25, abs=0.03)  # one run
    assert correlated(first[:, 0], first[:, 2]) == pytest.approx(0.0, abs=0.03)  # two runs
    assert correlated(first[:, 0], second[:, 0]) == pytest.approx(rho, abs=0.03)  # a pair
