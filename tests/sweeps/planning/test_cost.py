"""Seconds, bytes and order of events, against what can be worked out by hand and what runs really leave."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from windtunnel.sweeps.execution.job import job_of, train_job
from windtunnel.sweeps.planning.cost import (
    Pace,
    checkpoint_bytes,
    record_bytes,
    seconds_between,
    seconds_of,
    shape_of,
    shapes_of,
)
from windtunnel.sweeps.planning.gpu_throughput import GPUS, parse_gpu, published_paces
from windtunnel.sweeps.planning.simulation import simulate
from windtunnel.sweeps.planning.throughput import CACHE_NAME, paces_here
from windtunnel.sweeps.study.load import parse_study
from windtunnel.sweeps.study.plan import Plan, make_plan
from windtunnel.train import checkpoint
from windtunnel.train.errors import InputError

TINY = """\
title: tiny runs
fixed:
  data: custom
  data.spec: "synthetic:context-tree?vocabulary=64"
  data.vocabulary: 0
  data.token_budget: 200k
  size: custom
  size.depth: 2
  size.head_count: 2
  schedule.warmup_tokens: 1024
  optimizer.tokens_per_step: 128
  data.sequence_length: 32
  data.evaluation_tokens: 1024
  logging.every_steps: 4
family:
  - grid:
      size.width: [16, 24]
      horizon.steps: [40, 80, 120]
      seed: [0, 1]
targets:
  - rows: [{size.width: 32, horizon.steps: 120}]
analysis: {laws: [chinchilla]}
"""
PACE = Pace(start=1.0, step=0.5, evaluated_token=0.001, checkpoint=0.25, source="measured")


def plan_of(folder: Path, *, prepare: bool = False) -> Plan:
    return make_plan(parse_study(TINY, folder / "s.yaml"), folder / "runs", folder / "data", prepare=prepare)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


def test_seconds_of_a_run_are_its_parts(plan: Plan) -> None:
    first = plan.runs[0]
    assert first.config.schedule.total_steps == 40
    # 40 steps; the first milestone, 8 x 1,024 tokens, is after the end: one evaluation; two checkpoints, at the decay
    # and at the end, and a third of one for the minute.
    assert first.config.logging.checkpoint_steps == (32,)
    assert seconds_of(first, PACE) == pytest.approx(1 + 40 * 0.5 + 1.024 + (2 + 20 / 60) * 0.25)


def test_seconds_add_up_along_a_run(plan: Plan) -> None:
    for run in plan.runs:
        config, end = run.config, run.config.schedule.total_steps
        for middle in (1, 32, 64, end - 1):
            if middle < end:
                parts = seconds_between(config, PACE, 0, middle) + seconds_between(config, PACE, middle, end)
                assert parts == pytest.approx(seconds_between(config, PACE, 0, end))


def test_runs_of_one_shape_share_a_pace(plan: Plan) -> None:
    assert len(shapes_of(plan.runs)) == 3
    config = plan.runs[0].config
    same = replace(config, seed=9, optimizer=replace(config.optimizer, rate=1.0))
    assert shape_of(same) == shape_of(config)
    assert shape_of(replace(config, data=replace(config.data, sequence_length=64))) != shape_of(config)
    assert shape_of(replace(config, model=replace(config.model, tied_embedding=True))) != shape_of(config)
    assert shape_of(replace(config, runtime=replace(config.runtime, precision="bf16"))) != shape_of(config)


def test_one_worker_takes_as_long_as_all_the_work(plan: Plan) -> None:
    timeline = simulate(plan, dict.fromkeys(shapes_of(plan.runs), PACE), 1)
    assert timeline.seconds == pytest.approx(timeline.work)
    assert timeline.work == pytest.approx(sum(seconds_of(run, PACE) for run in plan.runs))


def test_more_workers_are_faster_down_to_the_longest_path(plan: Plan) -> None:
    paces = dict.fromkeys(shapes_of(plan.runs), PACE)
    times = [simulate(plan, paces, workers) for workers in (1, 2, 3, 4, 100)]
    for before, after in itertools.pairwise(times):
        assert after.seconds <= before.seconds
    for workers, timeline in zip((1, 2, 3, 4, 100), times, strict=True):
        assert timeline.seconds >= timeline.work / workers - 1e-9
        assert timeline.seconds >= timeline.longest_path - 1e-9
    assert times[-1].seconds == pytest.approx(times[-1].longest_path)


def test_the_longest_path_is_that_of_checkpoints_not_of_whole_runs(plan: Plan) -> None:
    """A branch waits for its checkpoint, not for its parent's end; the targets for the whole family."""
    timeline = simulate(plan, dict.fromkeys(shapes_of(plan.runs), PACE), 100)
    # To the decay of 40 steps, on to that of 80, with an evaluation at 8,192 tokens, and on to the end of 120.
    to_32 = 1 + 16 + (1 + 16 / 60) * 0.25
    to_64 = 1 + 16 + 1.024 + (1 + 16 / 60) * 0.25
    to_120 = 1 + 28 + 1.024 + (1 + 28 / 60) * 0.25
    target = seconds_of(plan.of("target")[0], PACE)
    assert timeline.longest_path == pytest.approx(to_32 + to_64 + to_120 + target)
    assert timeline.seconds == pytest.approx(timeline.longest_path)


def test_disk_at_the_end_is_the_targets_and_the_records(plan: Plan) -> None:
    paces = dict.fromkeys(shapes_of(plan.runs), PACE)
    few, many = simulate(plan, paces, 1), simulate(plan, paces, 100)
    records = sum(record_bytes(run.config, 1, seconds_of(run, PACE)) for run in plan.runs)
    assert few.left_bytes == many.left_bytes == records + checkpoint_bytes(plan.of("target")[0].config)
    assert few.left_bytes < few.peak_bytes < many.peak_bytes


def test_bytes_are_what_runs_leave(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, prepare=True)
    for run in (plan.runs[0], plan.of("target")[0]):
        train_job(job_of(plan, run))
        files = [path for path in run.folder.iterdir() if path.is_file() and path.name != "lock"]
        left = sum(path.stat().st_size for path in files)
        assert left <= record_bytes(run.config, 1, 10) <= 3 * left
        for found in checkpoint.find(run.folder):
            assert found.path.stat().st_size <= checkpoint_bytes(run.config) <= 1.5 * found.path.stat().st_size


def test_a_probe_measures_once(tmp_path: Path, plan: Plan) -> None:
    shapes = dict(list(shapes_of(plan.runs).items())[:2])
    said: list[str] = []
    first = paces_here(shapes, tmp_path / "runs", progress=said.append)
    assert len(said) == 2
    assert {pace.source for pace in first.values()} == {"measured"}
    assert all(pace.step > pace.evaluated_token > 0 for pace in first.values())
    assert paces_here(shapes, tmp_path / "runs", measure=False) == first
    assert paces_here(shapes, tmp_path / "runs", progress=said.append) == first
    assert len(said) == 2, "measured again"


def test_a_probe_measures_anew_where_asked(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = shapes_of(plan.runs)
    paces = iter([PACE] * 3 + [replace(PACE, step=0.1)] * 3)
    monkeypatch.setattr(
        "windtunnel.sweeps.planning.throughput_measurement.measure_pace", lambda config, folder, sequences: next(paces)
    )
    monkeypatch.setattr("windtunnel.sweeps.planning.throughput.LONGEST_SECONDS", 100.0)
    assert set(paces_here(shapes, tmp_path).values()) == {PACE}
    assert {pace.step for pace in paces_here(shapes, tmp_path, anew=True).values()} == {0.1}
    assert {pace.step for pace in paces_here(shapes, tmp_path).values()} == {0.1}


def test_a_cache_that_is_broken_or_of_another_machine_is_none(tmp_path: Path, plan: Plan) -> None:
    shapes = shapes_of(plan.runs)
    (tmp_path / CACHE_NAME).write_text("{")
    assert paces_here(shapes, tmp_path, measure=False) == {}
    (tmp_path / CACHE_NAME).write_text(json.dumps({"0" * 32: PACE.__dict__, "1": {"step": "fast"}}))
    assert paces_here(shapes, tmp_path, measure=False) == {}


def test_what_is_too_large_to_measure_follows_by_its_flops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TINY.replace("size.width: [16, 24]", "size.width: [16, 24, 28, 4096]")
    plan = make_plan(parse_study(text, tmp_path / "s.yaml"), tmp_path / "runs", tmp_path / "data")
    measured: list[int] = []

    def measure(config: object, folder: Path, sequences: int) -> Pace:
        measured.append(config.model.width)  # type: ignore[attr-defined]
        return replace(PACE, step=1e-3 * config.model.width)  # type: ignore[attr-defined]

    monkeypatch.setattr("windtunnel.sweeps.planning.throughput_measurement.measure_pace", measure)
    monkeypatch.setattr("windtunnel.sweeps.planning.throughput.MOST_MEASURED", 4)
    paces = {shape.model[0]: pace for shape, pace in paces_here(shapes_of(plan.runs), tmp_path).items()}
    assert sorted(measured) == [16, 24, 32]
    assert paces[28].source == "interpolated"
    assert paces[24].step < paces[28].step < paces[32].step
    assert paces[4096].source == "extrapolated"
    assert paces[4096].step > 1000 * paces[32].step


def test_a_named_gpu_is_faster_the_higher_its_peak(plan: Plan) -> None:
    assert parse_gpu("h100").count == 1
    assert parse_gpu("A100:8").words == "8 x a100"
    text = TINY.replace("[16, 24]", "[2048]")
    large = make_plan(parse_study(text, Path("s.yaml")), Path("runs"), Path("data"))
    steps = {}
    for name in ("h100", "a100", "l4"):
        paces = published_paces(shapes_of(large.runs), GPUS[name])
        steps[name] = max(pace.step for pace in paces.values())
        tiny = published_paces(shapes_of(plan.runs), GPUS[name])
        assert min(pace.step for pace in tiny.values()) >= 1e-4, "a tiny step is a queue of launches"
    assert steps["h100"] <= steps["a100"] <= steps["l4"]


@pytest.mark.parametrize("text", ["h101", "h100:0", "h100:x", "", "h100:4:4"])
def test_an_unknown_gpu_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(InputError, match="h100, h100-pcie"):
        parse_gpu(text)
