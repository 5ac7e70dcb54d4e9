"""A study of thirty tiny runs whose workers and launcher are killed at random moments. Repeated to its end, it has the
bytes of an undisturbed one.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.tiny_study import plan_of, write_study
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.execution.scheduler import SweepResult, run_jobs
from windtunnel.sweeps.study.plan import Plan
from windtunnel.train import checkpoint
from windtunnel.train.errors import InputError
from windtunnel.train.records import FINAL_STATUSES, read_record

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]

MEASURED = ("wall_seconds", "tokens_per_second", "share_of_peak")  # columns that no repetition reproduces


@dataclass(frozen=True)
class Study:
    file: Path
    data: Path
    undisturbed: Plan
    result: SweepResult


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    base = tmp_path_factory.getbasetemp()
    data = (base.parent if base.name.startswith("popen-") else base) / "data"
    folder = tmp_path_factory.mktemp("thirty")
    rates = (3e-3, 4.5e-3, 6e-3, 9e-3, 1.2e-2)
    # Frequent checkpoints, so that a kill can come anywhere between two of them.
    file = write_study(folder / "thirty.yaml", rates=rates, seeds=(0, 1), runtime__checkpoint_seconds=0.2)
    plan = plan_of(file, folder / "undisturbed", data)
    return Study(file, data, plan, run_jobs(plan, plan.runs, workers=2))


class Launcher:
    """`windtunnel sweep run` of the study in its own process. `close_standard_error` closes its standard error."""

    def __init__(self, study: Study, runs: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "windtunnel.sweeps.cli.main",
            "--debug",
            "sweep",
            "run",
            str(study.file),
            "--workers",
            "2",
        ]
        self.process = subprocess.Popen(
            [*command, "--runs", str(runs), "--data", str(study.data)], cwd=ROOT, stderr=subprocess.PIPE
        )

    def close_standard_error(self) -> None:
        assert self.process.stderr is not None
        self.process.stderr.close()

    def workers(self) -> list[int]:
        """Process ids of the workers, except for one that exits in this moment."""
        pids = []
        with suppress(OSError):
            for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                if b"windtunnel.sweeps.execution.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    pids.append(int(child))
        return pids


@pytest.fixture
def launched() -> Iterator[list[Launcher]]:
    started: list[Launcher] = []
    yield started
    for launcher in started:
        launcher.process.kill()
        launcher.process.wait()
        launcher.close_standard_error()


def statuses(plan: Plan) -> dict[str, str]:
    recorded = {}
    for run in plan.runs:
        try:
            recorded[run.run_id] = read_record(run.folder)["status"]
        except InputError:
            continue
    return recorded


def wait_for_training(plan: Plan, launcher: Launcher) -> bool:
    """Wait until workers train and a run has started or ended since the call. False where the study has ended."""
    before, deadline = None, time.monotonic() + 300
    while True:
        now = statuses(plan)
        if launcher.workers() and "running" in now.values():
            before = before or now
            if now != before:
                return True
        if launcher.process.poll() is not None:
            assert launcher.process.returncode == 0, launcher.process.communicate()
            return False
        assert time.monotonic() < deadline
        time.sleep(0.02)


def results(plan: Plan) -> dict[str, bytes]:
    """The records of the runs with a result."""
    return {
        run.run_id: (run.folder / "run.json").read_bytes()
        for run in plan.runs
        if statuses(plan).get(run.run_id) in FINAL_STATUSES
    }


def comparable(table: Table) -> Table:
    return replace(table, columns={name: values for name, values in table.columns.items() if name not in MEASURED})


def test_undisturbed_study(study: Study) -> None:
    plan, result = study.undisturbed, study.result
    assert (result.runs, result.finished, result.trained, result.failures) == (30, 30, 30, ())
    assert result.is_complete
    assert result.signal is None
    for run in plan.runs:
        lineage = read_record(run.folder)["lineage"]
        assert lineage == ({"parent": run.parent, "step": run.parent_step} if run.parent else None)
    assert sum(run.parent is not None for run in plan.runs) == 20
    assert not any(checkpoint.find(run.folder) for run in plan.runs)  # no run needs them any more

    again = run_jobs(plan, plan.runs, workers=2)
    assert (again.finished, again.trained) == (30, 0)


def test_killed_at_random_moments(study: Study, launched: list[Launcher], tmp_path: Path) -> None:
    plan, chance = plan_of(study.file, tmp_path / "runs", study.data), random.Random(20261122)
    done: dict[str, bytes] = {}
    disturbances: list[str] = []
    launched.append(Launcher(study, tmp_path / "runs"))
    for disturbance in ("worker", "launcher", "worker", "interrupt", "worker"):
        launcher = launched[-1]
        if not wait_for_training(plan, launcher):
            break
        time.sleep(chance.uniform(0, 0.6))
        done |= results(plan)
        disturbances.append(disturbance)
        if disturbance == "worker":
            os.kill(chance.choice(launcher.workers()), signal.SIGKILL)
            continue
        launcher.process.send_signal(signal.SIGINT if disturbance == "interrupt" else signal.SIGKILL)
        assert launcher.process.wait(300) == (130 if disturbance == "interrupt" else -signal.SIGKILL)
        # Started again at once, it finds runs that orphaned workers still hold while they save.
        launched.append(Launcher(study, tmp_path / "runs"))
    launched[-1].close_standard_error()  # a log without a reader does not stop the study
    assert launched[-1].process.wait(600) == 0

    assert {"worker", "launcher", "interrupt"} <= set(disturbances)
    assert 0 < len(done) < 30
    assert {name: content for name, content in results(plan).items() if name in done} == done  # none was trained again
    for run, reference in zip(plan.runs, study.undisturbed.runs, strict=True):
        assert (run.folder / "metrics.jsonl").read_bytes() == (reference.folder / "metrics.jsonl").read_bytes()
    tables = [comparable(load_table(trained.runs[0].folder.parent)) for trained in (plan, study.undisturbed)]
    assert len(tables[0]) == 30
    assert tables[0].digest == tables[1].digest
    assert not any(checkpoint.find(run.folder) for run in plan.runs)
