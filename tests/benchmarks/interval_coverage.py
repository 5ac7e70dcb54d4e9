"""How often a 90 % prediction interval at 8x N and 8x D holds what it is about, over 500 noisy studies at three noise
levels on two designs: the loss of a new run, and (without seed noise in the interval) the law's own value.

The peer is the percentile interval of a bootstrap of the same studies' runs, which is what most fits report.
"""

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np

from windtunnel.analysis.fitting.bootstrap import bootstrap_weights
from windtunnel.analysis.fitting.noise import residual_noise
from windtunnel.analysis.laws import law
from windtunnel.analysis.laws.law import Array, Columns
from windtunnel.analysis.prediction.prediction_interval import interval_batch
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import choose_starts

TRUTH = {"E": 1.2, "A": 60.0, "B": 250.0, "alpha": 0.35, "beta": 0.35}
STARTS = 4


@dataclass(frozen=True)
class Studies:
    """Many noisy repeats of one design, each fitted. Legend: P points, R studies, K parameters."""

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
    parameters: dict[str, float] = TRUTH,
) -> Studies:
    """A ladder of sizes up to 10M parameters, each at several token budgets of 5 to 160 tokens per parameter."""
    size_P = np.repeat(np.geomspace(3e5, 1e7, sizes), budgets)
    columns = {"N": size_P, "D": size_P * np.tile(np.geomspace(5, 160, budgets), sizes)}
    at = {name: np.array([8 * column.max()]) for name, column in columns.items()}
    found = law("chinchilla")
    generator = np.random.default_rng(seed)
    target_RP = found.predict_one(parameters, columns) * np.exp(
        noise * generator.standard_normal((num_studies, len(size_P)))
    )
    truth = float(found.predict_one(parameters, at)[0])
    new_R = truth * np.exp(noise * generator.standard_normal(num_studies))
    problem = Problem.of(found, columns, target_RP, np.ones(len(size_P)), parse_objective(objective))
    start_RSK = np.stack([choose_starts(replace(problem, target=target_P), STARTS) for target_P in target_RP])
    solved = [problem.solve(start_RSK[:, start], problem.deltas()) for start in range(STARTS)]
    best_R = np.argmin(np.stack([each.value_R for each in solved]), axis=0)
    internal_RK = np.stack([each.internal_RK for each in solved])[best_R, np.arange(num_studies)]
    return Studies(problem, internal_RK, at, truth, new_R, np.arange(len(size_P)))


def coverage(studies: Studies, level: float = 0.9) -> tuple[float, float]:
    """The share of studies whose interval holds the new run's loss, and of those whose interval of the law's value
    holds the truth.
    """
    noise = residual_noise(studies.problem, studies.internal_RK)
    asked = (studies.problem, noise, studies.at, studies.run_P, level)
    low_R, high_R = (ends_RQ[:, 0] for ends_RQ in interval_batch(*asked))
    of_run = float(np.mean((low_R <= studies.new_R) & (studies.new_R <= high_R)))
    low_R, high_R = (ends_RQ[:, 0] for ends_RQ in interval_batch(*asked, new_run=False))
    return of_run, float(np.mean((low_R <= studies.truth) & (studies.truth <= high_R)))


def percentile_coverage(studies: Studies, replicates: int = 100, level: float = 0.9) -> float:
    """The same for the law's value by percentiles of a bootstrap over runs."""
    inside = 0
    for study, internal_K in enumerate(studies.internal_RK):
        weights_RP = bootstrap_weights(studies.run_P, replicates, len(internal_K), study)
        target_P = np.atleast_2d(studies.problem.target)[study]
        own = replace(studies.problem, target=target_P, weights=weights_RP)
        found = own.solve(np.tile(internal_K, (replicates, 1)), own.deltas()[-2:], max_iterations=60, tolerance=1e-6)
        loss_R = own.coordinates.predict(found.internal_RK, studies.at)[:, 0]
        low, high = np.quantile(loss_R, [(1 - level) / 2, (1 + level) / 2])
        inside += bool(low <= studies.truth <= high)
    return inside / len(studies.internal_RK)


def main(num_studies: int = 500) -> None:
    print("design  noise    new run   law's value   percentiles (peer)   seconds")
    for sizes, budgets in ((5, 4), (6, 7)):
        for noise in (0.002, 0.005, 0.01):
            began = time.perf_counter()
            studies = make_studies(sizes, budgets, noise, num_studies)
            of_run, of_value = coverage(studies)
            took = time.perf_counter() - began
            peer = percentile_coverage(studies)
            print(
                f"{sizes} x {budgets}   {100 * noise:.1f} %   {100 * of_run:6.1f} %   {100 * of_value:9.1f} %"
                f"   {100 * peer:16.1f} %   {took:7.1f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    main(parser.parse_args().studies)
