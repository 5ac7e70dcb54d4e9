"""One line for bad input of every verb, `--debug` on either side of the verb, and the help texts."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from windtunnel.sweeps.cli import main as command
from windtunnel.sweeps.cli.main import RENAMED_VERBS, VERBS, main
from windtunnel.sweeps.cli.parser import RENAMED_OPTIONS


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
            ["data", "prepare", "speeches", "--data", ""],
            "windtunnel data prepare: an empty value after --data: give one (see windtunnel data prepare",
        ),
        (["data", "prepare", "speeches", "--json="], "windtunnel data prepare: an empty value after --json: give one"),
        (["data", "prepare", "speeches", "--vocabulary", "1e999999999"], "windtunnel data prepare: argument --vocab"),
        (["wandb", "push", ""], "windtunnel wandb push: an empty value: give one (see windtunnel wandb push --help)"),
    ],
)
def test_invalid_command_line_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    (written,) = capsys.readouterr().err.splitlines()
    assert written.startswith(line)
    assert written.endswith("--help)")


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with a column to spare."""
    path = tmp_path_factory.mktemp("points") / "points.csv"
    rows = [f"{n}e6,{d}e7,{1 + 1 / n + 2 / d}" for n in (1, 2, 4, 8) for d in (1, 2, 4, 8)]
    path.write_text("\n".join(["N,D,loss", *rows, ""]))
    return path


FIT = ("fit", "--law", "chinchilla")
RESAMPLING = (FIT, ("conventions",), ("isoflop",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *(((*verb, "--bootstrap", "2"), "--bootstrap: 2 replicates: an interval needs 100") for verb in RESAMPLING),
        *(((*verb, "--seed", "-1"), "--seed: -1: a seed is 0 or more") for verb in RESAMPLING),
        (("contrast", "{points}", "--at", "C=1e14", "--bootstrap", "10"), "--bootstrap: 10 replicates"),
        ((*FIT, "--bootstrap", "many"), "--bootstrap: 'many' is not a whole number"),
        ((*FIT, "--json", "{folder}/none/a.json"), "--json: {folder}/none/a.json: there is no folder {folder}/none"),
        ((*FIT, "--json", "{folder}"), "--json: {folder} is a folder; name a file in it"),
        ((*FIT, "--output", "{folder}"), "--output: {folder} is a folder"),
        ((*FIT, "--output", "-"), "--output: - is standard output"),
        (("table", "--csv", "{folder}/none/a.csv"), "--csv: {folder}/none/a.csv: there is no folder"),
        (
            ("predict", "--at", "N=1,D=1", "--seal", "--output", "{points}"),
            "--output: {points} is a file",
        ),
    ],
)
def test_invalid_options_are_reported_before_any_work(
    points: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"folder": str(points.parent), "points": str(points)}
    verb, *options = (word.format(**places) for word in words)
    with pytest.raises(SystemExit) as caught:
        main([verb, str(points), *options])
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"windtunnel {verb}: argument {message.format(**places)}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*FIT, "--where", "N == 1e6"), "refused (too_few_points)"),
        (("conventions", "--where", "N == 1e6"), "no convention could be fitted: refused (too_few_points)"),
        (("isoflop",), "refused (too_few_points)"),
        (
            ("rank", "--laws", "chinchilla", "--where", "D <= 2e7 and N < 8e6"),
            "refused: no law could be fitted: chinchilla",
        ),
    ],
)
def test_refused_fit_is_one_line_on_standard_error(
    points: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *options = words
    for form in ((), ("--json", "-")):
        assert main([verb, str(points), *options, *form]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith(f"windtunnel: {message}")
        assert captured.err.count("\n") == 1
        assert captured.err.split(": ", 1)[1].strip() not in captured.out
        if form:
            assert json.loads(captured.out)


def test_closed_pipe_is_silent(points: Path) -> None:
    script = "import sys; from windtunnel.sweeps.cli.main import main; sys.exit(main(sys.argv[1:]))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", script, "table", str(points)], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_interrupt_during_import_is_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "import_module", interrupt)
    assert main(["table", "runs"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.fixture(scope="module")
def helps() -> dict[str, tuple[str, bool]]:
    """The help of every verb, and whether torch was loaded by then."""
    script = (
        "import contextlib, io, json, sys\n"
        "from windtunnel.sweeps.cli.main import VERBS, main\n"
        "helps = {}\n"
        "for verb in VERBS:\n"
        "    if verb == 'train': continue\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        "        main([*verb.split(), '--help'])\n"
        "    helps[verb] = out.getvalue(), 'torch' in sys.modules\n"
        "print(json.dumps(helps))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    helps_by_verb: dict[str, tuple[str, bool]] = json.loads(done.stdout)
    return helps_by_verb


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "train"])
def test_help_of_a_verb_loads_no_torch_and_has_an_example(verb: str, helps: dict[str, tuple[str, bool]]) -> None:
    text, has_torch = helps[verb]
    assert not has_torch
    assert text.startswith(f"usage: windtunnel {verb} ")
    assert VERBS[verb] in text
    assert re.search(rf"^examples?:\n  windtunnel {verb}\b", text, re.MULTILINE)
    assert not re.search("|".join(rf"{old}\b" for old in RENAMED_OPTIONS if old != "--out"), text)
    assert not re.search(r"--out\b(?!put)", text)


def test_a_table_starts_without_torch_pandas_and_scipy(points: Path) -> None:
    script = (
        "import sys\n"
        "from windtunnel.sweeps.cli.main import main\n"
        "main(sys.argv[1:])\n"
        "sys.exit(', '.join({'torch', 'pandas', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "table", str(points)], capture_output=True, text=True, check=False
    )
    assert done.stderr == "\n"
    assert "16 rows" in done.stdout


def test_overview_lists_every_verb_and_no_old_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {verb} " in printed for verb in VERBS)
    assert not any(f"  {verb} " in printed for verb in RENAMED_VERBS)
    assert max(map(len, printed.splitlines())) <= 120
    assert main(["curves", "--help"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        verb.split() for verb in VERBS if verb.startswith("curves ")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("words", [["fit", "--help"], ["--help"], ["train", "--help"], ["fit"]])
def test_python_m_windtunnel_is_named_windtunnel(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "windtunnel", *words], capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    assert printed.startswith(("usage: windtunnel ", "windtunnel fit: "))
    assert "__main__" not in printed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"windtunnel \d+\.\d+.*\n", capsys.readouterr().out)


def test_unknown_verb_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["two\nlines"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "windtunnel: two lines: no such verb; windtunnel --help lists the verbs"
    assert main(["curves", "monitr"]) == 2
    assert "curves monitr: no such verb; did you mean curves monitor?" in capsys.readouterr().err


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(options: argparse.Namespace) -> int:
        raise RuntimeError("no good")

    module = SimpleNamespace(EPILOG="", add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr(command, "import_module", lambda name: module)


@pytest.mark.parametrize("words", [["--debug", "doctor"], ["doctor", "--debug"], ["--debug", "doctor", "--debug"]])
@pytest.mark.usefixtures("failing")
def test_debug_shows_the_traceback_on_either_side_of_the_verb(words: list[str]) -> None:
    with pytest.raises(RuntimeError, match="no good"):
        main(words)


@pytest.mark.usefixtures("failing")
def test_failure_without_debug_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "windtunnel: RuntimeError: no good\n"


def test_debug_before_train_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from windtunnel.train import command as train_command

    monkeypatch.setattr(train_command, "main", lambda words, _: 0 if list(words) == ["seed=1", "--debug"] else 1)
    assert main(["--debug", "train", "seed=1"]) == 0


def test_study_as_source_is_its_runs(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Here none is trained yet; and the study file is never written over."""
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "mine.yaml"
    study.write_text("title: mine\nfamily: [{grid: {size: 25k, horizon.tokens: 1M}}]\n")
    assert main(["table", "mine.yaml"]) == 2
    assert "mine: none of its 1 runs is in runs yet" in capsys.readouterr().err
    assert main(["table", "mine.yaml", "--json", "mine.yaml"]) == 2
    assert "--json mine.yaml: this file is also SOURCE" in capsys.readouterr().err
    assert study.read_text().startswith("title: mine")
