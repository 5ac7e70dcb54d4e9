"""Jobs: what a run takes over from its trunk."""

import shutil

import pytest

from tests.support.tiny_study import PlanStudy, WriteStudy
from windtunnel.sweeps.execution.job import make_job, train_job
from windtunnel.train.records import read_record


@pytest.mark.slow
def test_run_without_its_checkpoint_is_compiled_as_its_trunk_was(
    write_study: WriteStudy, plan_study: PlanStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_study(write_study(seeds=1, steps=(40, 60)))
    first, second = (make_job(plan, run) for run in plan.runs)
    assert first.config.runtime.compile == "auto"
    train_job(first)
    shutil.rmtree(first.folder / "checkpoints")
    # From here on every run is long enough to be compiled, if its own length decides.
    monkeypatch.setattr("windtunnel.train.device.MIN_CPU_FLOPS_TO_COMPILE", 0)
    monkeypatch.setattr("windtunnel.train.device.shutil.which", lambda name: f"/usr/bin/{name}")
    train_job(second)
    record = read_record(second.folder)
    assert record["numerics"]["compile"] is False
    assert record["status"] == "finished"
