"""Coverage of the 90 % intervals of the optimal size and of its exponent at 10 times the largest budget.

Over 500 noisy studies of two designs at 0.5 % noise, for two truths: with the lower irreducible loss, many fits end at
a bound. "open" is the share of unbounded intervals, which always cover. The baseline is the percentile interval of a
bootstrap over the runs of the same studies.

Legend: P points, R studies or replicates, K parameters.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.benchmarks.interval_coverage import Studies, make_studies
from tests.support.true_laws import EQUAL_EXPONENTS
from windtunnel.analysis.compute_optimal.frontier import frontier
from windtunnel.analysis.compute_optimal.optimum import OPEN_FACTOR
from windtunnel.analysis.fitting.bootstrap import bootstrap_replicates
from windtunnel.analysis.fitting.result import Fit, Points
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.prediction.delta_method import quantity_interval

BEYOND = 10.0
LOW_IRREDUCIBLE_LOSS = {**EQUAL_EXPONENTS, "E": 0.02, "alpha": 0.15, "beta": 0.15, "A": 6.0, "B": 9.0}
CASES = {"": EQUAL_EXPONENTS, "low E": LOW_IRREDUCIBLE_LOSS}


def fit_of(studies: Studies, study: int) -> Fit:
    """The fit of one study."""
    problem = studies.problem
    target_P = np.atleast_2d(problem.target)[study]
    natural_K = problem.coordinates.to_natural(studies.internal_RK[study : study + 1])[0]
    return Fit(
        law=problem.law,
        objective=problem.objective.name,
        parameters=dict(zip(problem.law.names, natural_K.tolist(), strict=True)),
        value=math.nan,
        status="converged",
        reason="",
        not_identified=(),
        intervals={},
        interval_method="none",
        num_points=len(target_P),
        seconds=0.0,
        table_digest="",
        seed_noise=None,
        certificate=None,
        points=Points(problem.columns, target_P, np.ones(len(target_P)), studies.run_P.astype(str)),
    )


def coverage(studies: Studies, truth: dict[str, float]) -> dict[str, float]:
    """Shares of the studies: size covered, exponent covered, size interval unbounded ("open"), fit at a bound."""
    additive = get_law("chinchilla")
    log_C = math.log(BEYOND * 6 * float(studies.problem.columns["N"].max() * studies.problem.columns["D"].max()))
    row_1K = np.array([[truth[name] for name in additive.names]])
    log_N, exponent = (
        float(frontier(additive, row_1K, log_C).log_N[0]),
        truth["beta"] / (truth["alpha"] + truth["beta"]),
    )
    alpha, beta = additive.names.index("alpha"), additive.names.index("beta")

    def size(rows_RK: Array) -> Array:
        return frontier(additive, rows_RK, log_C).log_N

    def slope(rows_RK: Array) -> Array:
        return np.asarray(rows_RK[:, beta] / (rows_RK[:, alpha] + rows_RK[:, beta]))

    lower_K, upper_K = studies.problem.coordinates.lower_K, studies.problem.coordinates.upper_K
    at_bound_RK = (studies.internal_RK <= lower_K + 1e-6) | (studies.internal_RK >= upper_K - 1e-6)
    covers_size, covers_exponent, is_open = [], [], []
    for study in range(len(studies.internal_RK)):
        fit = fit_of(studies, study)
        low, high = quantity_interval(fit, size)
        is_open.append(high - low > math.log(OPEN_FACTOR))
        covers_size.append(low <= log_N <= high)
        low, high = quantity_interval(fit, slope)
        covers_exponent.append(low <= exponent <= high)
    flags = {"size": covers_size, "exponent": covers_exponent, "open": is_open, "at a bound": at_bound_RK.any(axis=1)}
    return {name: float(np.mean(values)) for name, values in flags.items()}


def percentile_coverage(studies: Studies, truth: dict[str, float], replicates: int = 100) -> float:
    """The share of studies whose bootstrap percentiles cover the optimal size."""
    additive = get_law("chinchilla")
    log_C = math.log(BEYOND * 6 * float(studies.problem.columns["N"].max() * studies.problem.columns["D"].max()))
    log_N = float(frontier(additive, np.array([[truth[name] for name in additive.names]]), log_C).log_N[0])
    covered = 0
    for study, internal_K in enumerate(studies.internal_RK):
        problem = replace(studies.problem, target=np.atleast_2d(studies.problem.target)[study])
        natural_KR = bootstrap_replicates(problem, internal_K, studies.run_P, replicates, study)
        sizes_R = frontier(additive, natural_KR.T, log_C).log_N
        low, high = np.nanquantile(sizes_R, [0.05, 0.95])
        covered += bool(low <= log_N <= high)
    return covered / len(studies.internal_RK)


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500, help="noisy studies of each case; default 500")
    num_studies = parser.parse_args(arguments).studies
    print("design  noise   truth       best size   exponent    open   at a bound   percentiles (baseline)   seconds")
    for sizes, budgets in ((5, 4), (6, 7)):
        for case, truth in CASES.items():
            start = time.perf_counter()
            studies = make_studies(sizes, budgets, 0.005, num_studies, parameters=truth)
            shares = {name: 100 * share for name, share in coverage(studies, truth).items()}
            seconds = time.perf_counter() - start
            baseline = percentile_coverage(studies, truth)
            print(
                f"{sizes} x {budgets}    0.5 %   {case:<9}   {shares['size']:7.1f} %   {shares['exponent']:6.1f} %"
                f"   {shares['open']:3.0f} %   {shares['at a bound']:8.0f} %"
                f"   {100 * baseline:20.1f} %   {seconds:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
