"""`windtunnel curves predict --seal` and `curves score`: one run predicted before it is trained, and compared after."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_study import FIXED
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.sweeps.cli.main import main
from windtunnel.train.records import find_runs, read_metrics

TRUTH = {"L0": 2.0, "A": 3.0, "C": 2.0, "alpha": 0.3, "memory": 10.0}
NOISY = {name: np.array([value, value * 1.01]) for name, value in TRUTH.items()}


@pytest.mark.slow
def test_curve_is_sealed_before_training_and_scored_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fit = FittedCurveLaw("annealing", TRUTH, "converged", NOISY, 0.01, 64.0, (1e-4, 1.0))
    fit.to_json(tmp_path / "law.json")
    fixed = {**FIXED, "horizon": "steps", "horizon.steps": 64, "logging.evaluation_interval_tokens": 512}
    settings = [*(f"{key}={json.dumps(value).strip(chr(34))}" for key, value in fixed.items()), "runtime.compile=off"]
    words = ["curves", "predict", "law.json", *settings, "schedule=cosine", "--seal", "--losses", "validation"]
    assert main(words) == 2
    assert "not prepared" in capsys.readouterr().err
    assert main(["train", *settings, "schedule=constant"]) == 0  # prepares the data
    capsys.readouterr()
    assert main([*words, "--json", "sealed.json"]) == 0
    path = json.loads((tmp_path / "sealed.json").read_text())["path"]
    (target,) = json.loads(Path(path).read_text())["targets"]
    assert main(["train", *settings, "schedule=cosine"]) == 0
    run = next(folder for folder in find_runs(tmp_path / "runs") if "cosine" in folder.name)
    rows = [row for row in read_metrics(run, "evaluation") if row["step"] >= target["step"][0]]
    assert [row["step"] for row in rows] == target["step"]
    capsys.readouterr()
    assert main(["curves", "score", path, str(run), "--json", "-"]) == 0
    (scored,) = json.loads(capsys.readouterr().out)["runs"]
    measured = np.array([row["validation_nats_per_token"] for row in rows])
    error = np.array(target["loss"]) / measured - 1
    assert scored["mean_abs_relative_error"] == pytest.approx(float(np.abs(error).mean()), rel=1e-9)
    assert scored["final"] == pytest.approx(float(error[-1]), rel=1e-9)
    assert target["runs"] == [run.name]
    # A started run cannot be sealed, nor a seed replicate of it; a run of another schedule cannot be scored.
    assert main([*words[:3], "seed=5", *words[3:]]) == 2
    assert "has started" in capsys.readouterr().err
    other = next(folder for folder in find_runs(tmp_path / "runs") if "constant" in folder.name)
    assert main(["curves", "score", path, str(other)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    # Nor can a run of other data or another optimizer, although its schedule, peak rate and size are those predicted.
    assert main(["train", *settings, "schedule=cosine", "seed=3", "optimizer.beta2=0.5"]) == 0
    assert main(["train", *settings, "schedule=cosine", "seed=4"]) == 0
    other_optimizer, replicate = (
        next(str(folder) for folder in find_runs(tmp_path / "runs") if f"-s{seed}-" in folder.name) for seed in (3, 4)
    )
    capsys.readouterr()
    assert main(["curves", "score", path, other_optimizer]) == 2
    assert "differs in more than its seed" in capsys.readouterr().err
    assert main(["curves", "score", path, str(run), replicate]) == 0
    assert main(["curves", "score", path, str(run), str(run)]) == 2
    assert "named twice" in capsys.readouterr().err
