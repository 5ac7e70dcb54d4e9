"""Coverage of the 90 % intervals of the optimal size and of its exponent at 10 times the largest budget, over 500 noisy
studies: two designs with 0.5 % noise, and a truth whose irreducible loss is so low that many fits end at a bound.

The peer is the percentile interval of a bootstrap over the runs of the same studies. The share of unbounded intervals,
which contain the truth trivially, is printed.
"""

import argparse
import math
import time
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
    """The fit of one study, as of a table."""
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
    """Shares of studies: interval of the optimal size covers, that of its exponent covers, interval unbounded, fit at a
    bound.
    """
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

    coordinates = studies.problem.coordinates
    edge_RK = (studies.internal_RK <= coordinates.lower_K + 1e-6) | (studies.internal_RK >= coordinates.upper_K - 1e-6)
    sizes, slopes, is_open = [], [], []
    for study in range(len(studies.internal_RK)):
        found = fit_of(studies, study)
        low, high = quantity_interval(found, size)
        is_open.append(high - low > math.log(OPEN_FACTOR))
        sizes.append(low <= log_N <= high)
        low, high = quantity_interval(found, slope)
        slopes.append(low <= exponent <= high)
    shares = {"size": sizes, "exponent": slopes, "open": is_open, "edge": edge_RK.any(axis=1)}
    return {name: float(np.mean(each)) for name, each in shares.items()}


def percentile_coverage(studies: Studies, truth: dict[str, float], replicates: int = 100) -> float:
    """Coverage of the optimal size by percentiles of a bootstrap over runs."""
    additive = get_law("chinchilla")
    log_C = math.log(BEYOND * 6 * float(studies.problem.columns["N"].max() * studies.problem.columns["D"].max()))
    log_N = float(frontier(additive, np.array([[truth[name] for name in additive.names]]), log_C).log_N[0])
    inside = 0
    for study, internal_K in enumerate(studies.internal_RK):
        own = replace(studies.problem, target=np.atleast_2d(studies.problem.target)[study])
        natural_KR = bootstrap_replicates(own, internal_K, studies.run_P, replicates, study)
        sizes_R = frontier(additive, natural_KR.T, log_C).log_N
        low, high = np.nanquantile(sizes_R, [0.05, 0.95])
        inside += bool(low <= log_N <= high)
    return inside / len(studies.internal_RK)


def main(num_studies: int = 500) -> None:
    print("design  noise   truth       best size   exponent    open   at a bound   percentiles (peer)   seconds")
    for sizes, budgets in ((5, 4), (6, 7)):
        for case, truth in CASES.items():
            began = time.perf_counter()
            studies = make_studies(sizes, budgets, 0.005, num_studies, parameters=truth)
            found = coverage(studies, truth)
            took = time.perf_counter() - began
            peer = percentile_coverage(studies, truth)
            shown = [100 * found[name] for name in ("size", "exponent", "open", "edge")]
            print(
                f"{sizes} x {budgets}    0.5 %   {case:<9}   {shown[0]:7.1f} %   {shown[1]:6.1f} %   {shown[2]:3.0f} %"
                f"   {shown[3]:8.0f} %   {100 * peer:16.1f} %   {took:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    main(parser.parse_args().studies)
