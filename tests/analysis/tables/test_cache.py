"""The index beside the runs: the same table with and without it, also when it is stale, torn, foreign or forbidden."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

import windtunnel.analysis.tables.from_runs
from tests.support.paths import ROOT
from tests.support.run_records import record, write
from windtunnel.analysis.tables.cache import NAME
from windtunnel.analysis.tables.table import load_table


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in range(6):
        write(tmp_path, record(seed=seed, loss=3.0 + seed / 100))
    return tmp_path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The run records that are read from their files."""
    found: list[str] = []
    original = windtunnel.analysis.tables.from_runs.read_record

    def spy(folder: Path) -> dict[str, object]:
        found.append(folder.name)
        return original(folder)

    monkeypatch.setattr(windtunnel.analysis.tables.from_runs, "read_record", spy)
    return found


def test_a_second_load_reads_no_record_and_gives_the_same_table(runs: Path, reads: list[str]) -> None:
    first = load_table(runs)
    assert len(reads) == 6
    second = load_table(runs)
    assert len(reads) == 6
    assert second.digest == first.digest
    assert list(second.columns) == list(first.columns)
    assert second.run.tolist() == first.run.tolist()


def test_only_what_changed_is_read(runs: Path, reads: list[str]) -> None:
    load_table(runs)
    reads.clear()
    changed, gone = sorted(path.parent for path in runs.glob("*/run.json"))[:2]
    content = json.loads((changed / "run.json").read_text())
    content["result"]["validation_nats_per_token"] = 7.5
    content["result"]["validation_plays_nats_per_token"] = 8.5
    (changed / "run.json").write_text(json.dumps(content))
    (gone / "run.json").unlink()
    added = write(runs, record(seed=9, loss=9.0))
    table = load_table(runs)
    assert sorted(reads) == sorted([changed.name, added])
    assert sorted(table.columns["loss"])[-2:] == [7.5, 9.0]
    assert gone.name not in table.columns["run"]
    assert table.select("loss_plays > 0").columns["loss_plays"].tolist() == [8.5]
    (runs / NAME).unlink()
    assert load_table(runs).digest == table.digest


@pytest.mark.parametrize("content", [b"", b"PAR1 torn", None])
def test_an_index_that_cannot_be_used_is_made_anew(runs: Path, reads: list[str], content: bytes | None) -> None:
    table = load_table(runs)
    if content is None:  # of another version
        index = parquet.read_table(runs / NAME)
        parquet.write_table(index.replace_schema_metadata({"version": "0"}), runs / NAME)
    else:
        (runs / NAME).write_bytes(content)
    reads.clear()
    assert load_table(runs).digest == table.digest
    assert len(reads) == 6
    load_table(runs)
    assert len(reads) == 6


def test_a_failed_write_leaves_nothing_behind(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert len(load_table(runs)) == 6
    assert [path.name for path in runs.iterdir() if path.is_file()] == []


def test_processes_may_load_side_by_side(runs: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from windtunnel.analysis.tables.table import load_table\n"
        "runs = Path(sys.argv[1])\n"
        "for _ in range(8):\n"
        "    (runs / '.table_index.parquet').unlink(missing_ok=True)\n"
        "    print(load_table(runs).digest)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(runs)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    digests = [line for process in processes for line in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert set(digests) == {load_table(runs).digest}
    assert len(digests) == 24
    assert [path.name for path in runs.iterdir() if path.is_file()] == [NAME]
