"""Routed models: the saturating count of experts, recovery, no warnings at odd values."""

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.routed import effective_experts
from windtunnel.analysis.tables.table import Table

LAW = get_law("routed")
TRUTH = {"a": -0.082, "b": -0.091, "c": 0.009, "d": 1.104, "E_start": 1.85, "E_max": 314.0}
SIZES, EXPERTS = (
    grid.ravel()
    for grid in np.meshgrid([1.5e7, 2.5e7, 5.5e7, 1.3e8, 3.7e8, 1.3e9], [1.0, 2, 4, 8, 16, 32, 64, 128, 256, 512])
)
COLUMNS = {"N": SIZES, "experts": EXPERTS}


def test_experts_saturate() -> None:
    values = {name: np.array([[value]]) for name, value in TRUTH.items()}
    effective = effective_experts(values, np.array([1.0, 2.0, 1e12]))[0]
    assert effective[0] == pytest.approx(1.85)
    assert effective[0] < effective[1] < effective[2]
    assert effective[2] == pytest.approx(314.0)


def test_recovers_the_surface() -> None:
    fitted = fit(Table.from_columns({**COLUMNS, "loss": LAW.predict_one(TRUTH, COLUMNS)}), LAW, profile=False)
    assert fitted.status == "converged", fitted.reason
    for name, value in TRUTH.items():
        assert fitted.parameters[name] == pytest.approx(value, rel=1e-6), name


def test_noise_leaves_the_dense_slope_known() -> None:
    loss = LAW.predict_one(TRUTH, COLUMNS) * np.exp(0.003 * np.random.default_rng(0).standard_normal(len(SIZES)))
    fitted = fit(Table.from_columns({**COLUMNS, "loss": loss}), LAW, profile=False)
    dense = {"N": np.array([1e7, 1e9]), "experts": np.ones(2)}
    slope = np.diff(np.log10(fitted.predict(dense)))[0] / 2
    truth = np.diff(np.log10(LAW.predict_one(TRUTH, dense)))[0] / 2
    assert slope == pytest.approx(truth, abs=0.002)


def test_start_above_the_limit_is_no_number_and_no_warning() -> None:
    assert not np.isfinite(LAW.predict_one({**TRUTH, "E_start": 500.0, "E_max": 300.0}, COLUMNS)).all()
