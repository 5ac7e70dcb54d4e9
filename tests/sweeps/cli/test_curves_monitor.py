"""`windtunnel curves monitor`: its text and JSON for runs whose records the tests write."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.run_records import TOKENS_PER_STEP, record, variant, write
from tests.support.synthetic_curves import TRUTH
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.monitoring.partial_curve import PartialCurve
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.sweeps.cli.main import main

STEPS, EVERY, RATE = 1000, 5, 0.006
PARAMETERS = {name: np.full(100, value) for name, value in {**TRUTH["annealing"], "C": 0.3}.items()}


@pytest.fixture
def law(tmp_path: Path) -> str:
    values = {name: float(drawn[0]) for name, drawn in PARAMETERS.items()}
    path = tmp_path / "law.json"
    FittedCurveLaw("annealing", values, "converged", PARAMETERS, 0.003, float(STEPS), (RATE, RATE)).to_json(path)
    return str(path)


def make_run(runs: Path, seed: int, until: int = STEPS, *, status: str = "finished", **values: float) -> str:
    """A run of the law with its own distance and noise; other constants of the law with `values`."""
    content = variant(record(steps=STEPS, seed=seed), status=status)
    content["config"]["logging"]["every_steps"] = EVERY
    folder = runs / write(runs, content)
    generator, made = np.random.default_rng(seed), PartialCurve(folder)
    end_P = np.arange(EVERY, until + 1, EVERY)
    query = LossCurve.query("", made.rates, np.maximum(end_P - (EVERY + 1) / 2, 1))
    truth = {**{name: float(drawn[0]) for name, drawn in PARAMETERS.items()}, **values}
    loss_P = curve_law("annealing").predict(truth, query)
    loss_P = loss_P * np.exp(0.003 * generator.standard_normal() + 0.01 * generator.standard_normal(len(end_P)))
    append(folder, end_P, loss_P)
    (folder / "timings.jsonl").write_text(f'{{"step":{until},"seconds":1.0,"tokens_per_second":{TOKENS_PER_STEP}}}\n')
    return str(folder)


def append(folder: Path, end_P: np.ndarray, loss_P: np.ndarray) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        for step, loss in zip(end_P, loss_P, strict=True):
            row = {"kind": "train", "step": int(step), "tokens": int(step) * TOKENS_PER_STEP, "loss": float(loss)}
            file.write(json.dumps(row) + "\n")


def monitor(*words: str) -> int:
    return main(["curves", "monitor", *words])


def test_monitor_compares_runs_with_their_family(tmp_path: Path, law: str, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    for seed in range(8):
        make_run(runs, seed)
    good = make_run(runs, 20, 600, status="running")
    bad = make_run(runs, 21, 600, status="running", A=1.0, alpha=0.2)
    write(runs, variant(record(steps=STEPS, shape="cosine")), losses={})
    assert monitor(str(runs), "--law", law, "--family", str(runs), "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["law"], document["law_status"]) == ("annealing", "converged")
    runs_by_name = {each["run"]: each for each in document["runs"]}
    assert runs_by_name.keys() == {Path(good).name, Path(bad).name}
    first, second = runs_by_name[Path(good).name], runs_by_name[Path(bad).name]
    assert (first["status"], first["step"], first["progress"]) == ("running", 600, 0.6)
    assert first["seconds_left"] == 400
    low, high = first["final"]["interval_90"]
    assert low < first["final"]["loss"] < high
    assert first["final"]["by"] == "law and own curve"
    assert (first["collapse"]["off"], second["collapse"]["off"]) == (False, True)
    assert first["collapse"]["family"] == 8
    assert first["collapse"]["floor"] == "law"
    assert second["collapse"]["since_step"] < 600
    assert any("left out: a schedule of another shape" in note for note in first["notes"])
    assert monitor(good, bad, "--law", law, "--family", str(runs)) == 0
    output = capsys.readouterr().out
    assert "600/1,000  60%" in output
    assert "7 min left" in output
    assert "on the family's curve, within" in output
    assert "OFF the family's curve by" in output


def test_forecast_without_points_is_the_law_alone(tmp_path: Path, law: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "runs", 0, 100, status="running")
    assert monitor(Path(run).name, "--runs", str(tmp_path / "runs"), "--law", law) == 0
    assert "by the law alone" in capsys.readouterr().out
    assert monitor(run, "--law", law, "--family", run, "--json", "-") == 0
    (run_status,) = json.loads(capsys.readouterr().out)["runs"]
    assert run_status["final"]["by"] == "law"
    assert run_status["collapse"]["off"] is None
    assert "0 curves in the family" in run_status["collapse"]["reason"]


def test_watch_ends_with_the_run(
    tmp_path: Path, law: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(make_run(tmp_path / "runs", 0, 500, status="running"))

    def advance(seconds: float) -> None:
        assert seconds == 2
        append(run, np.arange(505, 605, 5), np.full(20, 3.0))
        content = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**content, "status": "preempted"}))

    monkeypatch.setattr("windtunnel.sweeps.cli.curves_monitor.time.sleep", advance)
    assert monitor(str(run), "--law", law, "--watch", "2") == 0
    output = capsys.readouterr().out
    assert "500/1,000" in output
    assert "600/1,000" in output
    assert output.rstrip().endswith("preempted")


def test_partial_curve_follows_a_resumed_run(tmp_path: Path) -> None:
    folder = Path(make_run(tmp_path, 0, 400, status="running"))
    run = PartialCurve(folder)
    assert len(run.read()[0]) == 60
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"kind":"train","step":405,"lo')  # half written
    assert (len(run.read()[0]), run.step) == (60, 400)
    kept = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)[:50]
    (folder / "rewound").write_bytes(b"".join(kept))
    (folder / "rewound").replace(folder / "metrics.jsonl")
    assert (len(run.read()[0]), run.step) == (30, 250)


def test_monitor_invalid_input_is_one_line(tmp_path: Path, law: str, capsys: pytest.CaptureFixture[str]) -> None:
    finished = make_run(tmp_path / "runs", 0)
    (tmp_path / "torn.json").write_text("{")
    for words, message in (
        ((finished, "--law", str(tmp_path / "torn.json")), "torn.json"),
        (("nothing", "--law", law), "nothing: no run there"),
        ((str(tmp_path / "runs"), "--law", law), "all runs there are finished"),
        ((finished, "--law", law, "--watch", "5", "--json", "-"), "--watch with --json -"),
        ((finished, "--law", law, "--family", "nobody"), "nobody: no run there"),
    ):
        assert monitor(*words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    (Path(finished) / "metrics.jsonl").write_text("no row\n")
    assert monitor(finished, "--law", law) == 2
    assert "not rows of a curve" in capsys.readouterr().err


def test_run_with_another_peak_rate_has_no_forecast(
    tmp_path: Path, law: str, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    for seed in range(3):
        make_run(runs, seed)
    run = Path(make_run(runs, 9, 600, status="running"))
    content = json.loads((run / "run.json").read_text())
    content["config"]["optimizer"]["rate"] = 5 * RATE
    (run / "run.json").write_text(json.dumps(content))
    assert monitor(str(run), "--law", law, "--family", str(runs)) == 0
    output = capsys.readouterr().out
    assert "note: no final loss: the peak rate is 0.03, but those of the fitted curves are 0.006 to 0.006" in output
    assert "the family's curve" in output
    assert "3 curves of 3 seeds, few" in output
