"""Seconds of a five-parameter fit: of 240 points with and without intervals, of 500 to 4,000 bootstrap replicates, and
of a thousand to a million points.

The baseline is the `chinchilla` package from PyPI (`pip install -e '.[benchmark]'`) with its documented grid of 3,125
starts, the same objective, no plot and one process. Its fit takes minutes.
"""

import contextlib
import importlib.util
import io
import tempfile
import time
from functools import partial
from typing import Any

import numpy as np

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.tables.table import Table

TRUTH = {"E": 1.8172, "A": 477.8, "B": 2143.0, "alpha": 0.3473, "beta": 0.3672}
OBJECTIVE = "log-huber:1e-3"
REPEATS = 7


def points(num_points: int, noise: float = 0.005) -> Table:
    """Sizes of 44M to 16B over two decades of data, as in the paper with these parameters."""
    generator = np.random.default_rng(0)
    sizes = np.exp(generator.uniform(np.log(4.4e7), np.log(1.6e10), num_points))
    tokens = np.exp(generator.uniform(np.log(3e8), np.log(3e11), num_points))
    columns = {"N": sizes, "D": tokens}
    loss = get_law("chinchilla").predict_one(TRUTH, columns) * np.exp(noise * generator.standard_normal(num_points))
    return Table.from_columns({**columns, "loss": loss})


def baseline_fit(table: Table) -> tuple[float, dict[str, float]]:
    """Seconds and parameters of the `chinchilla` package."""
    import chinchilla  # optional
    from chinchilla._metrics import log_huber

    grid = {name: np.linspace(1, 2, 5) if name == "E" else np.linspace(1, 10, 5) for name in ("E", "a", "b")}
    grid |= {name: np.linspace(0.1, 0.7, 5) for name in ("alpha", "beta")}
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        loss_fn = partial(log_huber, delta=1e-3)
        baseline: Any = chinchilla.Chinchilla(folder, param_grid=grid, loss_fn=loss_fn, log_level=50)
        for size, tokens, loss in zip(*(table.columns[name] for name in ("N", "D", "loss")), strict=True):
            baseline.append(N=size, D=tokens, loss=loss)
        baseline.visualizer.optim = lambda *_, **__: None
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            baseline.fit(parallel=False)
        seconds = time.perf_counter() - start
    return seconds, {name: float(getattr(baseline, name)) for name in TRUTH}


def objective_of(table: Table, parameters: dict[str, float]) -> float:
    columns = table.require("N", "D", "loss")
    prediction_P = get_law("chinchilla").predict_one(parameters, columns)
    return float(parse_objective(OBJECTIVE).value(prediction_P[None], columns["loss"][None])[0])


def main() -> None:
    table = points(240)
    law = get_law("chinchilla")
    fit(table, law)  # imports and first-call costs
    ours = sorted((fit(table, law, OBJECTIVE, profile=False) for _ in range(REPEATS)), key=lambda fit: fit.seconds)
    seconds = ours[REPEATS // 2].seconds
    profiled_seconds = fit(table, law, OBJECTIVE).seconds
    print(f"fit of 240 points        {seconds:9.3f} s  objective {ours[0].value:.8g}  {ours[0].status}")
    print(f"with every profile       {profiled_seconds:9.3f} s")
    if importlib.util.find_spec("chinchilla") is None:
        print("chinchilla package       not installed: pip install -e '.[benchmark]'")
    else:
        baseline_seconds, parameters = baseline_fit(table)
        value = objective_of(table, parameters)
        print(f"chinchilla, 3,125 starts {baseline_seconds:9.1f} s  objective {value:.8g}")
        ratio = value / ours[0].value
        print(f"ratio                    {baseline_seconds / seconds:9.0f} x  objective {ratio:.6f} x ours")
        print(f"ratio, every profile     {baseline_seconds / profiled_seconds:9.0f} x")
    for replicates in (500, 1000, 2000, 4000):
        start = time.perf_counter()
        fit(table, law, OBJECTIVE, profile=False, bootstrap=replicates)
        print(f"{replicates:6,} replicates        {time.perf_counter() - start - seconds:9.2f} s")
    print("   points   optimum, s   with every profile, s   microseconds per point")
    for num_points in (1_000, 10_000, 100_000, 1_000_000):
        large = points(num_points)
        optimum = fit(large, law, OBJECTIVE, profile=False).seconds
        profiled = fit(large, law, OBJECTIVE).seconds
        print(f"{num_points:9,} {optimum:12.2f} {profiled:23.2f} {1e6 * profiled / num_points:24.1f}")


if __name__ == "__main__":
    main()
