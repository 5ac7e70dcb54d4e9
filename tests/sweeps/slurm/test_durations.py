"""What time limits follow from: the paces of the plan, wherever the runs will be trained."""

from pathlib import Path

import pytest

from tests.support.tiny_study import PlanStudy, WriteStudy
from windtunnel.sweeps.planning.cost import Pace, seconds_of, shape_of, shapes_of
from windtunnel.sweeps.planning.gpu_throughput import GPUS, published_paces
from windtunnel.sweeps.slurm import durations as run_seconds
from windtunnel.sweeps.slurm.durations import seconds_known, seconds_on
from windtunnel.sweeps.slurm.profile import Cluster
from windtunnel.sweeps.study.plan import Plan
from windtunnel.train.errors import InputError

PACE = Pace(start=1.0, step=0.5, evaluated_token=0.0, checkpoint=0.0, source="measured")


@pytest.fixture
def plan(write_study: WriteStudy, plan_study: PlanStudy) -> Plan:
    return plan_study(write_study(seeds=1, steps=(40, 60)))


@pytest.mark.parametrize(
    ("cluster", "name", "is_noted"),
    [
        (Cluster(gpus="A100:1"), "a100", False),
        (Cluster(gpus="a100:1", rates="h100"), "h100", False),
        (Cluster(rates="h100"), "h100", False),
        (Cluster(gpus=1), "l4", True),
        (Cluster(gpus="v100:1"), "l4", True),
    ],
)
def test_on_gpus_by_the_rates_that_the_profile_names(
    plan: Plan, tmp_path: Path, cluster: Cluster, name: str, is_noted: bool
) -> None:
    told: list[str] = []
    paces = published_paces(shapes_of(plan.runs), GPUS[name])
    found = seconds_on(cluster, plan.runs, tmp_path, told.append)
    assert [found(run) for run in plan.runs] == [seconds_of(run, paces[shape_of(run.config)]) for run in plan.runs]
    assert bool(told) == is_noted


def test_without_gpus_at_the_pace_of_this_machine(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_seconds, "paces_here", lambda shapes, *words, **more: dict.fromkeys(shapes, PACE))
    found = seconds_on(Cluster(), plan.runs, tmp_path, print)
    assert [found(run) for run in plan.runs] == [seconds_of(run, PACE) for run in plan.runs]
    monkeypatch.setattr(run_seconds, "paces_here", lambda *words, **more: {})
    with pytest.raises(InputError, match=r"no time limit is known: name the GPU .* as in gpus: h100:1"):
        seconds_on(Cluster(), plan.runs, tmp_path, print)


def test_a_status_measures_nothing(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "windtunnel.sweeps.planning.throughput_measurement.measure_pace", lambda *words: pytest.fail("measured")
    )
    assert seconds_known(plan.runs, tmp_path) is None


def test_rates_of_a_gpu_that_is_not_known_are_refused() -> None:
    with pytest.raises(ValueError, match="rates of h100, h100-pcie"):
        Cluster(rates="v100")
