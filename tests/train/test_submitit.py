"""Hydra's submitit launcher on a real SLURM: two runs, and one that is preempted twice and loses nothing."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.slurm_cluster import SlurmCluster
from windtunnel.train import checkpoint
from windtunnel.train.config.config import RunConfig
from windtunnel.train.records import find_runs, read_record
from windtunnel.train.run import run_folder, train_runs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

# Within 10 minutes of its time limit submitit takes every signal for a timeout.
SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=30", "hydra.launcher.cpus_per_task=1")


def launch(slurm: SlurmCluster, arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "windtunnel.train", "--multirun", *SLURM, *arguments]
    return subprocess.Popen(command, env=slurm.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def job_output(runs: Path) -> str:
    return "".join(path.read_text() for path in sorted(runs.glob(".multirun/*/.submitit/*/*log.*")))


def test_multirun_on_slurm(slurm: SlurmCluster, arguments, configure, tmp_path: Path) -> None:
    configure()  # the corpus is prepared once, not by two jobs at a time
    process = launch(slurm, arguments("seed=0,1"))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors + job_output(tmp_path / "runs")
    assert "sweep output dir" in errors  # where the jobs' output is
    records = [read_record(folder) for folder in find_runs(tmp_path / "runs")]
    assert [record["status"] for record in records] == ["finished", "finished"]
    assert sorted(record["config"]["seed"] for record in records) == [0, 1]
    assert job_output(tmp_path / "runs").count("validation loss") == 2
    assert [path.name for path in (tmp_path / "runs").iterdir() if not (path / "run.json").exists()] == [".multirun"]
    (sweep,) = (tmp_path / "runs" / ".multirun").iterdir()
    assert sorted(path.name for path in sweep.iterdir()) == [".submitit", "multirun.yaml"]


def wait_for_step(slurm: SlurmCluster, config: RunConfig, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not any(saved.step >= step for saved in checkpoint.find(run_folder(config))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, slurm.run("scontrol", "show", "job")
        time.sleep(0.02)


def test_preempted_run_is_requeued_and_loses_nothing(slurm: SlurmCluster, arguments, configure, tmp_path: Path) -> None:
    steps = "horizon.steps=300"
    config = configure(steps)
    process = launch(slurm, arguments(steps, "runtime.checkpoint_seconds=0", "seed=0"))
    try:
        wait_for_step(slurm, config, 20, process)
        (job,) = slurm.run("squeue", "--noheader", "--format=%A").split()

        # submitit's own signal: the run saves, then submitit requeues the job.
        slurm.run("scancel", "--signal=USR2", job)
        slurm.wait_for(job, "PENDING")
        record = read_record(run_folder(config))
        assert record["status"] == "preempted"
        stopped = record["progress"]["step"]
        assert stopped >= 20
        slurm.start_now(job)
        wait_for_step(slurm, config, stopped + 20, process)

        # A job of higher priority: SIGTERM, at which the run saves and continues, then SIGKILL.
        high = slurm.submit("--partition=high", "--exclusive", "--output=/dev/null", "--wrap=true")
        slurm.wait_for(high, "COMPLETED")
        assert slurm.job(job)["Restarts"] == "2"
        assert read_record(run_folder(config))["status"] in ("running", "finished")
        slurm.start_now(job)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors + job_output(tmp_path / "runs")
    assert read_record(run_folder(config))["status"] == "finished"
    assert f"interrupted at step {stopped}" in job_output(tmp_path / "runs")
    undisturbed = configure(steps, runs="undisturbed")
    train_runs([undisturbed], show_progress=False)
    metrics = [(run_folder(run) / "metrics.jsonl").read_bytes() for run in (config, undisturbed)]
    assert metrics[0] == metrics[1]
