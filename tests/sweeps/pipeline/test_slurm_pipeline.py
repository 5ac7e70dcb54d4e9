"""The pipeline on a real SLURM: one command leads to the scores, and the tables are those of the same runs trained on
this machine.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.slurm_cluster import SlurmCluster
from tests.support.tiny_study import plan_of, write_study
from windtunnel.analysis.prediction.seal import read_sealed
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.execution.scheduler import run_jobs
from windtunnel.sweeps.pipeline.pipeline import run_set
from windtunnel.sweeps.slurm.queue import QueuedTask, queued_tasks
from windtunnel.sweeps.slurm.submission import study_folder
from windtunnel.sweeps.study.plan import Plan
from windtunnel.train import checkpoint
from windtunnel.train.records import is_final, read_record

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]
MEASURED = ("wall_seconds", "tokens_per_second", "share_of_peak")  # columns of a table that no two runs share
TARGET_STEPS = 4000
Study = Callable[..., int]


@pytest.fixture
def plan(tmp_path: Path, data_directory: Path) -> Plan:
    """Two trunks of four horizons, the last of which takes seconds and can be preempted, and a target that continues
    one of them.
    """
    path = write_study(tmp_path / "closed.yaml", steps=(40, 60, 100, 2500), seeds=(0, 1), target_steps=TARGET_STEPS)
    study = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**study, "analysis": {"laws": ["power:D"]}}))
    return plan_of(path, tmp_path / "runs", data_directory)


@pytest.fixture
def study(plan: Plan, tmp_path: Path, data_directory: Path) -> Study:
    """`study("study", "--submit")` runs that command; the exit status."""

    def run(verb: str, *words: str) -> int:
        folders = ["--runs", str(tmp_path / "runs"), "--data", str(data_directory)]
        outcome = [] if verb == "sweep cancel" else ["--results", str(tmp_path / "results")]
        return main([*verb.split(), str(plan.file.path), *folders, *outcome, *words])

    return run


def answer(study: Study, capsys: pytest.CaptureFixture[str], verb: str, *words: str) -> dict:
    assert study(verb, *words, "--json", "-") == 0
    out = capsys.readouterr().out
    return json.loads(out[out.index("{") :])


def queue_of(plan: Plan, tmp_path: Path) -> list[QueuedTask]:
    return queued_tasks(plan.file.name, study_folder(tmp_path / "runs", plan.file.name))


def output(plan: Plan, tmp_path: Path) -> str:
    logs = (study_folder(tmp_path / "runs", plan.file.name) / "output").iterdir()
    return "".join(f"{path.name}\n{path.read_text()}" for path in sorted(logs))


def wait_until(happened: Callable[[], bool], report: Callable[[], str], seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, report()
        time.sleep(0.1)


def comparable(table: Table) -> dict[str, list[object]]:
    rows = {name: [str(value) for value in values] for name, values in table.columns.items() if name not in MEASURED}
    return {**rows, "run": table.run.tolist()}


def test_one_command_leads_to_the_scores_despite_a_preemption(
    slurm: SlurmCluster,
    study: Study,
    plan: Plan,
    tmp_path: Path,
    data_directory: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    profile = tmp_path / "cluster.yaml"
    profile.write_text("target_minutes: 0.001\nsignal_seconds: 30\ncontinuation: {time_minutes: 7}\n")
    submit = ("--submit", "--cluster", str(profile))
    first = answer(study, capsys, "study", *submit)
    assert (first["stage"], first["tasks"], len(first["submitted"])) == ("family", 2, 8)
    after = first["continuation"]
    assert slurm.job(after)["Dependency"].startswith(f"afterany:{first['job']}")
    assert slurm.job(after)["TimeLimit"] == "00:07:00"
    again = answer(study, capsys, "study", *submit)
    assert (again["job"], again["continuation"], len(again["queued"])) == (None, after, 8)

    wait_until(lambda: any(is_final(run.folder) for run in plan.runs), lambda: output(plan, tmp_path))
    running = [task.name for task in queue_of(plan, tmp_path) if task.state == "RUNNING"]
    slurm.run("scontrol", "requeue", running[0])
    wait_until(lambda: slurm.state(running[0]) == "PENDING", lambda: slurm.state(running[0]))
    status = answer(study, capsys, "sweep status")
    assert (status["stage"], status["continuation"]) == ("family", after)
    assert (status["counts"]["missing"], status["counts"]["stopped"], status["counts"]["failed"]) == (1, 0, 0)
    slurm.start_now(running[0])

    undisturbed = plan_of(plan.file.path, tmp_path / "undisturbed", data_directory)
    assert run_jobs(undisturbed, undisturbed.runs, workers=1).is_complete
    wait_until(lambda: not queue_of(plan, tmp_path), lambda: output(plan, tmp_path))
    capsys.readouterr()
    assert answer(study, capsys, "sweep status")["stage"] == "scored", output(plan, tmp_path)
    assert int(slurm.job(running[0])["Restarts"]) == 1
    assert answer(study, capsys, "study", *submit)["continuation"] is None
    assert slurm.run("squeue", "--noheader") == ""

    (sealed,) = (tmp_path / "results/closed/predictions").iterdir()
    (target,) = plan.targets
    assert read_sealed(sealed).time <= read_record(target.folder)["created"]
    assert sealed.stat().st_mtime_ns < (target.folder / "metrics.jsonl").stat().st_ctime_ns
    assert comparable(load_table(run_set(plan))) == comparable(load_table(run_set(undisturbed)))
    for ours, theirs in zip(plan.runs, undisturbed.runs, strict=True):
        assert (ours.folder / "metrics.jsonl").read_bytes() == (theirs.folder / "metrics.jsonl").read_bytes()
    kept = {run.run_id: [saved.step for saved in checkpoint.find(run.folder)] for run in plan.runs}
    assert kept == {run.run_id: [TARGET_STEPS] if run is target else [] for run in plan.runs}
    assert (tmp_path / "results/closed/report/report.html").exists()
