"""`windtunnel curves optimize`: a table of schedules, each by the settings that train it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from windtunnel.analysis.curves.optimal_schedule.gain import schedule_gain
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.pipeline.run_curve import curve_from_settings

ANNEALING = {"L0": 1.33, "A": 0.96, "C": 0.27, "alpha": 0.37, "memory": 65.0}
OVER_SIZES = {**ANNEALING, "phi": 0.1, "A_N": 0.05, "C_N": -0.1, "alpha_N": 0.02}
RUN = ("size=25k", "horizon.tokens=2M", "data=context-tree")
Make = Callable[..., str]


def optimize(*words: str) -> int:
    return main(["curves", "optimize", *words])


@pytest.fixture
def fitted(tmp_path: Path) -> Make:
    """A fit as `curves fit --output` writes it; replicates lie around its parameters."""

    def make(law: str = "annealing", replicates: int = 40, **parameters: float) -> str:
        values = parameters or ANNEALING
        generator = np.random.default_rng(0)
        drawn = {name: value * np.exp(0.02 * generator.standard_normal(replicates)) for name, value in values.items()}
        path = tmp_path / f"{law}.json"
        FittedCurveLaw(law, values, "converged", drawn if replicates else {}, 2e-3, 1500.0, (0.01, 0.012)).to_json(path)
        return str(path)

    return make


@pytest.mark.slow
def test_losses_are_those_predicted_for_the_settings(
    fitted: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit, out, best = fitted(), tmp_path / "out.json", tmp_path / "best.csv"
    assert optimize(fit, *RUN, "--json", str(out), "--csv", str(best)) == 0
    printed = capsys.readouterr().out
    document = json.loads(out.read_text())
    reference, *others = document["schedules"]
    assert reference["settings"] == list(RUN)
    assert reference["schedule"] == "requested: wsd 20 % 1-sqrt to 0"
    assert reference["gain"] == 0
    names = [each["schedule"] for each in others]
    assert names[:2] == ["cosine to 0", "cosine to 10 %"]
    assert names[2].startswith("best wsd: ")
    assert names[3:] == ["best free without a jump", "best free"]
    assert document["best"] == "best free"
    read = FittedCurveLaw.from_json(Path(fit))
    begun = curve_from_settings(reference["settings"])
    for each in document["schedules"]:
        curve = curve_from_settings(each["settings"])
        assert each["loss"] == read.predict_losses(curve)[-1]
        assert each["gain"] == pytest.approx(1 - each["loss"] / reference["loss"], abs=1e-12)
        assert tuple(each["gain_interval_90"]) == schedule_gain(read, begun, curve).interval_90
        assert f"{each['loss']:#.5g}" in printed
    losses = [each["loss"] for each in document["schedules"]]
    assert losses[-1] == min(losses)
    low, high = others[-1]["gain_interval_90"]
    assert low < others[-1]["gain"] < high
    # Both of a pair vary alike: the interval of a difference is narrower than that of a loss.
    assert high - low < np.ptp(read.final_losses(begun)) / reference["loss"]
    assert any("jump" in each for each in document["warnings"])
    assert "1.3 times as long" in document["notes"][0]
    knots = others[-1]["settings"][-1]
    assert f"schedule=piecewise '{knots}'" in printed
    # The file has the same schedule, up to its end.
    assert main(["curves", "predict", fit, "--schedule", str(best), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["final"]["loss"] == pytest.approx(others[-1]["loss"], rel=1e-6)


@pytest.mark.slow
def test_results_are_deterministic_and_relative_to_the_requested_schedule(
    fitted: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (fitted(), *RUN, "schedule=cosine", "schedule.final_fraction=0.2", "schedule.warmup_tokens=300k")
    texts = []
    for _ in range(2):
        assert optimize(*words, "--min-rate", "0.1", "--json", "-") == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    document = json.loads(texts[0])
    assert document["schedules"][0]["schedule"] == "requested: cosine to 20 %"
    assert document["warmup_steps"] == 293
    for each in document["schedules"][3:]:
        assert "schedule.warmup_tokens=300k" in each["settings"]
        assert not any("schedule=cosine" in setting for setting in each["settings"])
    last = document["schedules"][-1]["settings"][-1]
    assert min(float(knot.partition(":")[2]) for knot in last.partition("=")[2].strip('"').split()) >= 0.1


@pytest.mark.slow
def test_law_over_sizes_reads_the_size_of_the_settings(fitted: Make, capsys: pytest.CaptureFixture[str]) -> None:
    fit = fitted("annealing:N", replicates=0, **OVER_SIZES)
    documents = {}
    for size in ("25k", "57k"):
        assert optimize(fit, f"size={size}", *RUN[1:], "--json", "-") == 0
        documents[size] = json.loads(capsys.readouterr().out)
    assert documents["25k"]["size"] < documents["57k"]["size"]
    assert documents["25k"]["schedules"][-1]["loss"] > documents["57k"]["schedules"][-1]["loss"]
    assert documents["25k"]["schedules"][-1]["gain_interval_90"] is None
    assert any("no bootstrap replicates" in each for each in documents["25k"]["notes"])


@pytest.mark.slow
def test_schedule_with_few_steps_after_the_warmup(fitted: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert optimize(fitted(), "size=25k", "horizon.steps=402", "schedule=constant", "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["steps"] == 402
    assert document["warmup_steps"] == 400


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("size=25k", "optimizer.rate=0.1"), "the peak rate is 0.1"),
        (("size=25k", "horizon.tokens=300k"), "do not fit into"),
        (("size=25k", "schedule.knots=3"), "knots"),
        (("sise=25k",), "sise"),
        (("size=25k", "--min-rate", "1.5"), "1.5: give a share of the peak rate"),
        (("size=25k", "--csv", "/no-such-folder/best.csv"), "there is no folder"),
    ],
)
def test_optimize_invalid_input_is_one_line(
    fitted: Make, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = fitted()
    try:
        status = optimize(fit, *words)
    except SystemExit as stopped:
        status = stopped.code  # type: ignore[assignment]
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("law", "parameters"),
    [
        ("last-window", {"L0": 1.3, "A": 9.0, "alpha": 0.5}),
        ("trajectory", {"L0": 1.3, "S_c": 300.0, "alpha_S": 0.5}),
        ("last-window:N", {"L0": 1.3, "A": 9.0, "alpha": 0.5, "phi": 0.1, "A_N": 0.0, "alpha_N": 0.0}),
    ],
)
def test_law_without_cost_of_high_rates_is_refused(
    fitted: Make, law: str, parameters: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert optimize(fitted(law, **parameters), *RUN) == 2
    error = capsys.readouterr().err
    assert f"law {law}: high rates cost nothing" in error
    assert error.count("\n") == 1
