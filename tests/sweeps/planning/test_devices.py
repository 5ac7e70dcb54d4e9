"""The devices that runs train on. `nvidia-smi` is a stand-in."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.tiny_study import write_study
from windtunnel.sweeps.planning.devices import find_devices, gpu_memory_bytes
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, make_plan
from windtunnel.train.errors import InputError


def plan_with(tmp_path: Path, **fixed) -> Plan:
    file = write_study(tmp_path / "study.yaml", **fixed)
    return make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data")


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '0, GPU-aaaa, 81559\\n1, GPU-bbbb, 40960\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_one_worker_per_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    (device,) = find_devices(plan_with(tmp_path).runs)
    assert (device.name, device.workers, device.environment["OMP_NUM_THREADS"]) == ("cpu", 8, "1")
    assert find_devices(plan_with(tmp_path).runs, 3)[0].workers == 3
    assert find_devices(plan_with(tmp_path, runtime__threads=3).runs)[0].workers == 2
    with pytest.raises(InputError, match="workers must be at least 1, got 0"):
        find_devices([], 0)


@pytest.mark.usefixtures("two_gpus")
def test_workers_are_spread_over_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(5)))
    runs = plan_with(tmp_path).runs
    devices = find_devices(runs)
    assert [(device.name, device.workers) for device in devices] == [("gpu GPU-aaaa", 3), ("gpu GPU-bbbb", 2)]
    assert [device.environment["CUDA_VISIBLE_DEVICES"] for device in devices] == ["GPU-aaaa", "GPU-bbbb"]
    assert devices[0].memory_bytes == pytest.approx(0.9 * 81559 * 2**20)
    assert [device.name for device in find_devices(runs, 1)] == ["gpu GPU-aaaa"]
    for visible, names in (("1", ["gpu GPU-bbbb"]), ("GPU-bb,0", ["gpu GPU-bbbb", "gpu GPU-aaaa"]), ("", ["cpu"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [device.name for device in find_devices(runs)] == names
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [device.name for device in find_devices(plan_with(tmp_path, runtime__device="cpu").runs)] == ["cpu"]


def test_memory_estimate_grows_with_parameters_and_batch(tmp_path: Path) -> None:
    config = plan_with(tmp_path).runs[0].config
    wide = replace(config, model=replace(config.model, width=1024, feedforward_width=4096, depth=8))
    batch = replace(wide, optimizer=replace(wide.optimizer, tokens_per_step=65_536))
    split = replace(batch, runtime=replace(batch.runtime, micro_batch_sequences=64))
    assert 0.8e9 < gpu_memory_bytes(config) < 0.9e9
    assert gpu_memory_bytes(config) < gpu_memory_bytes(wide) < gpu_memory_bytes(split) < gpu_memory_bytes(batch)
