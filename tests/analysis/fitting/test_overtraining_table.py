"""The over-training law on the table of its paper: printed constants and held-out errors (public data, if present)."""

import csv

import numpy as np
import pytest

from tests.support.paths import PUBLIC_DATA
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.tables.table import Table

TABLE = PUBLIC_DATA / "gadre_overtrain" / "flat_104_models.csv"
SMALL = (10569312, 78914048, 153677376, 411616256)  # fitted: these at M = 20, and the first at M = 320


@pytest.mark.skipif(not TABLE.exists(), reason=f"no public table at {TABLE}: set WINDTUNNEL_PUBLIC_DATA")
@pytest.mark.parametrize(
    ("corpus", "constants", "held_out"),
    [
        (
            "rpj",
            {"E": 1.83665, "eta": 0.1364, "a": 212.2, "b": 366.7},
            {(1439795200, 640): 0.7103, (6889410560, 20): 0.7320},
        ),
        ("c4_original", {"E": 1.50826, "eta": 0.1212, "a": 141.3, "b": 189.5}, {}),
        ("rw_original", {"E": 1.73446, "eta": 0.1272, "a": 157.1, "b": 246.2}, {}),
    ],
)
def test_printed_constants(corpus: str, constants: dict[str, float], held_out: dict[tuple[int, int], float]) -> None:
    with TABLE.open() as file:
        rows = {
            (int(float(row["N"])), int(float(row["tok_mult"]))): row
            for row in csv.DictReader(file)
            if row["dataset"] == corpus and row["loss_c4_val"]
        }

    def columns(chosen: list[tuple[int, int]]) -> dict[str, np.ndarray]:
        size, tokens, loss = (
            np.array([float(rows[key][name]) for key in chosen]) for name in ("N", "D", "loss_c4_val")
        )
        return {"C": 6 * size * tokens, "M": tokens / size, "loss": loss}

    fitted_keys = [(size, 20) for size in SMALL] + [(SMALL[0], 320)]
    fitted = fit(
        Table.from_columns(columns(fitted_keys)), get_law("overtraining"), "mse", allow_few_points=True, profile=False
    )
    assert fitted.status == "converged"
    for name, printed in constants.items():
        assert fitted.parameters[name] == pytest.approx(printed, rel=5e-4), name
    for key, printed in held_out.items():
        at = columns([key])
        error = 100 * abs(fitted.predict(at)[0] / at["loss"][0] - 1)
        assert error == pytest.approx(printed, abs=5e-4)
    assert fit(Table.from_columns(columns(fitted_keys)), get_law("overtraining"), "mse").status == "too_few_points"
