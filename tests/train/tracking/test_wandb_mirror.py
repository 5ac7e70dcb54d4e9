"""The W&B mirror: real offline files, and online a stand-in server with the needed part of W&B's API."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.wandb_files import offline_run
from tests.support.wandb_stand_in import Mirror, StandIn, wait_until
from windtunnel.sweeps.cli.main import main as windtunnel
from windtunnel.train.errors import InputError
from windtunnel.train.records import RunRecord, read_metrics, read_record
from windtunnel.train.tracking.wandb_content import summary_of, tags_of
from windtunnel.train.tracking.wandb_mirror import main, push, start_live_mirror
from windtunnel.train.tracking.wandb_run import PushResult

RUN_ID = "1.5m-speeches+plays-wsd-80-s3-0123456789"


def content(**changes: Any) -> dict[str, Any]:
    return {
        "run_id": RUN_ID,
        "status": "finished",
        "scientific_hash": "0123456789abcdef",
        "config": {
            "model": {"width": 32, "parametrization": {"name": "mup", "base_width": 32}},
            "optimizer": {"rate": 0.006, "tokens_per_step": 4},
            "schedule": {"shape": "wsd", "total_steps": 20},
            "seed": 3,
            "logging": {"project": "windtunnel", "group": "ladder", "tags": ["pilot", "x" * 80]},
        },
        "counts": {
            "parameters": {"non_embedding": 1_500_000, "total": 2_000_000},
            "flops_per_token": {"six_n": 9_000_000, "six_n_total": 12_000_000, "exact": 10_000_000},
        },
        "data": {"domains": [{"name": "speeches"}, {"name": "plays"}]},
        "lineage": None,
        "error": None,
        "result": {"step": 20, "tokens": 80, "validation_nats_per_token": 2.5, "validation_bits_per_byte": 3.6},
        "performance": {"wall_seconds": 1.5, "tokens_per_second": 55.0},
        **changes,
    }


def train_row(step: int, loss: float | None = 3.0) -> dict[str, Any]:
    return {"kind": "train", "step": step, "tokens": 4 * step, "loss": loss, "rate": 0.006, "gradient_norm": 1.0}


def evaluation_row(step: int) -> dict[str, Any]:
    return {"kind": "evaluation", "step": step, "tokens": 4 * step, "validation_nats_per_token": 2.5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run of 20 steps, with an evaluation at the last step and timings at steps 10 and 15."""
    folder = tmp_path / "runs" / RUN_ID
    with RunRecord(folder) as record:
        record.update(**content())
        record.append(
            [train_row(10), train_row(20, 2.6), evaluation_row(20)],
            [{"step": 10, "tokens_per_second": 50.0}, {"step": 15, "tokens_per_second": 60.0}],
        )
    return folder


def pushed(result: PushResult) -> str:
    assert result.error is None, result.error
    assert result.location is not None
    return result.location


@pytest.mark.slow
def test_offline_push_has_the_whole_record(folder: Path, tmp_path: Path) -> None:
    stored = offline_run(pushed(push(folder, mode="offline", directory=tmp_path)))
    header = stored["run"]
    assert (header.run_id, header.display_name, header.project) == (RUN_ID, RUN_ID, "windtunnel")
    assert (header.run_group, header.job_type) == ("ladder", "train")
    assert sorted(header.tags) == sorted(
        ["size:1.5m", "schedule:wsd", "parametrization:mup", "corpus:speeches", "corpus:plays", "pilot", "x" * 64]
    )
    config = stored["config"]
    assert config["model"]["parametrization"]["name"] == "mup"
    assert config["optimizer"] == {"rate": 0.006, "tokens_per_step": 4}
    assert config["counts"] == content()["counts"]
    assert config["seed"] == 3
    axes = ("tokens", "flops_six_n", "flops_six_n_total", "flops_exact")
    assert stored["metrics"] == {**dict.fromkeys(axes, ""), "*": "tokens"}
    assert all(row[axis] > 0 for row in stored["rows"] for axis in axes)
    assert [row["_step"] for row in stored["rows"]] == [10, 15, 20]
    assert stored["rows"][2] == {
        "_step": 20,
        "step": 20,
        "tokens": 80,
        "flops_six_n": 720e6,
        "flops_six_n_total": 960e6,
        "flops_exact": 800e6,
        "loss": 2.6,
        "rate": 0.006,
        "gradient_norm": 1.0,
        "validation_nats_per_token": 2.5,
    }
    assert stored["rows"][1].items() >= {"tokens": 60, "tokens_per_second": 60.0}.items()
    assert (
        stored["summary"].items()
        >= {
            "status": "finished",
            "validation_nats_per_token": 2.5,
            "validation_bits_per_byte": 3.6,
            "tokens_per_second": 55.0,
            "wall_seconds": 1.5,
        }.items()
    )
    assert stored["exit_code"] == 0


def test_second_push_replaces_only_its_run(folder: Path, tmp_path: Path) -> None:
    first = Path(pushed(push(folder, mode="offline", directory=tmp_path)))
    with RunRecord(folder) as record:
        record.append([train_row(30, 2.0)])
    other_folders = [tmp_path / "wandb" / f"offline-run-20200101_000000-{name}" for name in (RUN_ID, "other")]
    for other_folder in other_folders:
        other_folder.mkdir()  # written by W&B itself, one of them with the same id
    (other_folders[1] / ".windtunnel").write_text("other")  # written by windtunnel, of another run
    second = Path(pushed(push(folder, mode="offline", directory=tmp_path)))
    assert set((tmp_path / "wandb").iterdir()) == {second, *other_folders}
    assert first == second or not first.exists()
    assert [row["_step"] for row in offline_run(str(second))["rows"]] == [10, 15, 20, 30]


def test_leftovers_of_a_killed_mirror_are_deleted(folder: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "wandb" / f".pushing-{RUN_ID}"
    (scratch / "wandb" / "offline-run-half").mkdir(parents=True)
    location = pushed(push(folder, mode="offline", directory=tmp_path))
    assert list((tmp_path / "wandb").iterdir()) == [Path(location)]


def test_mirrors_of_one_run_take_turns(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[PushResult] = []
    threads = [
        threading.Thread(target=lambda: results.append(push(folder, mode="offline", directory=tmp_path))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    locations = {pushed(result) for result in results}
    (left,) = (tmp_path / "wandb").iterdir()
    assert str(left) in locations
    assert len(offline_run(str(left))["rows"]) == 3


@pytest.mark.parametrize(
    ("changes", "exit_code"),
    [
        ({"status": "diverged", "result": {"diverged_at_step": 17}}, 0),
        ({"status": "failed", "result": None, "error": "OSError: disk full"}, 1),
        ({"status": "running", "result": None, "performance": None, "lineage": {"parent": "p", "step": 9}}, 1),
    ],
)
def test_runs_without_a_final_loss(folder: Path, tmp_path: Path, changes: dict[str, Any], exit_code: int) -> None:
    with RunRecord(folder) as record:
        record.update(**changes)
        record.append([train_row(21, loss=None)])
    stored = offline_run(pushed(push(folder, mode="offline", directory=tmp_path)))
    assert stored["exit_code"] == exit_code
    assert stored["summary"]["status"] == changes["status"]
    assert "loss" not in stored["rows"][-1]
    assert ("branch" in stored["run"].tags) == bool(changes.get("lineage"))
    summary = summary_of(read_record(folder))
    assert summary.get("error") == changes.get("error")
    assert summary.get("diverged_at_step") == (17 if changes["status"] == "diverged" else None)


def test_environment_overrides_project_and_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "elsewhere")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "there"))
    location = pushed(push(folder, mode="offline"))
    assert offline_run(location)["run"].project == "elsewhere"
    assert Path(location).parent == tmp_path / "there" / "wandb"


@pytest.mark.slow
def test_trained_run_is_pushed(configure: Any, tmp_path: Path) -> None:
    from windtunnel.train.run import train_runs

    (outcome,) = train_runs([configure("horizon.steps=12")], show_progress=False)
    stored = offline_run(pushed(push(outcome.folder, mode="offline", directory=tmp_path)))
    losses = [row["loss"] for row in read_metrics(outcome.folder, "train")]
    assert [row["loss"] for row in stored["rows"] if "loss" in row] == losses
    assert len(losses) == 3
    assert stored["rows"][-1]["validation_nats_per_token"] == outcome.record["result"]["validation_nats_per_token"]
    assert stored["config"]["corpus"] == outcome.record["data"]
    assert tags_of(outcome.record)


# ---- the command


def test_command_pushes_a_folder_of_runs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunRecord(folder.with_name("second")) as record:
        record.update(**content(run_id="second"))
    assert windtunnel(["wandb", "push", str(folder.parent), "--directory", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" -> ")[0] for line in lines] == [RUN_ID, "second"]
    assert len(list((tmp_path / "wandb").iterdir())) == 2


def test_bad_input_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for status in (windtunnel(["wandb", "push", str(tmp_path / "nowhere")]), main([str(tmp_path / "nowhere")])):
        assert status == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("/nowhere: no run record here" in line for line in lines)
    with RunRecord(folder.with_name("bad")) as record:
        record.update(**content(run_id="a/b"))
    with pytest.raises(InputError, match="'a/b' is not an id that W&B takes"):
        push(folder.with_name("bad"), mode="offline", directory=tmp_path)
    for sources in ([str(folder.parent)], [str(folder), str(folder)], ["a-study.yaml"]):
        assert windtunnel(["wandb", "push", *sources, "--follow"]) == 2
        assert "--follow mirrors one run" in capsys.readouterr().err


def test_broken_record_stops_no_other_run(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = folder.with_name("0-broken")
    broken.mkdir()
    (broken / "run.json").write_text("{torn")
    assert windtunnel(["wandb", "push", str(folder.parent), "--directory", str(tmp_path)]) == 2
    written = capsys.readouterr()
    assert written.out.startswith(f"{RUN_ID} -> ")
    (line,) = written.err.splitlines()
    assert line.startswith(f"{broken}/run.json: not valid JSON")


def test_error_is_returned_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = push(folder, mode="offline", directory=tmp_path / "file")
    assert result.location is None
    assert "\n" not in (result.error or "\n")
    assert f"{RUN_ID}: not mirrored to W&B" in (result.error or "")


def test_mirror_imports_neither_torch_nor_wandb() -> None:
    code = "import sys, windtunnel.train.tracking.wandb_mirror; sys.exit(bool({'torch', 'wandb'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0


# ---- online and live


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    yield server
    server.close()


@pytest.mark.slow
def test_live_mirror_follows_a_run_to_its_end(folder: Path, tmp_path: Path, stand_in: StandIn) -> None:
    with RunRecord(folder) as record:  # its lock names this process, which is alive
        record.update(status="running", result=None)
        record.rewind(0)
        record.append([train_row(10), train_row(20)])
        with Mirror(
            "windtunnel.train.tracking.wandb_mirror", [folder, "--follow"], tmp_path, stand_in.address
        ) as mirror:
            wait_until(lambda: len(stand_in.rows) == 1)
            record.append([evaluation_row(20)])  # the newest step was not sent before it
            record.append([train_row(30)])
            wait_until(lambda: len(stand_in.rows) == 2)
            assert mirror.is_running
            assert stand_in.complete is None
            record.append([evaluation_row(30)])
            record.update(status="finished", result={"step": 30})
            assert mirror.finished() == (0, f"{RUN_ID} -> {stand_in.address}/me/windtunnel/runs/{RUN_ID}\n", "")
    assert stand_in.complete
    assert [(row["_step"], "validation_nats_per_token" in row) for row in stand_in.rows.values()] == [
        (10, False),
        (20, True),
        (30, True),
    ]
    assert list((tmp_path / "wandb").iterdir()) == []


@pytest.mark.slow
def test_live_mirror_ends_when_its_run_is_killed(folder: Path, tmp_path: Path, stand_in: StandIn) -> None:
    with RunRecord(folder) as record:
        record.update(status="running", result=None)
    trainer = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (folder / "lock").write_text(f"process {trainer.pid} on {os.uname().nodename}, since then")
    with Mirror("windtunnel.train.tracking.wandb_mirror", [folder, "--follow"], tmp_path, stand_in.address) as mirror:
        wait_until(lambda: len(stand_in.rows) == 2)
        assert mirror.is_running
        trainer.communicate(b"\n")
        assert mirror.finished()[0] == 0
    assert [row["_step"] for row in stand_in.rows.values()] == [10, 15, 20]


@pytest.mark.slow
def test_curve_rewound_during_a_live_mirror_is_written_again(folder: Path, tmp_path: Path, stand_in: StandIn) -> None:
    with RunRecord(folder) as record:
        record.update(status="running", result=None)
        with Mirror(
            "windtunnel.train.tracking.wandb_mirror", [folder, "--follow"], tmp_path, stand_in.address
        ) as mirror:
            wait_until(lambda: len(stand_in.rows) == 2)
            record.rewind(10)
            record.append([train_row(12), train_row(20, 2.0)])
            record.update(status="finished", result={"step": 30})
            assert mirror.finished()[0] == 0
    assert [(row["_step"], row["loss"]) for row in stand_in.rows.values()] == [(10, 3.0), (12, 3.0), (20, 2.0)]


@pytest.mark.slow
def test_outage_is_one_line_and_in_time(folder: Path, tmp_path: Path) -> None:
    with RunRecord(folder.with_name("second")) as record:
        record.update(**content(run_id="second"))
    with Mirror(
        "windtunnel.sweeps.cli.main", ["wandb", "push", folder.parent], tmp_path, "http://127.0.0.1:9", INIT_SECONDS=1.0
    ) as mirror:
        status, out, error = mirror.finished()
    assert (status, out) == (1, "")
    assert re.fullmatch(rf"{re.escape(RUN_ID)}: not mirrored to W&B: [^\n]+; 1 more not tried\n", error)
    assert list((tmp_path / "wandb").iterdir()) == []


@pytest.mark.slow
def test_network_lost_midway_is_one_line_and_in_time(folder: Path, tmp_path: Path, stand_in: StandIn) -> None:
    with RunRecord(folder) as record:
        record.update(status="running", result=None)
        with Mirror(
            "windtunnel.train.tracking.wandb_mirror",
            [folder, "--follow"],
            tmp_path,
            stand_in.address,
            FINISH_SECONDS=1.0,
        ) as mirror:
            wait_until(lambda: len(stand_in.rows) == 2)
            stand_in.close()
            record.update(status="finished", result={"step": 30})
            status, out, error = mirror.finished()
    assert (status, out) == (1, "")
    assert re.fullmatch(rf"{re.escape(RUN_ID)}: not mirrored to W&B: [^\n]+\n", error)


@pytest.mark.slow
def test_live_mirror_writes_an_offline_run_at_the_end(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SERVICE", "3-1-unix-/nowhere")  # of a W&B service that has ended
    with RunRecord(folder) as record:
        record.update(status="running")
        process = start_live_mirror(folder, "offline")
        time.sleep(0.5)
        assert process.poll() is None
        record.update(status="finished", result={"step": 30})
    assert process.wait(30) == 0
    (location,) = (tmp_path / "wandb").iterdir()
    assert (folder / "wandb.log").read_text() == f"{RUN_ID} -> {location}\n"
    assert offline_run(str(location))["summary"]["status"] == "finished"
