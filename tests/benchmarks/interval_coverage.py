"""Coverage of 90 % prediction intervals at 8x N and 8x D, over 500 noisy studies at three noise levels on two designs.

"new run" is the interval of the loss of a new run. "law's value" is the interval without seed noise, of the law's own
value. The baseline, "percentiles", is the percentile interval of a bootstrap over the runs, which most fits report.

Legend: P points, R studies, K parameters, Q queries.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tests.support.batch_fits import fit_batch
from tests.support.true_laws import EQUAL_EXPONENTS
from windtunnel.analysis.fitting.bootstrap import bootstrap_weights
from windtunnel.analysis.fitting.noise import residual_noise
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array, Columns
from windtunnel.analysis.prediction.prediction_interval import interval_batch
from windtunnel.analysis.solver.problem import Problem

NUM_STARTS = 4
INTERVAL_LEVEL = 0.9


@dataclass(frozen=True)
class Studies:
    """Many noisy studies of one design, each fitted."""

    problem: Problem
    internal_RK: Array
    at: Columns
    truth: float
    new_R: Array  # the loss of a new run at the target
    run_P: Array


def make_studies(
    sizes: int,
    budgets: int,
    noise: float,
    num_studies: int,
    seed: int = 0,
    objective: str = "log-huber:1e-3",
    parameters: dict[str, float] = EQUAL_EXPONENTS,
) -> Studies:
    """Sizes up to 10M parameters, each at several token budgets of 5 to 160 tokens per parameter."""
    size_P = np.repeat(np.geomspace(3e5, 1e7, sizes), budgets)
    columns = {"N": size_P, "D": size_P * np.tile(np.geomspace(5, 160, budgets), sizes)}
    at = {name: np.array([8 * column.max()]) for name, column in columns.items()}
    law = get_law("chinchilla")
    generator = np.random.default_rng(seed)
    target_RP = law.predict_one(parameters, columns) * np.exp(
        noise * generator.standard_normal((num_studies, len(size_P)))
    )
    truth = float(law.predict_one(parameters, at)[0])
    new_R = truth * np.exp(noise * generator.standard_normal(num_studies))
    problem, internal_RK = fit_batch(law, columns, target_RP, objective, NUM_STARTS)
    return Studies(problem, internal_RK, at, truth, new_R, np.arange(len(size_P)))


def coverage(studies: Studies, level: float = INTERVAL_LEVEL) -> tuple[float, float]:
    """The share of studies whose interval covers the loss of a new run, and the law's true value."""
    noise = residual_noise(studies.problem, studies.internal_RK)
    inputs = (studies.problem, noise, studies.at, studies.run_P, level)
    low_R, high_R = (ends_RQ[:, 0] for ends_RQ in interval_batch(*inputs))
    of_run = float(np.mean((low_R <= studies.new_R) & (studies.new_R <= high_R)))
    low_R, high_R = (ends_RQ[:, 0] for ends_RQ in interval_batch(*inputs, new_run=False))
    return of_run, float(np.mean((low_R <= studies.truth) & (studies.truth <= high_R)))


def percentile_coverage(studies: Studies, replicates: int = 100, level: float = INTERVAL_LEVEL) -> float:
    """The share of studies whose bootstrap percentiles cover the law's true value."""
    covered = 0
    for study, internal_K in enumerate(studies.internal_RK):
        weights_RP = bootstrap_weights(studies.run_P, replicates, len(internal_K), study)
        target_P = np.atleast_2d(studies.problem.target)[study]
        problem = replace(studies.problem, target=target_P, weights=weights_RP)
        start_RK = np.tile(internal_K, (replicates, 1))
        solution = problem.solve(start_RK, problem.deltas()[-2:], max_iterations=60, tolerance=1e-6)
        loss_R = problem.coordinates.predict(solution.internal_RK, studies.at)[:, 0]
        low, high = np.quantile(loss_R, [(1 - level) / 2, (1 + level) / 2])
        covered += bool(low <= studies.truth <= high)
    return covered / len(studies.internal_RK)


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500, help="noisy studies of each design; default 500")
    num_studies = parser.parse_args(arguments).studies
    print("design  noise    new run   law's value   percentiles (baseline)   seconds")
    for sizes, budgets in ((5, 4), (6, 7)):
        for noise in (0.002, 0.005, 0.01):
            start = time.perf_counter()
            studies = make_studies(sizes, budgets, noise, num_studies)
            of_run, of_value = coverage(studies)
            seconds = time.perf_counter() - start
            baseline = percentile_coverage(studies)
            print(
                f"{sizes} x {budgets}   {100 * noise:.1f} %   {100 * of_run:6.1f} %   {100 * of_value:9.1f} %"
                f"   {100 * baseline:20.1f} %   {seconds:7.1f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
