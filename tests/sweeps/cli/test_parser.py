"""Renamed options and verbs, and the names of library arguments as options."""

import argparse
import json
from pathlib import Path

import pytest

from windtunnel.sweeps.cli.main import RENAMED_VERBS, VERBS, main
from windtunnel.sweeps.cli.parser import RENAMED_OPTIONS, Parser, name_options


@pytest.fixture
def points(tmp_path: Path) -> Path:
    path = tmp_path / "points.csv"
    rows = [f"{n}e6,{d}e7,{1 + 1 / n + 2 / d},{6e13 * n * d}" for n in (1, 2, 4, 8) for d in (1, 2, 4, 8)]
    path.write_text("\n".join(["N,D,loss,C", *rows, ""]))
    return path


def test_old_option_works_and_prints_its_new_name(capsys: pytest.CaptureFixture[str]) -> None:
    for old, new in RENAMED_OPTIONS.items():
        parser = Parser(prog="windtunnel verb")
        parser.add_argument(new, dest="value")
        assert parser.parse_words([old, "1"]).value == "1"
        assert parser.parse_words([f"{old}=a=b"]).value == "a=b"
        assert capsys.readouterr().err == 2 * f"windtunnel: {old} is now {new}\n"
        assert parser.parse_words([new, "1"]).value == "1"
        assert capsys.readouterr().err == ""


def test_old_option_is_hidden_and_unknown_to_other_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="windtunnel verb")
    parser.add_argument("--holdout")
    assert "--hold " not in parser.format_help()
    with pytest.raises(SystemExit):
        parser.parse_words(["--far"])
    assert capsys.readouterr().err == "windtunnel verb: unrecognized arguments: --far (see windtunnel verb --help)\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "words", "notes"),
    [
        ("rank", ["--laws", "kaplan", "--hold", "C > 1e15"], ["--hold is now --holdout"]),
        ("approaches", ["--far", "--mixed"], ["--far is now --allow-extrapolation", "--mixed is now --allow-mixed"]),
        ("report", ["--out", "{folder}/report"], ["--out is now --output"]),
        ("table", ["--mixed"], ["--mixed is now --allow-mixed"]),
    ],
)
def test_old_options_of_verbs(
    verb: str, words: list[str], notes: list[str], points: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([verb, str(points), *(word.format(folder=points.parent) for word in words)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[: len(notes)] == [f"windtunnel: {note}" for note in notes]


@pytest.mark.parametrize(("old", "new"), RENAMED_VERBS.items())
def test_old_verb_works_and_prints_its_new_name(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert new in VERBS
    assert old not in VERBS
    with pytest.raises(SystemExit) as caught:
        main([*old.split(), "--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr()
    assert printed.err == f"windtunnel: {old} is now {new}\n"
    assert printed.out.startswith(f"usage: windtunnel {new} ")


def test_old_verb_reads_its_options(points: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "audit.json"
    assert main(["audit", str(points), "--bootstrap", "100", "--json", str(out)]) == 0
    assert capsys.readouterr().err == "windtunnel: audit is now conventions\n"
    assert json.loads(out.read_text())["law"] == "chinchilla"


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ("too far: pass allow_extrapolation=True", "too far: pass --allow-extrapolation"),
        ("choose rows with where=...; or", "choose rows with --where; or"),
        ("leave it out with `exclude=...`.", "leave it out with `--exclude`."),
        ("another source=...", "another SOURCE"),
        # Not an argument of the verb, or not written in one of the two forms.
        ("pass bootstrap=...", "pass bootstrap=..."),
        ("where=True, allow_extrapolation=...", "where=True, allow_extrapolation=..."),
        ("horizon.where=... and where=1", "horizon.where=... and where=1"),
        ("allow_extrapolation=Truely", "allow_extrapolation=Truely"),
    ],
)
def test_argument_names_are_printed_as_options(message: str, printed: str) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("--where")
    parser.add_argument("--exclude", action="append")
    parser.add_argument("--allow-extrapolation", action="store_true")
    assert name_options(message, parser) == printed


def test_error_of_a_verb_names_its_options(points: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`load_table` names its argument; the command prints its option."""
    from windtunnel.analysis.tables.load import load_table
    from windtunnel.train.errors import InputError

    with pytest.raises(InputError, match=r"columns=\.\.\."):
        load_table(points, columns="N")
    assert main(["table", str(points), "--columns", "N"]) == 2
    printed = capsys.readouterr().err
    assert "--columns" in printed
    assert "=..." not in printed
