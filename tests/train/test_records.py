"""The record on disk: atomic writes, the lock, rewinding, and incomplete lines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.train.errors import InputError
from windtunnel.train.records import (
    AlreadyRunning,
    RunRecord,
    find_runs,
    read_lines,
    read_metrics,
    read_record,
    read_timings,
)


def row(step: int, kind: str = "train", **columns: float) -> dict[str, object]:
    return {"kind": kind, "step": step, "tokens": 8 * step, **columns}


@pytest.fixture
def record(tmp_path: Path):
    with RunRecord(tmp_path / "run") as one:
        one.update(status="running", run_id="run", scientific_hash="0", config={}, counts={}, data={})
        yield one


def test_record_is_locked_by_one_process(record: RunRecord) -> None:
    with pytest.raises(AlreadyRunning, match="already being trained by process"):
        RunRecord(record.folder)
    record.close()
    RunRecord(record.folder).close()


def test_lock_is_released_when_its_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from windtunnel.train.records import RunRecord\n"
        "record = RunRecord(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "run")], check=False)
    assert ended.returncode == -9
    RunRecord(tmp_path / "run").close()


def test_rewind_deletes_later_rows_and_an_incomplete_line(record: RunRecord) -> None:
    record.append([row(4, loss=1.0), row(8, loss=0.5), row(8, "evaluation", validation_nats_per_token=0.4)], [row(8)])
    record.append([row(12, loss=0.25)], [row(12)])
    with (record.folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"kind":"train","step":16,"lo')
    assert [line["step"] for line in read_metrics(record.folder, "train")] == [4, 8, 12]
    record.rewind(8)
    record.append([row(12, loss=0.26)])
    assert [line.get("loss") for line in read_lines(record.folder / "metrics.jsonl")] == [1.0, 0.5, None, 0.26]
    assert [line["step"] for line in read_timings(record.folder)] == [8]


def test_copy_parent_curve_leaves_out_rows_of_the_end(record: RunRecord, tmp_path: Path) -> None:
    for step in (4, 8, 10):
        record.append([row(step, loss=1.0)])
    record.append([row(8, "evaluation"), row(10, "evaluation")])
    with RunRecord(tmp_path / "branch") as branch:
        branch.copy_parent_curve(record.folder, 10, every_steps=4, milestones=[8, 16])
        assert [(line["kind"], line["step"]) for line in read_lines(branch.folder / "metrics.jsonl")] == [
            ("train", 4),
            ("train", 8),
            ("evaluation", 8),
        ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"status": "great"}',
        '{"status": "running", "schema": 1}',
        '{"status": "running", "schema": 2}',
        "\x00\xff",
    ],
)
def test_invalid_record_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"run\.json: ") as caught:
        read_record(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no run record here"):
        read_record(tmp_path / "absent")


def test_find_runs_needs_a_record(record: RunRecord) -> None:
    (record.folder.parent / "not-a-run").mkdir()
    assert find_runs(record.folder.parent) == [record.folder]


def test_records_load_without_torch() -> None:
    script = (
        "import sys, json; from windtunnel.train import records; from windtunnel.train.config import config, run_id; "
        "from windtunnel.models import accounting, configuration, family; print(json.dumps('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) is False


def test_invalid_row_is_named_by_line(record: RunRecord) -> None:
    record.append([row(4, loss=1.0)])
    with (record.folder / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl:2: not a row"):
        read_metrics(record.folder, "train")


def test_unwritable_folder_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        RunRecord(tmp_path / "file" / "run")
