"""The cache of rows: the table is the same with and without it, also if it is stale, damaged or cannot be written."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

import windtunnel.analysis.tables.from_runs
from tests.support.paths import ROOT
from tests.support.run_records import record, write
from windtunnel.analysis.tables.cache import CACHE_FILE
from windtunnel.analysis.tables.load import load_table


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in range(6):
        write(tmp_path, record(seed=seed, loss=3.0 + seed / 100))
    return tmp_path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders whose run records are read."""
    names: list[str] = []
    original = windtunnel.analysis.tables.from_runs.read_record

    def spy(folder: Path) -> dict[str, object]:
        names.append(folder.name)
        return original(folder)

    monkeypatch.setattr(windtunnel.analysis.tables.from_runs, "read_record", spy)
    return names


def test_second_load_reads_no_record_and_gives_the_same_table(runs: Path, reads: list[str]) -> None:
    first = load_table(runs)
    assert len(reads) == 6
    second = load_table(runs)
    assert len(reads) == 6
    assert second.digest == first.digest
    assert list(second.columns) == list(first.columns)
    assert second.run.tolist() == first.run.tolist()


def test_only_changed_records_are_read(runs: Path, reads: list[str]) -> None:
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
    (runs / CACHE_FILE).unlink()
    assert load_table(runs).digest == table.digest


@pytest.mark.parametrize("content", [b"", b"PAR1 torn", None])
def test_unusable_cache_is_written_again(runs: Path, reads: list[str], content: bytes | None) -> None:
    table = load_table(runs)
    if content is None:  # of another version
        cache = parquet.read_table(runs / CACHE_FILE)
        parquet.write_table(cache.replace_schema_metadata({"version": "0"}), runs / CACHE_FILE)
    else:
        (runs / CACHE_FILE).write_bytes(content)
    reads.clear()
    assert load_table(runs).digest == table.digest
    assert len(reads) == 6
    load_table(runs)
    assert len(reads) == 6


def test_failed_write_leaves_no_file(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert len(load_table(runs)) == 6
    assert [path.name for path in runs.iterdir() if path.is_file()] == []


@pytest.mark.slow
def test_processes_load_concurrently(runs: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from windtunnel.analysis.tables.load import load_table\n"
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
    assert [path.name for path in runs.iterdir() if path.is_file()] == [CACHE_FILE]
