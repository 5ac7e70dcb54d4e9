"""A study on a real SLURM: submitted, preempted, requeued and canceled, with the same numbers as a study that was
trained on this machine without interruption.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from tests.support.slurm_cluster import SlurmCluster
from tests.support.tiny_study import PlanStudy, WriteStudy
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.execution.job import make_job, train_job
from windtunnel.sweeps.slurm.profile import ClusterProfile
from windtunnel.sweeps.slurm.submission import study_folder, submit_command, submit_runs
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.records import is_final, read_record

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]
Sweep = Callable[..., int]


@pytest.fixture
def sweep(tmp_path: Path, data_directory: Path, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """`sweep("submit", study, "--cluster", ...)` runs that command; the exit status."""

    def run(verb: str, study: Path, *words: str) -> int:
        folders = ("--runs", str(tmp_path / "runs"), "--data", str(data_directory))
        return main(["sweep", verb, str(study), *folders, *words])

    return run


@pytest.fixture
def profile(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "cluster.yaml"
        path.write_text(text)
        return str(path)

    return write


def answer(sweep: Sweep, capsys: pytest.CaptureFixture[str], verb: str, study: Path, *words: str) -> dict:
    assert sweep(verb, study, *words, "--json", "-") == 0
    out = capsys.readouterr().out
    return json.loads(out[out.index("{") :])


def output(plan: Plan, tmp_path: Path) -> str:
    logs = (study_folder(tmp_path / "runs", plan.file.name) / "output").iterdir()
    return "".join(path.read_text() for path in sorted(logs))


def wait_until(happened: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def num_final(runs: Collection[PlannedRun]) -> int:
    return sum(is_final(run.folder) for run in runs)


def tasks(slurm: SlurmCluster, job: int) -> list[str]:
    shown = slurm.run("squeue", "--noheader", "--array", "--format=%i", f"--jobs={job}", "--states=all")
    return sorted({line for line in shown.split() if line.startswith(f"{job}_")})


def start_requeued(slurm: SlurmCluster, name: str) -> None:
    """Start a requeued job now, instead of after SLURM's two minutes."""
    if slurm.job(name)["Reason"] == "BeginTime":
        slurm.start_now(name)


def wait_for_job(slurm: SlurmCluster, names: Collection[str]) -> list[str]:
    """Wait until these have ended, through all requeues; their states."""
    ends = {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"}

    def ended() -> bool:
        for name in names:
            start_requeued(slurm, name)
        return all(slurm.state(name) in ends for name in names)

    wait_until(ended, 180)
    return [slurm.state(name) for name in names]


def metrics(plan: Plan) -> list[bytes]:
    return [(run.folder / "metrics.jsonl").read_bytes() for run in plan.runs]


def test_thirty_runs_survive_two_preemptions(
    slurm: SlurmCluster,
    sweep: Sweep,
    profile: Callable[[str], str],
    write_study: WriteStudy,
    plan_study: PlanStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Long enough that some are left for the second preemption on a fast machine.
    study = write_study(steps=(200, 240, 280, 320, 360, 400))
    plan = plan_study(study)
    cluster = profile("target_minutes: 0.001\nmost_tasks: 2\nsignal_seconds: 30\n")
    done = answer(sweep, capsys, "submit", study, "--cluster", cluster)
    assert num_final(plan.runs) == 0  # it returned at once
    job, names = done["job"], [f"{done['job']}_0", f"{done['job']}_1"]
    assert (done["tasks"], len(done["submitted"])) == (2, 30)
    assert tasks(slurm, job) == names

    again = answer(sweep, capsys, "submit", study, "--cluster", cluster)
    assert (again["job"], len(again["queued"])) == (None, 30)

    done_before = 0
    for preemption in (1, 2):
        wait_until(lambda least=done_before + 3: num_final(plan.runs) >= least)
        high = slurm.submit("--partition=high", "--exclusive", "--output=/dev/null", "--wrap=true")
        slurm.wait_for(high, "COMPLETED", 60)
        done_before = num_final(plan.runs)
        assert max(int(slurm.job(name)["Restarts"]) for name in names) == preemption
        waiting = answer(sweep, capsys, "status", study)
        assert waiting["counts"]["finished"] >= done_before
        assert waiting["counts"]["missing"] + waiting["counts"]["stopped"] + waiting["counts"]["failed"] == 0
        assert answer(sweep, capsys, "submit", study, "--cluster", cluster)["job"] is None
        for name in names:
            start_requeued(slurm, name)

    undisturbed = plan_study(study, "undisturbed")
    for run in undisturbed.runs:
        train_job(make_job(undisturbed, run))
    assert wait_for_job(slurm, names) == ["COMPLETED", "COMPLETED"], output(plan, tmp_path)
    assert output(plan, tmp_path).count("DUE TO PREEMPTION") >= 2
    assert metrics(plan) == metrics(undisturbed)

    assert answer(sweep, capsys, "submit", study)["job"] is None
    ended = answer(sweep, capsys, "status", study)
    assert (ended["counts"]["finished"], ended["queue"], ended["remaining_seconds"]) == (30, [], 0)
    assert ended["tokens"] == {"done": ended["tokens"]["planned"], "planned": ended["tokens"]["planned"]}


def test_failed_run_stops_no_other_and_the_dependent_job_runs(
    slurm: SlurmCluster,
    sweep: Sweep,
    profile: Callable[[str], str],
    write_study: WriteStudy,
    plan_study: PlanStudy,
    data_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = write_study(seeds=2, steps=(40, 60))
    plan = plan_study(study)
    broken = plan.runs[0]
    broken.folder.mkdir(parents=True)
    (broken.folder / "checkpoints").write_text("in the way")
    text = "gpus: 2\nworkers: 2\ntarget_minutes: 0.05\nsetup: [echo GPUs $CUDA_VISIBLE_DEVICES]\nsbatch: {nice: 7}\n"
    first = answer(sweep, capsys, "submit", study, "--cluster", profile(text))
    assert (first["tasks"], len(first["submitted"])) == (1, 4)
    target = str(tmp_path / "after.json")
    folders = ["--runs", str(tmp_path / "runs"), "--data", str(data_directory)]
    words = ["sweep", "status", str(study), *folders, "--json", target]
    after = submit_command(plan, words, ClusterProfile(cpus_per_task=2), dependency=[first["job"]])
    assert slurm.job(after)["Dependency"].startswith(f"afterany:{first['job']}")
    assert {task["job"] for task in answer(sweep, capsys, "status", study)["queue"]} == {
        f"{first['job']}_0",
        str(after),
    }
    name = f"{first['job']}_0"
    assert slurm.job(name)["Nice"] == "7"
    assert wait_for_job(slurm, [name]) == ["FAILED"]
    assert slurm.job(name)["ExitCode"] == "1:0"
    assert "GPUs 0,1" in output(plan, tmp_path)
    assert [is_final(run.folder) for run in plan.runs] == [False, True, True, True]

    status = answer(sweep, capsys, "status", study)
    assert status["counts"]["failed"] == 1
    assert status["failed"][0]["run_id"] == broken.run_id
    assert status["failed"][0]["error"].startswith("FileExistsError: ")
    assert wait_for_job(slurm, [str(after)]) == ["COMPLETED"], output(plan, tmp_path)
    assert json.loads(Path(target).read_text())["counts"] == status["counts"]

    # With the cause removed, only that run is submitted again. It starts later, so that it can be canceled.
    (broken.folder / "checkpoints").unlink()
    later = ClusterProfile(sbatch={"begin": "now+1hour"})
    second = submit_runs(plan, plan.runs, later, duration_of=lambda run: 1.0)
    assert (second.submitted, second.queued, len(second.final)) == ((broken.run_id,), (), 3)
    third = submit_runs(plan, plan.runs, ClusterProfile(), duration_of=lambda run: 1.0)
    assert (third.job, third.queued, third.waiting_for) == (None, (broken.run_id,), (second.job,))
    assert sweep("cancel", study) == 0
    assert capsys.readouterr().out == f"tiny: canceled 1 task of job {second.job}\n"
    assert sweep("cancel", study) == 0
    assert capsys.readouterr().out == "tiny: nothing in the queue\n"


def test_job_at_its_time_limit_is_requeued(
    slurm: SlurmCluster, write_study: WriteStudy, plan_study: PlanStudy, tmp_path: Path
) -> None:
    plan = plan_study(write_study(seeds=1, steps=(600,)))
    (run,) = plan.runs
    # SLURM looks at its clock every 30 s and signals that much earlier: 15 to 45 s after the start.
    cluster = ClusterProfile(time_minutes=1, signal_seconds=15)
    job = submit_runs(plan, plan.runs, cluster, duration_of=lambda run: 1e6).job
    assert job is not None
    assert slurm.job(job)["TimeLimit"] == "00:01:00"

    def trains() -> bool:
        start_requeued(slurm, f"{job}_0")  # on a busy machine the signal may come before the first step
        return (run.folder / "metrics.jsonl").exists()

    wait_until(trains)
    trainer = int((run.folder / "lock").read_text().split()[1])
    os.kill(trainer, signal.SIGSTOP)  # an endless step
    before = output(plan, tmp_path).count("the time limit is near")
    wait_until(lambda: output(plan, tmp_path).count("the time limit is near") > before)
    os.kill(trainer, signal.SIGCONT)
    slurm.wait_for(f"{job}_0", "PENDING")
    assert read_record(run.folder)["status"] == "preempted"
    slurm.run("scontrol", "update", f"jobid={job}_0", "TimeLimit=30")
    assert wait_for_job(slurm, [f"{job}_0"]) == ["COMPLETED"], output(plan, tmp_path)
    undisturbed = plan_study(plan.file.path, "undisturbed")
    train_job(make_job(undisturbed, undisturbed.runs[0]))
    assert metrics(plan) == metrics(undisturbed)


def test_slurm_error_is_one_line(
    slurm: SlurmCluster,
    sweep: Sweep,
    profile: Callable[[str], str],
    write_study: WriteStudy,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = write_study(seeds=1, steps=(40,))
    assert sweep("submit", study, "--cluster", profile("partition: nowhere\n")) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("windtunnel: sbatch: invalid partition specified: nowhere; Batch job submission failed")
    assert sweep("submit", study, "--cluster", profile("gpus: many\n")) == 2
    assert (
        capsys.readouterr().err.splitlines()[-1].split("cluster.yaml")[1].startswith(":1: gpus: many: write a number")
    )
    assert slurm.run("squeue", "--noheader") == ""
