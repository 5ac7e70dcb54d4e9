"""`import windtunnel as wt`: what a notebook uses."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import windtunnel as wt
from tests.support.paths import ROOT

LADDER = ROOT / "sweeps" / "results" / "ladder" / "table.csv"
COLUMNS = "N=N_non_embedding,D=D,loss=loss"
FAMILY = "N < 1e6"
TARGET = {"N": 1.05e6, "D": 7e6}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.read_csv(LADDER)


@pytest.fixture(scope="module")
def fit(frame: pd.DataFrame) -> wt.Fit:
    return wt.fit(frame, "chinchilla", columns=COLUMNS, where=FAMILY)


def test_import_is_lazy() -> None:
    """Far below the 0.3 s it may take: nothing is loaded but this one file."""
    script = (
        "import sys; before = set(sys.modules); import windtunnel; new = set(sys.modules) - before\n"
        "assert not {name for name in new if name.startswith('windtunnel.')}, new\n"
        "assert not {'torch', 'numpy', 'pandas', 'matplotlib', 'hydra'} & new\n"
        "assert set(windtunnel.__all__) <= set(dir(windtunnel))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.slow
def test_every_public_name_loads_without_torch() -> None:
    script = (
        "import sys, windtunnel\n"
        "for name in windtunnel.__all__: getattr(windtunnel, name)\n"
        "assert windtunnel.__version__ and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'fitt'"):
        wt.fitt  # type: ignore[attr-defined] # noqa: B018


def test_fit_equals_the_library(frame: pd.DataFrame, fit: wt.Fit) -> None:
    from windtunnel.analysis.fitting.fit import fit as library_fit
    from windtunnel.analysis.laws.catalog import get_law

    table = wt.load_table(LADDER, columns=COLUMNS, where=FAMILY)
    expected = library_fit(table, get_law("chinchilla"))
    assert fit.params.to_dict() == expected.parameters
    assert fit.conf_int().loc["alpha"].tolist() == list(expected.intervals["alpha"])
    assert wt.load_table(frame, columns=COLUMNS, where=FAMILY).digest == table.digest


def test_fit_prints_as_one_screen(fit: wt.Fit) -> None:
    lines = repr(fit).splitlines()
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 120
    assert lines[0] == "chinchilla: L = E + A/N^alpha + B/D^beta"
    assert fit._repr_html_().startswith("<pre>chinchilla: L = E")


def test_summary_frame(fit: wt.Fit) -> None:
    frame = fit.summary_frame()
    assert list(frame.columns) == ["value", "low", "high", "identified", "meaning"]
    assert list(frame.index) == ["E", "A", "B", "alpha", "beta"]
    assert (frame["low"] <= frame["value"]).all()
    assert (frame["value"] <= frame["high"]).all()


def test_lower_level_gives_narrower_intervals(fit: wt.Fit) -> None:
    wide, narrow = fit.conf_int(), fit.conf_int(0.8)
    assert (narrow.loc["beta", "high"] - narrow.loc["beta", "low"]) < (
        wide.loc["beta", "high"] - wide.loc["beta", "low"]
    )


def test_predict_one_target(fit: wt.Fit) -> None:
    prediction = fit.predict(**TARGET)
    low, high = prediction.interval(0.9)
    assert low < prediction.loss < high
    assert prediction.interval(0.5)[1] < high
    assert prediction.extrapolation["N"] == pytest.approx(1.05e6 / 195136)
    assert "loss" in repr(prediction)


@pytest.mark.slow
def test_predict_arrays_and_frames_equals_one_target(fit: wt.Fit) -> None:
    prediction = fit.predict(**TARGET)
    arrays = fit.predict(N=[2e5, TARGET["N"]], D=TARGET["D"])
    assert arrays.loc[1, "loss"] == prediction.loss
    assert arrays.loc[1, ["low", "high"]].tolist() == pytest.approx(prediction.interval())
    targets = pd.DataFrame({"N": [TARGET["N"]], "D": [TARGET["D"]]}, index=["big"])
    assert fit.predict(targets).loc["big", "loss"] == prediction.loss


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ({}, "name the target"),
        ({"N": 1e6}, "D"),
        ({"N": 1e12, "D": 1e12}, "allow_extrapolation=True"),
        ({"N": [1e5, 1e12], "D": 1e7}, "allow_extrapolation=True"),
        ({"N": [1e5, 2e5], "D": [1e6, 2e6, 3e6]}, "differ in length"),
        ({"N": [1e5, -1.0], "D": 1e7}, "above zero"),
        ({"N": [1e5, np.nan], "D": 1e7}, "number"),
        ({"N": "large", "D": 1e7}, "number"),
    ],
)
def test_target_that_cannot_be_predicted(fit: wt.Fit, at: dict[str, object], message: str) -> None:
    with pytest.raises(wt.InputError, match=message) as caught:
        fit.predict(**at)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)


@pytest.mark.slow
def test_seal_and_score(frame: pd.DataFrame, fit: wt.Fit, tmp_path: Path) -> None:
    path = fit.predict(**TARGET).seal(tmp_path)
    frame = frame.drop(columns="held_out")  # the study holds its targets out of every table
    score = wt.score(path, frame, columns={"N": "N_non_embedding", "D": "D", "loss": "loss"})
    assert wt.score(path, wt.load_table(frame, columns=COLUMNS)).error_percent == score.error_percent
    assert score.inside_90
    assert abs(score.error_percent) < 3
    assert len(score.to_pandas()) == 2
    assert json.loads(path.read_text())["sealed"][:16] in path.name
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"loss": 1.', '"loss": 2.'))
    with pytest.raises(wt.InputError, match="changed after it was sealed"):
        wt.score(path, frame, columns=COLUMNS)


def test_target_that_was_trained_is_not_sealed(fit: wt.Fit, tmp_path: Path) -> None:
    with pytest.raises(wt.InputError, match="already has results"):
        fit.predict(**TARGET).seal(tmp_path, results=[LADDER], columns=COLUMNS)


@pytest.mark.slow
def test_save_and_load(fit: wt.Fit, tmp_path: Path) -> None:
    fit.save(tmp_path / "fit.json")
    loaded = wt.Fit.load(tmp_path / "fit.json")
    assert loaded.params.equals(fit.params)
    assert loaded.predict(**TARGET).interval() == fit.predict(**TARGET).interval()


@pytest.mark.slow
def test_rank(frame: pd.DataFrame) -> None:
    ranking = wt.rank(frame, ["chinchilla", "general"], columns=COLUMNS, where=FAMILY)
    table = ranking.to_pandas()
    assert ranking.best in table.index
    assert table.index[0] == ranking.best
    assert {"chinchilla", "general"} <= set(table.index)
    assert "mean error" in repr(ranking)


def test_laws_lists_the_catalog() -> None:
    catalog = wt.laws()
    assert catalog.loc["chinchilla", "formula"] == "L = E + A/N^alpha + B/D^beta"


def test_plot(fit: wt.Fit) -> None:
    axes = fit.plot()
    assert axes.get_ylabel() == "measured loss"


def test_options_of_a_table_are_given_once(frame: pd.DataFrame) -> None:
    table = wt.load_table(frame, columns=COLUMNS)
    with pytest.raises(wt.InputError, match="load_table"):
        wt.fit(table, "chinchilla", columns=COLUMNS)


@pytest.mark.parametrize("source", [3, None, ["a.csv"], object()])
def test_source_of_another_type(source: object) -> None:
    with pytest.raises(wt.InputError, match="give a path"):
        wt.fit(source, "chinchilla")


def test_numpy_array_error_lists_what_is_accepted() -> None:
    with pytest.raises(wt.InputError, match="DataFrame"):
        wt.fit(np.ones((3, 3)), "chinchilla")


@pytest.mark.parametrize("laws", [[], "", [5]])
def test_no_law_to_rank(frame: pd.DataFrame, laws: object) -> None:
    with pytest.raises(wt.InputError, match="name one or more laws"):
        wt.rank(frame, laws)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"bootstrap": -1}, {"seed": -1}, {"bootstrap": 1.5}])
def test_counts_are_whole_numbers(frame: pd.DataFrame, options: dict[str, int]) -> None:
    with pytest.raises(wt.InputError, match="whole number"):
        wt.fit(frame, "chinchilla", columns=COLUMNS, where=FAMILY, **options)


@pytest.mark.parametrize("level", [0, 1, 90, -0.1, "a", None])
def test_level_outside_zero_and_one(fit: wt.Fit, level: float) -> None:
    with pytest.raises(wt.InputError, match="between 0 and 1"):
        fit.predict(**TARGET).interval(level)
    with pytest.raises(wt.InputError, match="between 0 and 1"):
        fit.conf_int(level)


def test_study_and_its_plan(tmp_path: Path) -> None:
    study = wt.Study("quickstart", runs=tmp_path / "runs", data=tmp_path / "data")
    plan = study.plan()
    assert repr(study) == "Study('quickstart': a 3 x larger model predicted from a family of four small ones)"
    frame = plan.to_pandas()
    assert len(frame) == 23
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_curves() -> None:
    step = np.arange(20, 2001, 20)
    rates = np.minimum(np.arange(1, 2001) / 100, 1.0) * 1e-2

    def curve(decay_start: int) -> pd.DataFrame:
        rate = rates.copy()
        rate[decay_start:] *= np.linspace(1, 0.1, 2000 - decay_start)
        done = np.cumsum(rate)
        loss = 1.2 + 0.8 * (1 + done) ** -0.5 - 10 * np.maximum(0, 1e-2 - rate)
        return pd.DataFrame({"step": step, "lr": rate[step - 1], "loss": loss[step - 1]})

    fit = wt.fit_curves([curve(1000), curve(1990), curve(500)], "annealing", test=curve(1500), num_replicates=20)
    assert set(fit.params.index) == set(fit.conf_int().index)
    assert len(fit.tests) == 1
    rate = rates.copy()
    rate[1200:] *= np.linspace(1, 0.1, 800)
    prediction = fit.predict(rate)
    low, high = prediction.interval()
    assert low < prediction.loss < high
    assert prediction.to_pandas()["loss"].iloc[-1] == prediction.loss
    assert repr(fit).startswith("annealing:")
    with pytest.raises(wt.InputError, match="either a schedule or the settings"):
        fit.predict()


@pytest.mark.slow
def test_train_one_run(tmp_path: Path) -> None:
    places = [f"runtime.runs_directory={tmp_path}/runs", f"runtime.data_directory={tmp_path}/data", "runtime.threads=1"]
    settings = ["size=10k", "horizon.tokens=8k", "schedule.warmup_tokens=2k", "data.token_budget=200k", *places]
    settings += ["data.evaluation_tokens=8k", "logging.wandb=off"]
    run = wt.train(*settings, show_progress=False)
    assert run.status == "finished"
    assert run.loss is not None
    assert run.training_curve()["loss"].notna().all()
    assert len(run.evaluations())
    assert wt.train(*settings, show_progress=False).record == run.record
