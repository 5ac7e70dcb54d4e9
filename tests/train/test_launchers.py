"""The command line: every file of `configs/` composes, errors are one line, multiruns record every run."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel import configs
from windtunnel.sweeps.cli.main import main as windtunnel
from windtunnel.train.command import main
from windtunnel.train.config.compose import compose
from windtunnel.train.errors import InputError
from windtunnel.train.records import find_runs, read_record

FOLDER = Path(configs.__file__).parent
FILES = sorted(f"{path.parent.name}={path.stem}" for path in FOLDER.glob("*/*.yaml"))
# Settings without a default.
NEEDS = {
    "size=custom": ["size.width=32", "size.depth=2", "size.head_count=2"],
    "data=custom": ["data.spec=text:*.txt"],
    "schedule=piecewise": ["schedule.knots=0.5:0.8 1:0"],
}


def test_all_configuration_files_are_listed() -> None:
    assert len(FILES) == len(list(FOLDER.rglob("*.yaml"))) - 1  # config.yaml itself


@pytest.mark.slow
@pytest.mark.parametrize("choice", FILES)
def test_configuration_file_composes(choice: str) -> None:
    request = compose([choice, *NEEDS.get(choice, [])])
    assert request.seed == 0
    group, name = choice.split("=")
    if group == "schedule" and name != "decay":
        assert request.schedule.shape == {"two-stage": "wsd"}.get(name, name)
    if group == "horizon":
        assert getattr(request.horizon, name) is not None


@pytest.mark.parametrize("written", ["2e8", "200M", "200m", "0.2b", "200_000_000", "200000000", "2.0e8"])
def test_count_notations(written: str) -> None:
    assert compose(["horizon=tokens", f"horizon.tokens={written}"]).horizon.tokens == 200_000_000


@pytest.mark.slow
@pytest.mark.parametrize(("size", "parameters"), [("123k", 123_000), ("1.5m", 1_500_000), ("2e5", 200_000)])
def test_any_count_is_a_size(size: str, parameters: int) -> None:
    assert compose([f"size={size}"]).size.parameters == parameters
    assert compose([f"size={size}", "seed=1"]).size.parameters == parameters
    with pytest.raises(InputError, match="size=huge: no such choice") as caught:
        compose(["size=huge"])
    assert size not in str(caught.value).replace("any count such as 123k", "")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=1"], "optimizer.lr: no such setting (allowed here: rate, tokens_per_step, "),
        (
            ["optimizer.tokens_per_steps=1"],
            "optimizer.tokens_per_steps: no such setting; did you mean tokens_per_step?",
        ),
        (["sise=1"], "sise: no such setting; did you mean size? (allowed here: size, architecture, "),
        (["experimnt=smoke"], "experimnt: no such setting; did you mean experiment?"),
        (["+foo=1"], "foo: no such setting (allowed here: size, architecture, "),
        (["+optimizer.foo=1"], "optimizer.foo: no such setting (allowed here: rate, "),
        (["hydra.foo=1"], "Could not override 'hydra.foo'"),
        (["~seed"], "seed: Field required"),
        (
            ["schedule=sgdr"],
            "schedule=sgdr: no such choice (allowed: constant, cosine, decay, linear, piecewise, power, ",
        ),
        (["size=huge"], "size=huge: no such choice (allowed: 10k, 25k, 83k, "),
        (["optimizer=7"], "optimizer=7: no such choice (allowed: adamw)"),
        (["hydra/launcher=slum"], "hydra/launcher=slum: no such choice (allowed: basic"),
        (["data=custom"], "data.spec: must be given; write data.spec=..."),
        (["seed=x"], "seed: Input should be a valid integer"),
        (["seed=${nowhere}"], "seed: Interpolation key 'nowhere' not found"),
        (["optimizer.rate=fast"], "optimizer.rate: Input should be a valid number"),
        (["optimizer.rate=-1"], "optimizer.rate=-1.0: must be above 0"),
        (["optimizer.rate=nan"], "optimizer.rate=nan: must be a finite number"),
        (["optimizer.beta1=1"], "optimizer.beta1=1.0: must be at least 0 and below 1"),
        (
            ["optimizer.tokens_per_step=100"],
            "optimizer.tokens_per_step=100 is not a multiple of data.sequence_length=128",
        ),
        (["optimizer.tokens_per_step=0"], "optimizer.tokens_per_step: 0 is not a count"),
        (["seed=true"], "seed=true: must be a number"),
        (["seed=-1"], "seed=-1: must be at least 0"),
        (["data.sequence_length=0"], "data.sequence_length=0: must be at least 1"),
        (["runtime.keep_checkpoints=0"], "runtime.keep_checkpoints=0: must be at least 1"),
        (["logging.every_steps=0"], "logging.every_steps=0: must be at least 1"),
        (
            ["schedule.shape=sgdr"],
            "schedule.shape: Input should be 'wsd', 'cosine', 'linear', 'constant'",
        ),
        (["schedule=decay"], "schedule=decay: a decay needs a trunk; write branch_from=RUN@STEP too"),
        (["data.weights=[nan]"], "data.weights=[nan]: must be a finite number"),
        (["architecture.qk_norm=1"], "architecture.qk_norm: Input should be a valid boolean"),
        (
            ["horizon=tokens", "horizon.tokens=lots"],
            "horizon.tokens: 'lots' is not a count: write a whole number such as",
        ),
        (["horizon=tokens", "horizon.tokens=1.5"], "horizon.tokens: 1.5 is not a count"),
        (["horizon=tokens", "horizon.steps=4"], "horizon: exactly one of tokens, tokens_per_parameter, flops, steps"),
        (
            ["horizon.tokens=2M", "horizon.steps=4"],
            "horizon: exactly one of tokens, tokens_per_parameter, flops, steps",
        ),
        (["seed=0,1"], "seed=0,1: several values need --multirun"),
        (["seed"], "Error parsing override 'seed' missing EQUAL"),
        (["--resolve"], "The --resolve flag can only be used"),
        (["--config-dir=nowhere"], "Additional config directory "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_override_is_one_line(overrides: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*overrides, "dry_run=true"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"windtunnel: {message}")
    assert printed.err.count("\n") == 1


def test_debug_raises_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="must be above 0"):
        main(["--debug", "optimizer.rate=-1", "dry_run=true"])


def test_failed_run_has_status_1_and_is_recorded(
    arguments, capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the device fell off\nand more")

    monkeypatch.setattr("windtunnel.train.fleet.Fleet.step", fail)
    assert main(arguments()) == 1
    assert capsys.readouterr().err.endswith("windtunnel: RuntimeError: the device fell off\n")
    (folder,) = find_runs(tmp_path / "runs")
    assert read_record(folder)["status"] == "failed"
    assert read_record(folder)["error"] == "RuntimeError: the device fell off"


def test_all_entry_points_are_one_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--cfg", "job", "--resolve", "size=123k", "seed=3"]
    assert main(options) == 0
    shown = capsys.readouterr().out
    assert "  parameters: 123k\n" in shown
    assert "\nseed: 3\n" in shown
    assert "${" not in shown
    assert all(
        f"\n{path.name}:\n" in f"\n{shown}" for path in FOLDER.iterdir() if path.name in {"data", "size", "runtime"}
    )

    assert windtunnel(["train", *options]) == 0
    assert capsys.readouterr().out == shown
    monkeypatch.setattr(sys, "argv", ["train", *options])
    with pytest.raises(SystemExit) as ending:
        runpy.run_module("windtunnel.train", run_name="__main__")
    assert ending.value.code == 0
    assert capsys.readouterr().out == shown


def test_help_shows_examples_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "windtunnel train --multirun" in shown
    for choice in FILES:
        group, name = choice.split("=")
        (line,) = [line for line in shown.splitlines() if line.startswith(f"  {group}=")]
        printed = name.upper() if name[:1].isdigit() and name[-1] in "mb" else name  # the size 1m is printed as 1M
        assert printed in line.split()


@pytest.mark.slow
def test_run_writes_only_its_record(arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace = tmp_path / "workplace"
    workplace.mkdir()
    monkeypatch.chdir(workplace)
    assert main(arguments("runtime.runs_directory=runs")) == 0
    assert [path.name for path in workplace.iterdir()] == ["runs"]
    (folder,) = (workplace / "runs").iterdir()
    assert read_record(folder)["status"] == "finished"


@pytest.mark.slow
def test_multirun_continues_after_an_invalid_run(arguments, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--multirun", *arguments("optimizer.rate=1e-3,-1,2e-3", "horizon.steps=20")]) == 2
    records = [read_record(folder) for folder in find_runs(tmp_path / "runs")]
    assert sorted(record["config"]["optimizer"]["rate"] for record in records) == [1e-3, 2e-3]
    assert {record["status"] for record in records} == {"finished"}
    errors = capsys.readouterr().err
    (line,) = [line for line in errors.splitlines() if line.startswith("windtunnel: size=custom ")]
    assert " optimizer.rate=-1 " in line  # which run
    assert line.endswith(": optimizer.rate=-1.0: must be above 0")  # what is wrong with it
    assert "Traceback" not in errors


@pytest.mark.slow
def test_multirun_over_sizes_by_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--multirun", "size=123k,2e5", "dry_run=true", f"runtime.runs_directory={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "111,024 non-embedding" in shown
    assert "195,136 non-embedding" in shown


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_multirun_records_every_run(arguments, tmp_path: Path, launcher: str) -> None:
    command = Path(sys.executable).with_name("windtunnel")
    grid = arguments("seed=0,1", f"hydra/launcher={launcher}")
    done = subprocess.run(
        [command, "train", "--multirun", *grid], cwd=tmp_path, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("validation loss") == 2
    assert "#1 : " in done.stderr
    records = [read_record(folder) for folder in find_runs(tmp_path / "runs")]
    assert [record["status"] for record in records] == ["finished", "finished"]
    assert sorted(record["config"]["seed"] for record in records) == [0, 1]
    curves = {(tmp_path / "runs" / record["run_id"] / "metrics.jsonl").read_bytes() for record in records}
    assert len(curves) == 2
    # Beside the records there is one folder per multirun, with its configuration.
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    (sweep,) = (tmp_path / "runs" / ".multirun").iterdir()
    assert [path.name for path in sweep.iterdir()] == ["multirun.yaml"]
