"""The interval of a predicted final loss."""

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from tests.support.synthetic_curves import make_query
from windtunnel.analysis.curves.result import FittedCurveLaw

TRUTH = {"L0": 2.5, "A": 0.05, "C": 0.3, "alpha": 0.5, "memory": 20.0}
NOISE = 0.01


@pytest.mark.parametrize(
    ("num_curves", "quantile"), [(0, norm.ppf(0.95)), (2, t.ppf(0.95, 1)), (3, t.ppf(0.95, 2)), (40, t.ppf(0.95, 39))]
)
def test_noise_from_few_curves_has_student_quantiles(num_curves: int, quantile: float) -> None:
    """Replicates without spread leave the noise alone. A file of an earlier version has no number of curves."""
    same = {name: np.full(100, value) for name, value in TRUTH.items()}
    fit = FittedCurveLaw("annealing", TRUTH, "converged", same, NOISE, 3000.0, (1e-3, 1e-3), num_curves=num_curves)
    prediction = fit.predict(make_query("decay"))
    assert prediction.interval_90 is not None
    ends = [math.log(end / prediction.loss_P[-1]) / NOISE for end in prediction.interval_90]
    assert ends == pytest.approx([-quantile, quantile], rel=0.02)


def test_variances_of_replicates_and_noise_add() -> None:
    spread = {name: np.full(400, value) for name, value in TRUTH.items()}
    spread["L0"] = TRUTH["L0"] * np.exp(0.01 * norm.ppf((np.arange(400) + 0.5) / 400))
    spread |= {"A": np.zeros(400), "C": np.zeros(400)}
    fit = FittedCurveLaw("annealing", {**TRUTH, "A": 0.0, "C": 0.0}, "converged", spread, NOISE, 3000.0, (1e-3, 1e-3))
    prediction = fit.predict(make_query("decay"))
    assert prediction.interval_90 is not None
    ends = [math.log(end / prediction.loss_P[-1]) for end in prediction.interval_90]
    assert ends == pytest.approx([-1.645 * math.sqrt(2) * 0.01, 1.645 * math.sqrt(2) * 0.01], rel=0.02)
