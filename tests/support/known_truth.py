"""A known law, its losses on a grid, and a target beyond it: what the tests of predictions, seals and scores share."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.run_records import record
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws import law
from windtunnel.analysis.prediction.predict import predict
from windtunnel.analysis.prediction.seal import seal
from windtunnel.analysis.tables.table import Table

TRUTH = {"E": 1.2, "A": 60.0, "B": 300.0, "alpha": 0.32, "beta": 0.40}
SIZES, TOKENS = (each.ravel() for each in np.meshgrid(np.geomspace(1e5, 3e6, 5), np.geomspace(1e6, 1e8, 5)))
AT = {"N": 1.2e7, "D": 2e8}


def losses(N: Any, D: Any, noise: float = 0.0, seed: int = 0) -> Any:
    exact = law("chinchilla").predict_one(TRUTH, {"N": np.asarray(N, float), "D": np.asarray(D, float)})
    return exact * np.exp(noise * np.random.default_rng(seed).standard_normal(len(exact)))


def table(noise: float = 0.003, seeds: int = 1) -> Table:
    N, D = np.tile(SIZES, seeds), np.tile(TOKENS, seeds)
    columns = {"N": N, "D": D, "loss": losses(N, D, noise), "seed": np.repeat(np.arange(float(seeds)), len(SIZES))}
    cell = np.tile([f"cell {number}" for number in range(len(SIZES))], seeds)
    return replace(Table.of(columns), cell=cell)


def command(module: Any, *words: str) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    status: int = module.run(parser.parse_args(list(words)))
    return status


def write_csv(path: Path, rows: list[tuple[Any, ...]], header: str = "N,D,loss") -> str:
    path.write_text("\n".join([header, *(",".join(map(repr_of, row)) for row in rows)]) + "\n")
    return str(path)


def repr_of(value: Any) -> str:
    return value if isinstance(value, str) else repr(float(value))


def outcome(loss: float, N: float = AT["N"], D: float = AT["D"]) -> tuple[float, float, float]:
    return N, D, loss


def sealed_file(fitted: Fit, folder: Path, **changes: Any) -> Path:
    return seal(predict(fitted, AT, rivals=False), fitted, folder, **{"results": [], **changes})


def run_at_target(width: int, steps: int, **changes: Any) -> tuple[dict[str, Any], dict[str, float]]:
    run = record(width=width, steps=steps, **changes)
    return run, {"N": float(run["counts"]["parameters"]["total"]), "D": float(run["counts"]["tokens"])}
