"""Coverage of the 95 % interval of the exponent of the optimal size by each of the three approaches, over noisy studies
of a true additive law; and the rate at which noise alone is a disagreement.

The peer is the first approach as published: a line through the sizes with the lowest loss at 1,500 values of C, with
the losses interpolated between a size's horizons, and the interval of that line.
"""

import argparse
import time

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


def staircase(table: Table, places: int = 1500) -> tuple[float, tuple[float, float]]:
    """The exponent through the sizes with the lowest loss, and its least-squares interval."""
    curves, _ = size_curves(table)
    log_C_G = np.linspace(
        min(curve.horizons[0] for curve in curves), max(curve.horizons[-1] for curve in curves), places
    )
    loss_SG = np.full((len(curves), places), np.inf)
    for row, curve in enumerate(curves):
        order = np.argsort(curve.log_C_P)
        loss_SG[row] = np.interp(log_C_G, curve.log_C_P[order], curve.log_loss_P[order], left=np.inf, right=np.inf)
    log_N_G = np.array([curve.log_N for curve in curves])[np.argmin(loss_SG, axis=0)]
    (slope, _), covariance = np.polyfit(log_C_G, log_N_G, 1, cov=True)
    half = 1.96 * float(np.sqrt(covariance[0, 0]))
    return float(slope), (float(slope) - half, float(slope) + half)


def main(num_studies: int = 60) -> None:
    truth = exponent(TRUTH)
    print(f"truth a = {truth:.4f}; of {num_studies} studies: covered, mean, standard deviation")
    for name, make in DESIGNS.items():
        began = time.perf_counter()
        tables = [make(seed) for seed in range(num_studies)]
        results = [compare_approaches(table, seed=seed) for seed, table in enumerate(tables)]
        took = (time.perf_counter() - began) / num_studies
        disagree = sum(result.verdict == "disagree" for result in results) / num_studies
        print(f"{name}: {100 * disagree:.1f} % disagree, {took:.2f} s a study")
        for place, approach in enumerate(results[0].approaches):
            estimates = [result.approaches[place].exponent_N for result in results]
            _print(approach.name, [(each.value, each.interval) for each in estimates if each is not None], truth)
        _print("staircase (peer)", [staircase(table) for table in tables], truth)


def _print(name: str, estimates: list[tuple[float, tuple[float, float]]], truth: float) -> None:
    if not estimates:
        print(f"  {name:<18} refused in every study")
        return
    values = np.array([value for value, _ in estimates])
    covered = np.mean([low <= truth <= high for _, (low, high) in estimates])
    print(f"  {name:<18}{100 * covered:6.1f} %  {values.mean():.4f}  {values.std():.4f}  ({len(estimates)} answered)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=60)
    main(parser.parse_args().studies)
