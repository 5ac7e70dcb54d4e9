"""The private SLURM of the tests runs and preempts real jobs."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.support import slurm_cluster
from tests.support.slurm_cluster import SlurmCluster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]


def script(folder: Path, *lines: str) -> str:
    path = folder / "job.sh"
    path.write_text("\n".join(("#!/bin/bash", *lines, "")))
    return str(path)


def test_job_runs_and_is_remembered(slurm: SlurmCluster, tmp_path: Path) -> None:
    output = tmp_path / "output"
    job = slurm.submit(
        "--gres=gpu:1", f"--output={output}", script(tmp_path, "echo on $CUDA_VISIBLE_DEVICES", "exit 3")
    )
    assert slurm.wait_for(job, {"COMPLETED", "FAILED"}) == "FAILED"
    assert slurm.job(job)["ExitCode"] == "3:0"
    assert output.read_text() in ("on 0\n", "on 1\n")
    table = slurm.run("sacct", "-o", "JobID,State,NodeList", "--parsable2", "-j", str(job)).splitlines()
    assert table[0] == "JobID|State|NodeList"
    assert table[1].startswith(f"{job}|FAILED|")


def test_array_tasks_are_separate_jobs(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = slurm.submit(
        "--array=0-2",
        f"--output={tmp_path}/%a",
        script(tmp_path, "echo $SLURM_ARRAY_TASK_ID; exit $SLURM_ARRAY_TASK_ID"),
    )
    assert [slurm.wait_for(f"{job}_{task}", {"COMPLETED", "FAILED"}) for task in range(3)] == [
        "COMPLETED",
        "FAILED",
        "FAILED",
    ]
    listed = slurm.run("sacct", "--parsable2", "-j", str(job)).splitlines()[1:]
    assert sorted(line.rsplit("|", 1)[0] for line in listed) == [
        f"{job}_0|COMPLETED",
        f"{job}_1|FAILED",
        f"{job}_2|FAILED",
    ]


def test_preempted_job_is_requeued_and_completes(slurm: SlurmCluster, tmp_path: Path) -> None:
    output = tmp_path / "output"
    low = slurm.submit(
        "--exclusive",
        "--requeue",
        "--open-mode=append",
        f"--output={output}",
        script(
            tmp_path,
            'echo "start ${SLURM_RESTART_COUNT:-0}"',
            '[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || srun --quiet sleep 60',
        ),
    )
    slurm.wait_for(low, "RUNNING")
    # Before its step has started, the signal of a preemption would reach the shell only.
    while "sleep" not in slurm.run("squeue", "--steps", "--noheader", "--format=%j", f"--jobs={low}"):
        time.sleep(0.05)
    high = slurm.submit("--partition=high", "--exclusive", "--output=/dev/null", "--wrap=true")
    assert slurm.wait_for(high, {"COMPLETED", "FAILED"}) == "COMPLETED"
    waiting = slurm.job(low)
    assert (waiting["JobState"], waiting["Restarts"]) == ("PENDING", "1")
    assert f"{low}|REQUEUED|" in slurm.run("sacct", "--parsable2", "-j", str(low))
    slurm.start_now(low)
    assert slurm.wait_for(low, {"COMPLETED", "FAILED"}) == "COMPLETED"
    assert [line for line in output.read_text().splitlines() if line.startswith("start")] == ["start 0", "start 1"]


def test_job_whose_dependency_fails_is_canceled(slurm: SlurmCluster, tmp_path: Path) -> None:
    first = slurm.submit("--output=/dev/null", "--wrap=exit 1")
    second = slurm.submit(
        f"--dependency=afterok:{first}", "--kill-on-invalid-dep=yes", "--output=/dev/null", "--wrap=true"
    )
    assert slurm.wait_for(first, {"COMPLETED", "FAILED"}) == "FAILED"
    assert slurm.wait_for(second, {"CANCELLED", "COMPLETED"}) == "CANCELLED"


def test_two_clusters_are_independent(slurm: SlurmCluster) -> None:
    with slurm_cluster.private_cluster() as other:
        job = other.submit("--hold", "--output=/dev/null", "--wrap=true")
        assert other.state(job) == "PENDING"
        assert slurm.run("squeue", "--noheader") == ""
        started_again = subprocess.run(
            [slurm_cluster.SCRIPTS / "start_slurm.sh", other.folder], env=other.env, capture_output=True, text=True
        )
        assert started_again.stdout == f"export SLURM_CONF={other.env['SLURM_CONF']}\n"
        assert other.state(job) == "PENDING"
        pids = [int((other.folder / "run" / f"{name}.pid").read_text()) for name in slurm_cluster.DAEMONS]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not other.folder.exists()
    assert slurm.run("sinfo", "--noheader", "--partition=debug", "--format=%t").strip() == "idle"


def test_reason_unavailable_names_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_cluster, "SYSTEM_PATH", "/nonexistent")
    assert "munged, slurmctld" in (slurm_cluster.reason_unavailable() or "")
    monkeypatch.undo()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name, path: f"/usr/bin/{name}")
    assert "needs root" in (slurm_cluster.reason_unavailable() or "")
