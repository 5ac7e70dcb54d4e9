"""Fits: exact recovery without noise, optima at or below others', certificates, refusals, the file."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit, fit_batch
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

SIZES, TOKENS = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 3e7, 6), np.geomspace(2e7, 2e9, 7)))
COLUMNS = {"N": SIZES, "D": TOKENS, "C": 6 * SIZES * TOKENS, "M": TOKENS / SIZES}
CHINCHILLA = {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.31}
TRUTHS = {
    "chinchilla": CHINCHILLA,
    "kaplan": {"N_c": 8.8e13, "D_c": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095},
    "power": {"E": 1.7, "A": 50.0, "alpha": 0.2},
    "power:D": {"E": 1.2, "A": 80.0, "alpha": 0.28},
    "overtraining": {"E": 1.84, "a": 212.0, "b": 367.0, "eta": 0.136},
    "general": {"E": 1.6, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.31, "g": 0.5},
    "hestness": {"alpha": 9.0, "beta_g": -0.12, "gamma": 1.5},
}


def table_of(name: str, truth: dict[str, float], noise: float = 0.0, seed: int = 0, rows: Array | None = None) -> Table:
    law = get_law(name)
    columns = {key: values if rows is None else values[rows] for key, values in COLUMNS.items()}
    loss = law.predict_one(truth, columns)
    loss = loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(loss)))
    kept = {key: columns[key] for key in law.columns}
    return Table.from_columns({**kept, law.target: loss})


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["log-huber:1e-3", "log-lad", "mse", "log-mse"])
@pytest.mark.parametrize("name", TRUTHS)
def test_recovers_every_parameter_without_noise(name: str, objective: str) -> None:
    fitted = fit(table_of(name, TRUTHS[name]), get_law(name), objective, profile=False)
    assert fitted.status == "converged", fitted.reason
    for parameter, value in TRUTHS[name].items():
        assert fitted.parameters[parameter] == pytest.approx(value, rel=1e-8), parameter


@pytest.mark.parametrize("g", [0.05, 1.0, 1.5])
def test_general_recovers_its_exponent_g(g: float) -> None:
    truth = {**TRUTHS["general"], "g": g}
    fitted = fit(table_of("general", truth), get_law("general"), profile=False)
    assert fitted.parameters["g"] == pytest.approx(g, rel=1e-7)


@pytest.mark.parametrize("objective", ["log-huber:1e-3", "log-lad", "mse"])
def test_no_point_nearby_is_better(objective: str) -> None:
    table = table_of("chinchilla", CHINCHILLA, noise=0.005)
    fitted = fit(table, get_law("chinchilla"), objective, profile=False)
    assert fitted.certificate is not None
    assert fitted.certificate.starts_agreeing >= 2
    parsed, best = parse_objective(objective), np.array(list(fitted.parameters.values()))
    generator = np.random.default_rng(0)
    for scale in (1e-6, 1e-4, 1e-2):
        for _ in range(200):
            moved = dict(zip(fitted.parameters, best * np.exp(scale * generator.standard_normal(5)), strict=True))
            prediction = get_law("chinchilla").predict_one(moved, COLUMNS)
            assert parsed.value(prediction[None], table.columns["loss"][None])[0] >= fitted.value * (1 - 1e-12)


def test_absolute_deviations_interpolate_as_many_points_as_parameters() -> None:
    """The optimum of absolute deviations passes through as many points as parameters."""
    table = table_of("chinchilla", CHINCHILLA, noise=0.005)
    fitted = fit(table, get_law("chinchilla"), "log-lad", profile=False)
    residuals = np.abs(np.log(fitted.predict(COLUMNS) / table.columns["loss"]))
    assert np.sum(residuals < 1e-9) >= 4
    coarse = fit(table, get_law("chinchilla"), "log-huber:1e-5", profile=False)
    assert fitted.value <= np.abs(np.log(coarse.predict(COLUMNS) / table.columns["loss"])).sum() * (1 + 1e-9)


def test_outliers_do_not_move_a_huber_fit() -> None:
    table = table_of("chinchilla", CHINCHILLA, noise=1e-4)
    loss = table.columns["loss"].copy()
    loss[[5, 17]] *= 1.3
    spoiled = Table.from_columns({**table.columns, "loss": loss})
    huber = fit(spoiled, get_law("chinchilla"), profile=False).parameters["alpha"]
    squares = fit(spoiled, get_law("chinchilla"), "log-mse", profile=False).parameters["alpha"]
    assert abs(huber - 0.34) < 0.003 < abs(squares - 0.34)


def test_weights_follow_the_noise_column() -> None:
    table = table_of("chinchilla", CHINCHILLA)
    loss, sigma = table.columns["loss"].copy(), np.full(len(SIZES), 1e-3)
    loss[3] *= 1.1
    sigma[3] = 1e3
    weighted = fit(
        Table.from_columns({**table.columns, "loss": loss, "sigma": sigma}), get_law("chinchilla"), "log-mse@sigma"
    )
    assert weighted.parameters["alpha"] == pytest.approx(0.34, rel=1e-6)


def test_batch_of_replicates_equals_single_fits() -> None:
    table = table_of("chinchilla", CHINCHILLA, noise=0.003)
    targets = np.stack([table.columns["loss"], table.columns["loss"] ** 1.01])
    start = np.array([list(CHINCHILLA.values())] * 2)
    natural_RK, value_R = fit_batch(get_law("chinchilla"), COLUMNS, targets, np.ones(42), "log-mse", start)
    for replicate in range(2):
        single = fit(
            Table.from_columns({**COLUMNS, "loss": targets[replicate]}), get_law("chinchilla"), "log-mse", profile=False
        )
        np.testing.assert_allclose(natural_RK[replicate], list(single.parameters.values()), rtol=1e-6)
        assert value_R[replicate] == pytest.approx(single.value, rel=1e-9)


def test_hestness_takes_the_best_size_at_each_amount_of_data() -> None:
    truth = TRUTHS["hestness"]
    envelope = get_law("hestness").predict_one(truth, {"D": TOKENS})
    best = 1e3 * TOKENS**0.4
    loss = envelope * (1 + 0.2 * np.round(np.log(SIZES / best), 1) ** 2)
    sizes = np.concatenate([SIZES, best])
    table = Table.from_columns({"N": sizes, "D": np.tile(TOKENS, 2), "loss": np.concatenate([loss + 0.01, envelope])})
    fitted = fit(table, get_law("hestness"), profile=False)
    assert fitted.num_points < len(table)
    assert fitted.parameters["beta_g"] == pytest.approx(-0.12, rel=1e-6)
    growth = fit(table, get_law("hestness:growth"), profile=False)
    assert growth.parameters["beta_p"] == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        (np.isclose(SIZES, SIZES.min()), "too_few_points"),
        (np.arange(42) < 6, "too_few_points"),
    ],
)
def test_too_few_points_are_refused(rows: Array, status: str) -> None:
    chosen = np.flatnonzero(rows)[:6]
    fitted = fit(table_of("chinchilla", CHINCHILLA, rows=chosen), get_law("chinchilla"))
    assert fitted.status == status
    assert fitted.parameters == {}
    assert "7" in fitted.reason
    with pytest.raises(InputError, match="was refused"):
        fitted.predict(COLUMNS)
    waived = fit(
        table_of("power", TRUTHS["power"], rows=np.arange(4)), get_law("power"), allow_few_points=True, profile=False
    )
    assert waived.parameters["alpha"] == pytest.approx(0.2, rel=1e-6)


@pytest.mark.parametrize(
    ("sizes", "tokens", "status"),
    [
        (np.full(12, 1e6), np.geomspace(1e7, 1e9, 12), "one_size"),
        (np.geomspace(1e6, 1e8, 12), np.full(12, 1e9), "one_budget"),
        (np.geomspace(1e6, 1e8, 12), 1e16 / np.geomspace(1e6, 1e8, 12), "one_budget"),
        (np.geomspace(1e6, 1e8, 12), 20 * np.geomspace(1e6, 1e8, 12), "one_ratio"),
    ],
)
def test_designs_that_identify_nothing_are_refused(sizes: Array, tokens: Array, status: str) -> None:
    columns = {"N": sizes, "D": tokens}
    table = Table.from_columns({**columns, "loss": get_law("chinchilla").predict_one(CHINCHILLA, columns)})
    fitted = fit(table, get_law("chinchilla"))
    assert fitted.status == status
    assert not fitted.parameters
    scale = {"C": 6 * sizes * tokens, "M": tokens / sizes, "loss": table.columns["loss"]}
    assert fit(Table.from_columns(scale), get_law("overtraining")).status in (status, "one_budget", "one_ratio")


@pytest.mark.parametrize(("value", "what"), [(math.nan, "loss"), (0.0, "N"), (-1.0, "D")])
def test_bad_values_name_row_and_column(value: float, what: str) -> None:
    table = table_of("chinchilla", CHINCHILLA)
    spoiled = table.columns[what].copy()
    spoiled[4] = value
    with pytest.raises(InputError, match=rf"row 5, column {what}"):
        fit(Table.from_columns({**table.columns, what: spoiled}), get_law("chinchilla"))
    with pytest.raises(InputError, match="needs the column D"):
        fit(Table.from_columns({"N": SIZES, "loss": SIZES}), get_law("chinchilla"))


@pytest.mark.slow
def test_constant_driven_to_zero_is_at_the_edge() -> None:
    truth = {"E": 1e-12, "A": 40.0, "alpha": 0.2}
    table = table_of("power", truth, noise=0.01, seed=1)
    fitted = fit(table, get_law("power"))
    assert fitted.status in ("edge", "not_identified")
    assert "E" in fitted.not_identified
    assert fitted.intervals["E"][0] == 0.0
    assert fitted.intervals["E"][1] > fitted.parameters["E"]


def test_file_holds_the_whole_fit(tmp_path: Path) -> None:
    fitted = fit(table_of("chinchilla", CHINCHILLA, noise=0.003), get_law("chinchilla"), bootstrap=20)
    fitted.to_json(tmp_path / "fit.json")
    again = Fit.from_json(tmp_path / "fit.json")
    assert again.law is fitted.law
    assert again.to_dict() == fitted.to_dict()
    np.testing.assert_array_equal(again.predict(COLUMNS), fitted.predict(COLUMNS))
    assert again.replicates is not None
    assert again.replicates.shape == (5, 20)
    content = json.loads((tmp_path / "fit.json").read_text())
    for key in ("law", "objective", "parameters", "intervals", "status", "not_identified", "num_points", "seconds"):
        assert key in content
    (tmp_path / "other.json").write_text('{"law": "chinchilla"}')
    with pytest.raises(InputError, match="not a fit"):
        Fit.from_json(tmp_path / "other.json")
    with pytest.raises(InputError, match="no such file"):
        Fit.from_json(tmp_path / "none.json")


def test_refused_fit_round_trips(tmp_path: Path) -> None:
    refused = fit(table_of("chinchilla", CHINCHILLA, rows=np.arange(4)), get_law("chinchilla"))
    refused.to_json(tmp_path / "fit.json")
    assert Fit.from_json(tmp_path / "fit.json").status == "too_few_points"


@pytest.mark.slow
def test_law_that_overflows_during_the_fit_gives_no_warning() -> None:
    sizes, tokens = (grid.ravel() for grid in np.meshgrid([1e5, 3e5, 1e6, 3e6], [1e7, 3e7, 1e8], indexing="ij"))
    loss = 1.2 + 400 * sizes**-0.35 + 400 * tokens**-0.35
    small = np.argsort(sizes * tokens, kind="stable")[:10]
    fitted = fit(
        Table.from_columns({"N": 1e25 * sizes[small], "loss": loss[small]}), get_law("power")
    )  # profiles go furthest
    assert 0 < fitted.parameters["E"] < loss.min()


def test_fit_is_repeatable() -> None:
    table = table_of("chinchilla", CHINCHILLA, noise=0.01)
    first, second = (fit(table, get_law("chinchilla"), bootstrap=5) for _ in range(2))
    assert first.parameters == second.parameters
    assert first.intervals == second.intervals


@pytest.mark.parametrize(("sizes", "tokens"), [(2, 5), (5, 2), (2, 2)])
def test_two_sizes_or_two_horizons_are_refused_however_many_points(sizes: int, tokens: int) -> None:
    """Many values of E, A and alpha give the losses of two sizes, so that any start could agree on any of them."""
    size, token = np.meshgrid(np.geomspace(1e5, 1e7, sizes), np.geomspace(1e7, 1e9, tokens))
    columns = {"N": np.tile(size.ravel(), 3), "D": np.tile(token.ravel(), 3)}
    noise = 1 + 1e-3 * np.random.default_rng(0).standard_normal(len(columns["N"]))
    loss = (1.2 + 400 / columns["N"] ** 0.35 + 400 / columns["D"] ** 0.35) * noise
    fitted = fit(Table.from_columns({**columns, "loss": loss}), get_law("chinchilla"))
    assert fitted.status == "too_few_points"
    assert fitted.parameters == {}
    assert f"{sizes} values of N, {tokens} values of D" in fitted.reason


@pytest.mark.slow
def test_starts_in_one_flat_valley_agree() -> None:
    """As E approaches zero the objective hardly changes: E is not identified, and the fit has converged."""
    rng = np.random.default_rng(5)
    size, token = (grid.ravel() for grid in np.meshgrid(np.geomspace(2e4, 8e4, 4), np.geomspace(4e4, 1.2e5, 3)))
    columns = {"N": np.tile(size, 2), "D": np.tile(token, 2)}
    loss = (1.8 / columns["N"] ** 0.03 + 25 / columns["D"] ** 0.28) * (1 + 0.006 * rng.standard_normal(24))
    fitted = fit(Table.from_columns({**columns, "loss": loss}), get_law("chinchilla"))
    assert fitted.status == "not_identified"
    assert "E" in fitted.not_identified
