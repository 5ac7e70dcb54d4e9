"""The one door: a line for bad input whatever the verb, and --debug on either side of it."""

import argparse
from types import SimpleNamespace

import pytest

from sweeps import command
from sweeps.command import main


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["export"], "windtunnel export: the following arguments are required: RUN (see windtunnel export --help)"),
        (["export", "r", "--step", "x"], "windtunnel export: argument --step: invalid int value: 'x' (see windtunnel"),
        (
            ["doctor", "two\nlines"],
            "windtunnel doctor: unrecognized arguments: two lines (see windtunnel doctor --help)",
        ),
        (
            ["data", "prepare", "speeches", "--data-directory", ""],
            "windtunnel data prepare: an empty value after --data-directory: give one (see windtunnel data prepare",
        ),
        (["data", "prepare", "speeches", "--json="], "windtunnel data prepare: an empty value after --json: give one"),
        (["data", "prepare", "speeches", "--vocabulary", "1e999999999"], "windtunnel data prepare: argument --vocab"),
        (["wandb", "push", ""], "windtunnel wandb push: an empty value: give one (see windtunnel wandb push --help)"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    (written,) = capsys.readouterr().err.splitlines()
    assert written.startswith(line)
    assert written.endswith("--help)")


def test_an_unknown_verb_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["two\nlines"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("windtunnel: two lines: no such verb (there are: train, data prepare")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(options: argparse.Namespace) -> int:
        raise RuntimeError("no good")

    module = SimpleNamespace(add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr(command, "import_module", lambda name: module)


@pytest.mark.parametrize("words", [["--debug", "doctor"], ["doctor", "--debug"], ["--debug", "doctor", "--debug"]])
@pytest.mark.usefixtures("failing")
def test_debug_shows_the_traceback_on_either_side_of_the_verb(words: list[str]) -> None:
    with pytest.raises(RuntimeError, match="no good"):
        main(words)


@pytest.mark.usefixtures("failing")
def test_without_debug_a_failure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "windtunnel: RuntimeError: no good\n"


def test_debug_before_train_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from train import command as train_command

    monkeypatch.setattr(train_command, "main", lambda words: 0 if list(words) == ["seed=1", "--debug"] else 1)
    assert main(["--debug", "train", "seed=1"]) == 0
