"""A training process that is killed, interrupted or started twice: nothing is lost and no bit changes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from windtunnel.train import checkpoint
from windtunnel.train.command import main
from windtunnel.train.config import resolve as resolving
from windtunnel.train.config.config import RunConfig
from windtunnel.train.fleet import Fleet
from windtunnel.train.records import RunRecord, read_record
from windtunnel.train.run import run_folder, train_runs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]

STEPS = "horizon.steps=120"
SLOWLY = "runtime.checkpoint_seconds=0"  # a checkpoint after every step, so that a signal can come at any step
Start = Callable[[list[str]], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `python -m windtunnel.train`. Processes that run at the end of a test are killed."""
    started: list[subprocess.Popen[str]] = []

    def popen(arguments: list[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "windtunnel.train", *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield popen
    for process in started:
        process.kill()
        process.communicate()


def wait_for_step(process: subprocess.Popen[str], config: RunConfig, step: int) -> None:
    deadline = time.monotonic() + 60
    while not any(saved.step >= step for saved in checkpoint.find(run_folder(config))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no checkpoint at step {step}"
        time.sleep(0.01)


def metrics(config: RunConfig) -> bytes:
    return (run_folder(config) / "metrics.jsonl").read_bytes()


def undisturbed(configure, steps: str = STEPS) -> bytes:
    config = configure(steps, runs="undisturbed")
    train_runs([config], show_progress=False)
    return metrics(config)


def test_resume_after_two_kills_is_bitwise(
    arguments, configure, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    config, command = configure(STEPS), arguments(STEPS, SLOWLY)
    for step in (20, 60):
        process = start(command)
        wait_for_step(process, config, step)
        process.kill()
        process.wait()
        assert read_record(run_folder(config))["status"] == "running"
    assert main(command) == 0
    assert "validation loss" in capsys.readouterr().out
    assert metrics(config) == undisturbed(configure)

    before = (run_folder(config) / "metrics.jsonl").stat().st_mtime_ns, (run_folder(config) / "run.json").read_bytes()
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("finished already, nothing to do")
    after = (run_folder(config) / "metrics.jsonl").stat().st_mtime_ns, (run_folder(config) / "run.json").read_bytes()
    assert after == before


def test_resume_after_a_kill_before_the_result_is_written(configure) -> None:
    config = configure()
    (first,) = train_runs([config], show_progress=False)
    before = metrics(config)
    with RunRecord(first.folder) as record:
        record.update(status="running", result=None, finished=None)
    (second,) = train_runs([config], show_progress=False)
    assert second.record["result"] == first.record["result"]
    assert metrics(config) == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_saves_and_resume_is_bitwise(
    arguments, configure, start: Start, capsys, number: int, status: int
) -> None:
    # Long enough that the run is still in training when the second process starts, even on a busy machine.
    longer = "horizon.steps=600"
    config, command = configure(longer), arguments(longer, SLOWLY)
    process = start(command)
    wait_for_step(process, config, 20)

    assert main(command) == 2  # a second start while the first trains
    errors = capsys.readouterr().err
    assert f"already being trained by process {process.pid} on" in errors
    assert errors.count("\n") == 1
    assert process.poll() is None

    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == status
    step = read_record(run_folder(config))["progress"]["step"]
    assert f"interrupted at step {step}; repeat the command to resume" in output
    assert errors == f"{run_folder(config).name}: starting\n"
    assert 20 <= step < 600
    assert read_record(run_folder(config))["status"] == "preempted"
    assert checkpoint.find(run_folder(config))[-1].step == step

    assert main(command) == 0
    assert read_record(run_folder(config))["status"] == "finished"
    assert metrics(config) == undisturbed(configure, longer)


def test_signal_in_a_multirun_starts_no_other_run(
    arguments, configure, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Fleet.step

    def interrupted(self: Fleet, step: int, batches):
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, step, batches)

    monkeypatch.setattr(Fleet, "step", interrupted)
    assert main(["--multirun", *arguments("seed=0,1")]) == 143
    assert "interrupted at step 8;" in capsys.readouterr().out
    assert not run_folder(configure("seed=1")).exists()
    monkeypatch.setattr(Fleet, "step", original)
    assert main(["--multirun", *arguments("seed=0,1")]) == 0
    assert [read_record(folder)["status"] for folder in (tmp_path / "runs").glob("*s[01]*")] == ["finished"] * 2


def test_interrupt_before_the_run_starts(arguments, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(resolving, "resolve", resolve)
    assert main(arguments()) == 130
    assert capsys.readouterr().err.endswith("windtunnel: interrupted\n")


def test_second_interrupt_stops_at_once(arguments, configure, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_twice(self: Fleet, step: int, batches) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Fleet, "step", interrupted_twice)
    assert main(arguments()) == 130
    assert capsys.readouterr().err.endswith("windtunnel: interrupted\n")
    monkeypatch.undo()
    assert main(arguments()) == 0
    assert read_record(run_folder(configure()))["error"] is None
