"""Estimated durations of runs: by the rates of the GPU in the profile, or by the speed of this machine."""

from pathlib import Path

import pytest

from tests.support.tiny_study import PlanStudy, WriteStudy
from windtunnel.sweeps.planning.cost import Timing, step_shape, step_shapes, training_seconds
from windtunnel.sweeps.planning.gpu_throughput import GPUS, published_timings
from windtunnel.sweeps.slurm import durations
from windtunnel.sweeps.slurm.durations import estimate_durations, known_durations
from windtunnel.sweeps.slurm.profile import ClusterProfile
from windtunnel.sweeps.study.plan import Plan
from windtunnel.train.errors import InputError

TIMING = Timing(start=1.0, step=0.5, evaluated_token=0.0, checkpoint=0.0, source="measured")


@pytest.fixture
def plan(write_study: WriteStudy, plan_study: PlanStudy) -> Plan:
    return plan_study(write_study(seeds=1, steps=(40, 60)))


@pytest.mark.parametrize(
    ("profile", "gpu", "is_noted"),
    [
        (ClusterProfile(gpus="A100:1"), "a100", False),
        (ClusterProfile(gpus="a100:1", rates="h100"), "h100", False),
        (ClusterProfile(rates="h100"), "h100", False),
        (ClusterProfile(gpus=1), "l4", True),
        (ClusterProfile(gpus="v100:1"), "l4", True),
    ],
)
def test_gpu_jobs_use_the_rates_of_the_gpu_in_the_profile(
    plan: Plan, tmp_path: Path, profile: ClusterProfile, gpu: str, is_noted: bool
) -> None:
    logged: list[str] = []
    timings = published_timings(step_shapes(plan.runs), GPUS[gpu])
    duration_of = estimate_durations(profile, plan.runs, tmp_path, logged.append)
    assert [duration_of(run) for run in plan.runs] == [
        training_seconds(run, timings[step_shape(run.config)]) for run in plan.runs
    ]
    assert bool(logged) == is_noted


def test_cpu_jobs_use_the_speed_of_this_machine(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "local_timings", lambda shapes, *words, **more: dict.fromkeys(shapes, TIMING))
    duration_of = estimate_durations(ClusterProfile(), plan.runs, tmp_path, print)
    assert [duration_of(run) for run in plan.runs] == [training_seconds(run, TIMING) for run in plan.runs]
    monkeypatch.setattr(durations, "local_timings", lambda *words, **more: {})
    with pytest.raises(InputError, match=r"no time limit can be set: name the GPU .* for example gpus: h100:1"):
        estimate_durations(ClusterProfile(), plan.runs, tmp_path, print)


def test_known_durations_measure_nothing(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "windtunnel.sweeps.planning.throughput_measurement.measure_timing", lambda *words: pytest.fail("measured")
    )
    assert known_durations(plan.runs, tmp_path) is None


def test_unknown_gpu_rates_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"no such GPU \(there are: h100, h100-pcie"):
        ClusterProfile(rates="v100")
