"""`windtunnel table`: what it prints, and files of it that are the same table again."""

import argparse
import json
from pathlib import Path

import pytest

from tests.support.run_records import record, write
from windtunnel.analysis.tables.load import load_table
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.cli.table import add_arguments, run
from windtunnel.train.errors import InputError


def command(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    trunk = write(folder, record(steps=4000, shape="constant", loss=3.0))
    for steps, seed in ((1000, 0), (2000, 0), (1000, 1)):
        write(folder, record(steps=steps, seed=seed, loss=3.1 + seed / 7 - steps / 1e4, parent=None if seed else trunk))
    write(folder, record(steps=3000, status="diverged"))
    return folder


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_written_table_reads_back_equal(runs: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"table.{form}"
    assert command(runs, f"--{form}", path) == 0
    table, again = load_table(runs), load_table(path)
    assert again.digest == table.digest
    assert [group.tolist() for group in again.seed_groups()] == [group.tolist() for group in table.seed_groups()] != []
    assert again.excluded == ()
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["runs", path.name])


def test_written_mixed_table_is_refused_too(runs: Path, tmp_path: Path) -> None:
    write(runs, record(steps=1500, shape="cosine"))
    command(runs, "--allow-mixed", "--csv", tmp_path / "mixed.csv")
    with pytest.raises(InputError, match="mixed in column schedule"):
        command(tmp_path / "mixed.csv")


def test_table_text_has_rows_reasons_and_notes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(runs, "--where", "seed == 0", "--exclude", "*-1000-*=too short") == 0
    shown = capsys.readouterr().out
    assert "1 rows, 1 trunks or runs" in shown
    assert "left out: 32-speeches-wsd-1000-s0-" in shown
    assert ": too short\n" in shown
    assert "diverged at step 17" in shown
    assert "its constant schedule ends before" in shown
    assert "note: 1 of 5 rows left out by where: seed == 0" in shown
    assert "N counts all parameters, embeddings and head included; others are N_non_embedding" in shown


@pytest.mark.parametrize(
    ("columns", "description"),
    [("N=N_non_embedding", "N is N_non_embedding; others are"), ("N=N/2", "N is N/2; others are")],
)
def test_renamed_parameter_count_is_described(
    runs: Path, capsys: pytest.CaptureFixture[str], columns: str, description: str
) -> None:
    assert command(runs, "--columns", columns) == 0
    shown = capsys.readouterr().out
    assert description in shown
    assert "N counts all" not in shown


def test_written_table_keeps_the_note_on_undecayed_rates(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "written.csv"
    for word in ("--include=*-constant-*=a constant rate is studied", "--evaluations=all"):
        assert command(runs, word, "--allow-mixed", "--csv", path) == 0
        note = "note: 1 of 4 rows were evaluated before the learning rate had decayed"
        assert note in capsys.readouterr().out
        assert command(path, "--allow-mixed") == 0
        assert note in capsys.readouterr().out


def test_table_json(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(runs, "--json", "-") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["num_rows"] == len(content["rows"]) == 3
    assert content["digest"] == load_table(runs).digest
    assert {"name": "D", "type": "number", "unit": "tokens"} in content["columns"]
    assert content["rows"][0]["entropy"] is None
    assert {each["reason"] for each in content["excluded"]} == {
        "diverged at step 17",
        "its constant schedule ends before the learning rate has decayed",
    }
    assert command(runs, "--json", tmp_path / "table.json") == 0
    assert json.loads((tmp_path / "table.json").read_text()) == content


def test_unwritable_output_is_rejected(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(runs, "--csv", tmp_path / "no_folder" / "table.csv")
    assert f"no_folder/table.csv: there is no folder {tmp_path}/no_folder; make it first" in capsys.readouterr().err
    table = str(tmp_path / "table.csv")
    assert main(["table", str(runs), "--csv", table, "--parquet", table]) == 2
    assert "this file is also --csv; name another" in capsys.readouterr().err
