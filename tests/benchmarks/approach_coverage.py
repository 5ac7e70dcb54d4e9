"""Coverage of the 95 % interval of the exponent of the optimal size, for each of the three approaches.

The studies are noisy samples of a true additive law. The verdict "disagree" should be rare: noise alone causes it.

The baseline is the first approach as published: a line through the sizes with the lowest loss at 1,500 values of C,
with losses interpolated between the horizons of a size, and the interval of that line.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from tests.support.true_laws import TRUTHS, exponent, isoflop_grid, ladder
from windtunnel.analysis.compute_optimal.approaches import compare_approaches
from windtunnel.analysis.compute_optimal.size_curve import size_curves
from windtunnel.analysis.tables.table import Table

TRUTH = TRUTHS[1]
DESIGNS = {
    "7 sizes x 6 horizons, 0.3 %": lambda seed: ladder(TRUTH, noise=0.003, seed=seed),
    "16 sizes x 7 horizons, 0.4 %": lambda seed: ladder(
        TRUTH, sizes=16, ratio=1.4, horizons=7, reach=10.0, noise=0.004, seed=seed
    ),
    "8 budgets of 25 sizes, 0.4 %": lambda seed: isoflop_grid(TRUTH, noise=0.004, seed=seed),
}
Estimate = tuple[float, tuple[float, float]]  # the exponent and its interval


def line_through_lowest_sizes(table: Table, num_budgets: int = 1500) -> Estimate:
    """The exponent of a line through the sizes with the lowest loss, with its least-squares interval.

    Legend: S sizes, G budgets, P horizons of a size.
    """
    curves, _ = size_curves(table)
    log_C_G = np.linspace(
        min(curve.horizons[0] for curve in curves), max(curve.horizons[-1] for curve in curves), num_budgets
    )
    loss_SG = np.full((len(curves), num_budgets), np.inf)
    for row, curve in enumerate(curves):
        order = np.argsort(curve.log_C_P)
        loss_SG[row] = np.interp(log_C_G, curve.log_C_P[order], curve.log_loss_P[order], left=np.inf, right=np.inf)
    log_N_G = np.array([curve.log_N for curve in curves])[np.argmin(loss_SG, axis=0)]
    (slope, _), covariance = np.polyfit(log_C_G, log_N_G, 1, cov=True)
    half = 1.96 * float(np.sqrt(covariance[0, 0]))
    return float(slope), (float(slope) - half, float(slope) + half)


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=60, help="noisy studies of each design; default 60")
    num_studies = parser.parse_args(arguments).studies
    truth = exponent(TRUTH)
    print(f"true exponent a = {truth:.4f}; over {num_studies} studies: coverage, mean and standard deviation of a")
    for name, make_table in DESIGNS.items():
        start = time.perf_counter()
        tables = [make_table(seed) for seed in range(num_studies)]
        results = [compare_approaches(table, seed=seed) for seed, table in enumerate(tables)]
        seconds = (time.perf_counter() - start) / num_studies
        disagree = sum(result.verdict == "disagree" for result in results) / num_studies
        print(f"{name}: {100 * disagree:.1f} % disagree, {seconds:.2f} s per study")
        for index, approach in enumerate(results[0].approaches):
            exponents = [result.approaches[index].exponent_N for result in results]
            estimates = [(value.value, value.interval) for value in exponents if value is not None]
            _print_row(approach.name, estimates, truth)
        _print_row("baseline", [line_through_lowest_sizes(table) for table in tables], truth)


def _print_row(name: str, estimates: list[Estimate], truth: float) -> None:
    if not estimates:
        print(f"  {name:<18} no estimate in any study")
        return
    values = np.array([value for value, _ in estimates])
    covered = np.mean([low <= truth <= high for _, (low, high) in estimates])
    print(f"  {name:<18}{100 * covered:6.1f} %  {values.mean():.4f}  {values.std():.4f}  ({len(estimates)} estimates)")


if __name__ == "__main__":
    main(sys.argv[1:])
