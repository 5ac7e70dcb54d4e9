"""What the commands that train refuse before training: a plan beyond its budget, laws that its family cannot identify,
and a second process on one study.
"""

from pathlib import Path

import pytest
import yaml

from tests.support.tiny_study import WriteStudy
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.planning.cost import Timing

TRAINING = (("study",), ("sweep", "run"))
SUBMITTING = (("study", "--submit"), ("sweep", "submit"))


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windtunnel.sweeps.slurm.queue.require_slurm", lambda: None)


def add(path: Path, **sections: object) -> Path:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **sections}))
    return path


def error_of(verb: tuple[str, ...], study: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The error line of a command that trains nothing."""
    folder = study.parent
    arguments = [*verb, str(study), "--runs", str(folder / "runs"), "--data", str(data)]
    if verb[0] == "study":
        arguments += ["--results", str(folder / "results")]
    capsys.readouterr()
    assert main(arguments) == 2
    assert not list((folder / "runs").glob("*/run.json"))
    assert not list((folder / "runs").glob(".studies/*/*.sh"))
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("windtunnel:")]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize("verb", [*TRAINING, *SUBMITTING])
@pytest.mark.parametrize(
    ("budget", "message"), [({"tokens": 1000}, "tokens 2.56e+04 of 1000"), ({"flops": "1e6"}, "flops ")]
)
def test_plan_beyond_its_budget(
    verb: tuple[str, ...],
    budget: dict[str, object],
    message: str,
    write_study: WriteStudy,
    data_directory: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = add(write_study(seeds=5, steps=(40,)), budget=budget)
    error = error_of(verb, study, data_directory, capsys)
    assert f"{study}:1: beyond the budget: {message}" in error


@pytest.mark.parametrize("verb", TRAINING)
def test_hours_are_checked_where_timings_are_known(
    verb: tuple[str, ...],
    write_study: WriteStudy,
    data_directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = add(write_study(seeds=2, steps=(40,)), budget={"hours": 0.02})
    timing = Timing(0.0, 1.0, 0.0, 0.0, "measured")
    monkeypatch.setattr(
        "windtunnel.sweeps.planning.budget.local_timings", lambda configs, *_, **__: dict.fromkeys(configs, timing)
    )
    error = error_of((*verb, "--workers", "1"), study, data_directory, capsys)
    assert "beyond the budget: hours 0.02222 of 0.02" in error


@pytest.mark.parametrize("verb", [*TRAINING, *SUBMITTING])
def test_law_that_the_family_cannot_identify(
    verb: tuple[str, ...], write_study: WriteStudy, data_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = add(write_study(), analysis={"laws": ["chinchilla"]})
    assert f"{study}:3: chinchilla: every point has N = " in error_of(verb, study, data_directory, capsys)


def test_second_process_on_one_study(
    write_study: WriteStudy, data_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study()
    with ResultsFolder(study.parent / "results" / study.stem).lock():
        error = error_of(("study",), study, data_directory, capsys)
    assert error.endswith("another process is running this study; repeat the command when it has ended")
