"""From a planned family to its exponents: run records as a sweep writes them, with losses of a known law. The fit to
their table recovers the law in every count of parameters.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.support.run_records import TOKENS_PER_STEP, record, write
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.tables.load import load_table

TRUTH = {"E": 1.1, "A": 40.0, "B": 200.0, "alpha": 0.34, "beta": 0.37}
WIDTHS, TOKENS_PER_PARAMETER = (32, 48, 64, 96, 128), (5, 15, 45, 135)
COUNTS = ("N", "N_non_embedding", "N_non_embedding_and_head")


def train(runs: Path, count: str, noise: float, seeds: int = 1) -> None:
    """A family at horizons of equal tokens per parameter, whose losses follow the law in that count."""
    generator = np.random.default_rng(0)
    for width in WIDTHS:
        parameters = record(width=width)["counts"]["parameters"]
        for ratio in TOKENS_PER_PARAMETER:
            steps = round(ratio * parameters["non_embedding"] / TOKENS_PER_STEP)
            for seed in range(seeds):
                run = record(width=width, steps=steps, seed=seed)
                size = {
                    "N": parameters["total"],
                    "N_non_embedding": parameters["non_embedding"],
                    "N_non_embedding_and_head": parameters["non_embedding"] + 256 * width,
                }[count]
                at = {"N": np.array([float(size)]), "D": np.array([float(run["counts"]["tokens"])])}
                loss = float(get_law("chinchilla").predict_one(TRUTH, at)[0])
                run["result"]["validation_nats_per_token"] = loss * float(np.exp(noise * generator.standard_normal()))
                write(runs, run)


@pytest.mark.parametrize("count", COUNTS)
def test_planned_family_recovers_the_exponents(tmp_path: Path, count: str) -> None:
    train(tmp_path, count, noise=0.0)
    fitted = fit(load_table(tmp_path, columns=f"N={count}"), get_law("chinchilla"), profile=False)
    assert fitted.status == "converged"
    assert fitted.num_points == len(WIDTHS) * len(TOKENS_PER_PARAMETER)
    assert fitted.parameters == pytest.approx(TRUTH, rel=1e-6)


def test_seeds_are_measured_and_the_truth_is_in_the_intervals(tmp_path: Path) -> None:
    train(tmp_path, "N", noise=0.004, seeds=3)
    fitted = fit(load_table(tmp_path), get_law("chinchilla"))
    assert fitted.seed_noise == pytest.approx(0.004, rel=0.35)
    for name in ("alpha", "beta", "E"):
        low, high = fitted.intervals[name]
        assert low < TRUTH[name] < high
        assert high - low < 0.5 * TRUTH[name]
