"""Profiles: intervals of a linear law are Student's; unidentified parameters are reported."""

import numpy as np
import pytest
from scipy.stats import t as student

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.constraints import fix_parameters
from windtunnel.analysis.laws.law import Law, Parameter
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

LINE = Law(
    name="line",
    title="",
    formula="y = a + b x",
    citation="",
    grid="",
    columns=("x",),
    parameters=(Parameter("a", "", positive=False), Parameter("b", "", positive=False)),
    predict=lambda values, columns: values["a"] + values["b"] * columns["x"],
    linear=("a", "b"),
)


def textbook(x: np.ndarray, y: np.ndarray, at: float, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of a and b (2, 2), and of a new observation at `at` (2,)."""
    design = np.stack([np.ones_like(x), x], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    best = inverse @ design.T @ y
    variance = np.sum((y - design @ best) ** 2) / (len(x) - 2)
    quantile = student.ppf(0.5 + level / 2, len(x) - 2)
    half = quantile * np.sqrt(variance * np.diag(inverse))
    row = np.array([1.0, at])
    reach = quantile * np.sqrt(variance * (1 + row @ inverse @ row))
    return np.stack([best - half, best + half], axis=1), np.array([row @ best - reach, row @ best + reach])


def test_straight_line_has_the_textbook_intervals() -> None:
    generator = np.random.default_rng(0)
    x = np.linspace(0, 1, 9)
    y = 3 + 2 * x + 0.1 * generator.standard_normal(9)
    fitted = fit(Table.from_columns({"x": x, "loss": y}), LINE, "mse")
    parameters, _ = textbook(x, y, 4.0, 0.95)
    np.testing.assert_allclose([fitted.intervals["a"], fitted.intervals["b"]], parameters, rtol=1e-3)
    _, new = textbook(x, y, 4.0, 0.9)
    loss, low, high = predict_interval(fitted, {"x": [4.0, 0.5]})
    np.testing.assert_allclose([low[0], high[0]], new, rtol=2e-3)
    assert high[1] - low[1] < high[0] - low[0]
    _, inner_low, inner_high = predict_interval(fitted, {"x": [4.0]}, new_run=False)
    assert low[0] < inner_low[0] < loss[0] < inner_high[0] < high[0]


@pytest.mark.slow
def test_branches_that_share_a_trunk_are_not_independent() -> None:
    """Copies of points add no information: intervals by run do not change, intervals by row shrink."""
    generator = np.random.default_rng(0)
    size, budget = np.repeat(np.geomspace(1e6, 1e8, 12), 4), np.tile([1.0, 2.0, 4.0, 8.0], 12)
    columns = {"N": size, "D": 2e7 * budget * (size / 1e6) ** 0.5}
    trunk = np.repeat(0.01 * generator.standard_normal(12), 4)
    truth = {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.31}
    loss = get_law("chinchilla").predict_one(truth, columns) * np.exp(trunk + 0.001 * generator.standard_normal(48))
    runs = [f"trunk {number // 4}" for number in range(48)]
    clustered = fit(Table.from_columns({**columns, "loss": loss}, run=runs), get_law("chinchilla"))
    alone = fit(Table.from_columns({**columns, "loss": loss}), get_law("chinchilla"))
    at = {"N": [3e8], "D": [3e9]}
    (_, low, high), (_, low_alone, high_alone) = predict_interval(clustered, at), predict_interval(alone, at)
    assert high[0] - low[0] > 1.3 * (high_alone[0] - low_alone[0])


@pytest.mark.slow
def test_flat_profile_is_not_identified_and_unbounded() -> None:
    """Points far above E do not identify it: its interval has no lower end, nor have those of the others."""
    sizes = np.geomspace(1e6, 3e7, 12)
    truth = {"E": 0.5, "A": 60.0, "alpha": 0.15}
    loss = get_law("power").predict_one(truth, {"N": sizes}) * np.exp(
        0.005 * np.random.default_rng(3).standard_normal(12)
    )
    fitted = fit(Table.from_columns({"N": sizes, "loss": loss}), get_law("power"))
    assert "E" in fitted.not_identified
    assert fitted.status in ("not_identified", "edge")
    assert fitted.intervals["E"][0] == 0.0
    assert fitted.intervals["E"][1] > 0.5
    document = fitted.to_dict()
    assert document["intervals"]["E"][0] == 0.0
    # Bootstrap percentiles do not close what the profile leaves open.
    resampled = fit(Table.from_columns({"N": sizes, "loss": loss}), get_law("power"), bootstrap=50)
    assert resampled.intervals["E"] == fitted.intervals["E"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("chinchilla", {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.31}),
        ("kaplan", {"N_c": 8.8e13, "D_c": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095}),
    ],
)
def test_profile_rises_equally_at_both_ends(name: str, truth: dict[str, float]) -> None:
    """Fits with the parameter fixed at each end: with squares, the sum rises by t**2 sum / degrees there."""
    sizes, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 3e7, 6), np.geomspace(2e7, 2e9, 7)))
    columns = {"N": sizes, "D": tokens}
    noise = np.exp(0.005 * np.random.default_rng(2).standard_normal(42))
    table = Table.from_columns({**columns, "loss": get_law(name).predict_one(truth, columns) * noise})
    fitted = fit(table, get_law(name), "log-mse")
    degrees = 42 - len(truth)
    rise = student.ppf(0.975, degrees) ** 2 * fitted.value / degrees
    for parameter, ends in fitted.intervals.items():
        for end in ends:
            refitted = fit(table, fix_parameters(get_law(name), {parameter: end}), "log-mse", profile=False)
            assert refitted.value - fitted.value == pytest.approx(rise, rel=2e-3), (parameter, end)


def test_declared_objective_has_its_own_noise() -> None:
    """A mean by absolute deviations is the median: its interval is sqrt(pi/2) times that of squares."""
    x = np.linspace(-1, 1, 1001)
    y = 3 + 0.1 * np.random.default_rng(0).standard_normal(1001)
    fitted = fit(Table.from_columns({"x": x, "loss": y}), LINE, "huber:1e-3")
    squares = fit(Table.from_columns({"x": x, "loss": y}), LINE, "mse")
    for name in ("a", "b"):
        ratio = np.diff(fitted.intervals[name]) / np.diff(squares.intervals[name])
        assert 1.1 < ratio[0] < 1.5  # sqrt(pi/2) is 1.25; the union with the other interval is a little wider
    assert fitted.status == "converged"


def test_interval_that_the_declared_objective_leaves_unbounded_is_unbounded() -> None:
    """A third of the runs are low for another reason: at a wide threshold they bend the law down and bound an interval
    that the rest leave unbounded.
    """
    generator = np.random.default_rng(1)
    x = np.repeat(np.linspace(0, 8, 9), 4)
    decay = Law(
        name="decay",
        title="",
        formula="y = 2 + exp(-x / life)",
        citation="",
        grid="",
        columns=("x",),
        parameters=(Parameter("life", "", upper=1e9),),
        predict=lambda values, columns: 2 + np.exp(-columns["x"] / values["life"]),
        start_grid={"life": (1.0, 10.0, 100.0)},
    )
    y = 3 + 0.02 * generator.standard_normal(36)
    y[generator.permutation(36)[:12]] -= 0.4
    table = Table.from_columns({"x": x, "loss": y})
    wide, narrow = fit(table, decay, "huber:0.5"), fit(table, decay, "huber:1e-3")
    assert np.isfinite(wide.intervals["life"][1])
    assert narrow.status == "not_identified"
    assert narrow.not_identified == ("life",)
    assert narrow.intervals["life"][1] == np.inf


def test_unused_column_leaves_its_parameters_unbounded() -> None:
    """With a data term far below the noise, B may be zero, and beta may have any value."""
    sizes, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 6), np.geomspace(1e12, 1e13, 4)))
    columns = {"N": sizes, "D": tokens}
    truth = {"E": 1.7, "A": 400.0, "B": 1e-3, "alpha": 0.34, "beta": 0.3}
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(len(sizes)))
    fitted = fit(
        Table.from_columns({**columns, "loss": get_law("chinchilla").predict_one(truth, columns) * noise}),
        get_law("chinchilla"),
    )
    assert {"B", "beta"} <= set(fitted.not_identified)
    assert fitted.intervals["beta"][1] == np.inf
    assert fitted.to_dict()["intervals"]["beta"][1] is None
    assert "alpha" not in fitted.not_identified


def test_without_noise_intervals_are_points() -> None:
    sizes = np.geomspace(1e6, 3e8, 12)
    truth = {"E": 1.5, "A": 60.0, "alpha": 0.25}
    fitted = fit(
        Table.from_columns({"N": sizes, "loss": get_law("power").predict_one(truth, {"N": sizes})}), get_law("power")
    )
    assert fitted.intervals["alpha"][0] == pytest.approx(0.25, rel=1e-8)
    loss, low, high = predict_interval(fitted, {"N": 1e10})
    assert low[0] == pytest.approx(high[0], rel=1e-8)
    assert loss[0] == pytest.approx(high[0], rel=1e-8)


def test_predictions_need_their_columns() -> None:
    sizes = np.geomspace(1e6, 3e8, 12)
    fitted = fit(Table.from_columns({"N": sizes, "loss": 1.5 + 60 * sizes**-0.25}), get_law("power"))
    with pytest.raises(InputError, match="needs the column N"):
        predict_interval(fitted, {"D": [1e9]})
    with pytest.raises(InputError, match="not a number"):
        predict_interval(fitted, {"N": [np.nan]})
