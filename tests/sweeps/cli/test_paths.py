"""A verb never writes over a file that it reads."""

import argparse
from pathlib import Path

import pytest

from windtunnel.analysis.tables.from_runs import RunSet
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.cli.paths import check_distinct_files, json_output, output_file

VERBS = [
    ["approaches", "FILE"],
    ["conventions", "FILE"],
    ["contrast", "FILE", "FILE", "--at", "C=1e18"],
    ["contrast", "other.csv", "FILE", "--at", "C=1e18"],
    ["isoflop", "FILE"],
    ["optimum", "FILE", "--flops", "1e18"],
    ["predict", "FILE", "--at", "N=1e8,D=1e9"],
    ["predict", "fit.json", "--at", "N=1e8,D=1e9", "--results", "FILE"],
    ["rank", "FILE", "--laws", "kaplan"],
    ["report", "FILE"],
    ["report", "other.csv", "--prediction", "FILE"],
    ["report", "other.csv", "--score", "FILE"],
    ["score", "FILE", "other.csv"],
    ["score", "prediction.json", "FILE"],
    ["curves", "fit", "--law", "auto", "--train", "FILE"],
    ["curves", "predict", "law.json", "--schedule", "FILE"],
    ["curves", "monitor", "runs", "--law", "FILE"],
    ["sweep", "plan", "FILE"],
]


@pytest.mark.parametrize("words", VERBS)
def test_input_is_not_written_over(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    read = tmp_path / "read.csv"
    read.write_text("N,D,loss\n1e6,1e8,3.0\n")
    command = [str(read) if word == "FILE" else word for word in words]
    assert main([*command, "--json", "./read.csv"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("windtunnel: --json read.csv: this file is also ")
    assert line.endswith("; name another")
    assert read.read_text() == "N,D,loss\n1e6,1e8,3.0\n"


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("--output", type=output_file)
    parser.add_argument("--json", type=json_output)
    return parser


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["a.csv", "--output", "a.csv"], "--output a.csv: this file is also SOURCE; name another"),
        (["a.csv", "--output", "b", "--json", "b"], "--json b: this file is also --output; name another"),
    ],
)
def test_two_arguments_name_one_file(
    parser: argparse.ArgumentParser, words: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").touch()
    with pytest.raises(ValueError, match=problem):
        check_distinct_files(parser, parser.parse_args(words))


def test_standard_output_and_the_runs_of_a_study_are_not_files(
    parser: argparse.ArgumentParser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_distinct_files(parser, parser.parse_args(["-", "--json", "-"]))
    arguments = parser.parse_args(["study", "--json", "out.json"])
    arguments.source = RunSet("study", tmp_path, ("a run",))
    check_distinct_files(parser, arguments)
