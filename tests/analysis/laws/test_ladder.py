"""The two-step ladder: nine parameters through two fits, refusals of a step, intervals from both."""

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit, fit_two_step
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.ladder import ACCURACY_STEP
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

LAW = get_law("ladder")
LOSS_TRUTH = {"E": 0.4, "A": 300.0, "B": 400.0, "alpha": 0.36, "beta": 0.38}
ACCURACY_TRUTH = {"a": 0.6, "b": 0.25, "k": 5.0, "L_0": 1.1}
SIZES = np.repeat(np.geomspace(1e6, 1e9, 6), 3)
COLUMNS = {"N": SIZES, "D": SIZES * np.tile([20.0, 60.0, 200.0], 6)}
TARGET = {"N": np.array([8e9]), "D": np.array([8e11])}


def table(noise: float = 0.0, seed: int = 0) -> Table:
    generator = np.random.default_rng(seed)
    loss = get_law("chinchilla").predict_one(LOSS_TRUTH, COLUMNS)
    accuracy = ACCURACY_STEP.predict_one(ACCURACY_TRUTH, {"loss": loss})
    loss = loss * np.exp(noise * generator.standard_normal(len(loss)))
    return Table.from_columns(
        {**COLUMNS, "loss": loss, "accuracy": accuracy + noise * generator.standard_normal(len(loss))}
    )


def test_recovers_both_steps() -> None:
    fitted = fit_two_step(table(), LAW)
    assert fitted.status == "converged"
    assert fitted.law.names == ("E", "A", "B", "alpha", "beta", "a", "b", "k", "L_0")
    for name, value in {**LOSS_TRUTH, **ACCURACY_TRUTH}.items():
        assert fitted.parameters[name] == pytest.approx(value, rel=1e-7), name
    truth = LAW.predict_one({**LOSS_TRUTH, **ACCURACY_TRUTH}, TARGET)
    np.testing.assert_allclose(fitted.predict(TARGET), truth, rtol=1e-9)


def test_interval_includes_the_noise_of_both_steps() -> None:
    truth = LAW.predict_one({**LOSS_TRUTH, **ACCURACY_TRUTH}, TARGET)[0]
    fitted = fit_two_step(table(0.01, seed=2), LAW, profile=False)
    value, low, high = (float(part[0]) for part in predict_interval(fitted, TARGET))
    assert low < truth < high
    assert low < value < high
    assert value == pytest.approx(float(fitted.predict(TARGET)[0]))
    _, narrow_low, narrow_high = predict_interval(fitted, TARGET, 0.5)
    assert narrow_high[0] - narrow_low[0] < high - low
    _, value_low, value_high = predict_interval(fitted, TARGET, new_run=False)
    assert low < value_low[0] < value < value_high[0] < high
    # The loss is known here: what is left is the second step's own interval.
    loss = fitted.steps[0].predict(TARGET)
    _, own_low, own_high = predict_interval(fitted.steps[1], {"loss": loss})
    assert high - low > own_high[0] - own_low[0]


def test_refused_step_refuses_the_fit() -> None:
    one_size = table().take(np.isclose(SIZES, SIZES[0]))
    fitted = fit_two_step(one_size, LAW)
    assert fitted.status == "too_few_points"
    assert fitted.parameters == {}
    with pytest.raises(InputError, match="chinchilla"):
        fitted.predict(TARGET)


def test_accuracy_in_per_cent_is_refused() -> None:
    with pytest.raises(InputError, match=r"row 1, accuracy 25.* share between 0 and 1"):
        fit(Table.from_columns({"loss": np.linspace(1, 3, 8), "accuracy": np.linspace(25, 80, 8)}), ACCURACY_STEP)
