"""Laws in two steps: composition, name clashes, the JSON of a fit."""

from dataclasses import replace

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit, fit_two_step
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.ladder import ACCURACY_STEP
from windtunnel.analysis.laws.two_step import compose
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

SIZES = np.repeat(np.geomspace(1e7, 1e9, 4), 3)
RATIO = np.tile([20.0, 80.0, 320.0], 4)
COLUMNS = {"C": 6 * SIZES**2 * RATIO, "M": RATIO}
LOSS = get_law("overtraining").predict_one({"E": 1.8, "a": 212.0, "b": 367.0, "eta": 0.136}, COLUMNS)
ERROR = get_law("error-loss").predict_one({"epsilon": 0.857, "k": 2.2, "gamma": 0.71}, {"loss": LOSS})


def test_second_step_reads_the_loss_of_the_first() -> None:
    whole = compose(get_law("overtraining"), get_law("error-loss"))
    assert whole.name == "overtraining/error-loss"
    assert (whole.columns, whole.target) == (("C", "M"), "error")
    fitted = fit_two_step(Table.from_columns({**COLUMNS, "loss": LOSS, "error": ERROR}), whole)
    assert fitted.status == "converged"
    np.testing.assert_allclose(fitted.predict(COLUMNS), ERROR, rtol=1e-8)
    assert [step["law"] for step in fitted.to_dict()["steps"]] == ["overtraining", "error-loss"]
    assert fitted.to_dict()["parameters"].keys() == {"E", "a", "b", "eta", "epsilon", "k", "gamma"}


def test_parameters_of_the_same_name_get_the_name_of_their_law() -> None:
    whole = compose(get_law("overtraining"), ACCURACY_STEP)
    assert whole.names == ("E", "overtraining.a", "overtraining.b", "eta", "logistic.a", "logistic.b", "k", "L_0")


def test_steps_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InputError, match="chinchilla reads N, D, and overtraining predicts loss"):
        compose(get_law("overtraining"), get_law("chinchilla"))


def test_first_step_may_have_fewer_rows() -> None:
    table = Table.from_columns({**COLUMNS, "loss": np.where(RATIO > 300, LOSS * 1.2, LOSS), "error": ERROR})
    whole = compose(replace(get_law("overtraining"), objective="mse"), get_law("error-loss"))
    fitted = fit_two_step(table, whole, first_table=table.select("M < 300"), profile=False)
    assert fitted.parameters["eta"] == pytest.approx(0.136, rel=1e-7)
    assert fitted.steps[1].num_points == len(LOSS)


def test_one_objective_for_two_steps_is_refused() -> None:
    table = Table.from_columns({"N": np.ones(3), "D": np.ones(3)})
    with pytest.raises(InputError, match="each with its own objective"):
        fit(table, get_law("ladder"), "log-lad")
