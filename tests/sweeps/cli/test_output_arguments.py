"""What a verb reads is never what it writes over."""

import argparse
from pathlib import Path
from types import ModuleType

import pytest

from windtunnel.analysis.tables.table import RunSet
from windtunnel.sweeps.cli import approaches as approaches_command
from windtunnel.sweeps.cli import contrast as contrast_command
from windtunnel.sweeps.cli import conventions as audit_command
from windtunnel.sweeps.cli import isoflop as isoflop_command
from windtunnel.sweeps.cli import optimum as optimum_command
from windtunnel.sweeps.cli import predict as predict_command
from windtunnel.sweeps.cli import rank as rank_command
from windtunnel.sweeps.cli import report as report_command
from windtunnel.sweeps.cli import score as score_command
from windtunnel.sweeps.cli.arguments import refuse_one_file
from windtunnel.train.errors import InputError

VERBS: list[tuple[ModuleType, list[str]]] = [
    (approaches_command, ["FILE"]),
    (audit_command, ["FILE"]),
    (contrast_command, ["FILE", "FILE", "--at", "C=1e18"]),
    (contrast_command, ["other.csv", "FILE", "--at", "C=1e18"]),
    (isoflop_command, ["FILE"]),
    (optimum_command, ["FILE", "--flops", "1e18"]),
    (predict_command, ["FILE", "--at", "N=1e8,D=1e9"]),
    (predict_command, ["fit.json", "--at", "N=1e8,D=1e9", "--results", "FILE"]),
    (rank_command, ["FILE", "--laws", "kaplan"]),
    (report_command, ["FILE"]),
    (report_command, ["other.csv", "--prediction", "FILE"]),
    (report_command, ["other.csv", "--score", "FILE"]),
    (score_command, ["FILE", "other.csv"]),
    (score_command, ["prediction.json", "FILE"]),
]


@pytest.mark.parametrize(("verb", "words"), VERBS)
def test_what_is_read_is_not_written_over(
    verb: ModuleType, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read = tmp_path / "read.csv"
    read.write_text("N,D,loss\n1e6,1e8,3.0\n")
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    given = [str(read) if word == "FILE" else word for word in words]
    with pytest.raises(InputError, match=r"--json read.csv: that is .* too; give each its own file"):
        verb.run(parser.parse_args([*given, "--json", "./read.csv"]))
    assert read.read_text() == "N,D,loss\n1e6,1e8,3.0\n"


def test_the_runs_of_a_study_are_no_file(tmp_path: Path) -> None:
    runs = RunSet("study", tmp_path, ("a run",))
    refuse_one_file(runs, source=runs, json=str(tmp_path / "out.json"))
