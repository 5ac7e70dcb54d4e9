"""`windtunnel curves fit|rank|predict`: text, JSON and errors."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.synthetic_curves import make_curve, write_curve
from windtunnel.sweeps.cli.main import main


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The annealing law's own curves, with a little noise."""
    folder, generator, paths = tmp_path_factory.mktemp("curves"), np.random.default_rng(0), {}
    for name in ("constant", "cosine", "two-stage", "decay"):
        curve = make_curve("annealing", name, every=60)
        curve.loss_P[:] *= np.exp(3e-4 * generator.standard_normal(curve.num_points))
        paths[name] = str(write_curve(folder / f"{name}.csv", curve))
    return paths


def curves(verb: str, *words: str) -> int:
    return main(["curves", verb, *words])


def trained(files: dict[str, str]) -> list[str]:
    return ["--train", files["constant"], files["cosine"], files["two-stage"], "--warmup", "60"]


def test_curves_fit_json(files: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    words = ("--law", "annealing", *trained(files), "--test", files["decay"], "--json", str(path))
    assert curves("fit", *words) == 0
    document = json.loads(path.read_text())
    assert document["law"] == "annealing"
    assert document["status"] == "converged"
    assert document["parameters"]["alpha"] == pytest.approx(0.45, rel=0.05)
    (test,) = document["test"]
    assert test["curve"] == files["decay"]
    assert test["mean_abs_relative_error"] == document["mean_abs_relative_error"] < 1e-3
    assert test["worst"] == document["worst"] < 3e-3
    assert abs(test["final"]) <= test["worst"]


def test_curves_fit_notes_test_curve_of_another_size(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    train = [f"{files[name]}@N=25e6" for name in ("constant", "cosine", "two-stage")]
    words = ("--law", "annealing", "--train", *train, "--warmup", "60", "--test")
    assert curves("fit", *words, f"{files['decay']}@N=25e6") == 0
    assert "note" not in capsys.readouterr().out
    assert curves("fit", *words, f"{files['decay']}@N=100e6") == 0
    assert "note: scored, but outside the domain of the fit: " in (output := capsys.readouterr().out)
    assert "N is 100,000,000" in output


def test_law_without_a_point_to_fit_is_refused_and_ranked_last(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The trajectory law reads what is at the peak rate, where a cosine alone has next to nothing."""
    pair = ["--train", files["constant"], files["cosine"], "--warmup", "60"]
    assert curves("rank", "--laws", "trajectory,annealing", *pair, "--json", "-") == 0
    laws = json.loads(capsys.readouterr().out)["laws"]
    assert [each["law"] for each in laws] == ["annealing", "trajectory"]
    assert laws[1]["inner_mean_abs_relative_error"] is None
    assert curves("fit", "--law", "trajectory", "--train", files["cosine"], "--warmup", "60") == 2
    assert "refused (too_few_points): 1 points" in capsys.readouterr().err


def test_batch_sizes_that_a_law_ignores_are_noted(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = []
    for name, batch in (("constant", 1024), ("cosine", 1024), ("two-stage", 2048)):
        lines = Path(files[name]).read_text().splitlines()
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join([f"{lines[0]},batch", *(f"{line},{batch}" for line in lines[1:])]) + "\n")
        words.append(str(path))
    for verb, law in (("fit", "--law"), ("rank", "--laws")):
        assert curves(verb, law, "annealing", "--train", *words, "--warmup", "60", "--columns", "B=batch") == 0
        assert "note: the updates of the fitted curves have 1,024, 2,048 tokens; annealing ignores the difference" in (
            capsys.readouterr().out
        )


@pytest.mark.slow
def test_curves_rank_orders_by_cross_validation_alone(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--laws", "annealing,instantaneous,last-window", *trained(files), "--json", "-")
    assert curves("rank", *words, "--test", files["decay"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["best"] == "annealing"
    inner = [each["inner_mean_abs_relative_error"] for each in document["laws"]]
    assert inner == sorted(inner)
    # Test curves do not enter the order.
    assert curves("rank", *words) == 0
    alone = json.loads(capsys.readouterr().out)
    assert [each["inner_mean_abs_relative_error"] for each in alone["laws"]] == inner


@pytest.mark.slow
def test_curves_predict_interval_and_invalid_schedules(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit, out = tmp_path / "law.json", tmp_path / "prediction.json"
    words = ("--law", "annealing", *trained(files), "--output", str(fit), "--bootstrap", "100")
    assert curves("fit", *words) == 0
    assert curves("predict", str(fit), "--schedule", files["decay"], "--warmup", "60", "--json", str(out)) == 0
    document = json.loads(out.read_text())
    last = make_curve("annealing", "decay", every=60).loss_P[-1]
    low, high = document["final"]["interval_90"]
    assert low < document["final"]["loss"] < high
    assert document["final"]["loss"] == pytest.approx(last, rel=1e-3)
    assert high - low < 0.05
    assert len(document["curve"]["loss"]) == len(document["curve"]["step"])
    capsys.readouterr()
    assert curves("predict", str(fit)) == 2
    assert "which schedule?" in capsys.readouterr().err
    higher = tmp_path / "higher.csv"
    higher.write_text("step,lr\n0,0.01\n1000,0.01\n2000,0.001\n")
    assert curves("predict", str(fit), "--schedule", str(higher)) == 2
    assert "the peak rate is 0.01" in capsys.readouterr().err
    content = json.loads(fit.read_text())
    content["parameters"]["L0"] = 1.0
    fit.write_text(json.dumps(content))
    assert curves("predict", str(fit), "--schedule", files["decay"]) == 2
    assert "changed after it was written" in capsys.readouterr().err


def test_curves_fit_invalid_input_is_one_line(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (("--law", "gravity", *trained(files)), "no curve law named"),
        (("--law", "annealing", *trained(files), "--test", files["cosine"]), "named twice"),
        (("--law", "annealing", *trained(files), "--objective", "log-lad"), "curves are fitted with"),
        (("--law", "annealing", "--train", os.devnull), "no such file"),
    ):
        assert curves("fit", *words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("auto:N", "auto combines laws itself"),
        ("0.5*annealing+0.5*instantaneous", "weights cannot be given; auto finds them"),
        ("0.5*annealing:N+0.5*instantaneous", "weights cannot be given; auto finds them"),
        ("anealing:N", "did you mean annealing"),
    ],
)
def test_invalid_law_name_error_says_what_to_write(
    files: dict[str, str], capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    assert curves("fit", "--law", name, *trained(files)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_negative_warmup_is_rejected(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        curves("fit", "--law", "annealing", "--train", files["cosine"], "--warmup", "-3")
    assert caught.value.code == 2
    assert "-3: give a whole number of steps, 0 or more" in capsys.readouterr().err


def test_curves_rank_ends_without_an_empty_line(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert curves("rank", "--laws", "instantaneous,last-window", *trained(files)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
