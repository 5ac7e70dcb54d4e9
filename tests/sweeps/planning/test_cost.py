"""Seconds, bytes and the order of events, against hand calculation and the files that runs leave."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from windtunnel.sweeps.execution.job import make_job, train_job
from windtunnel.sweeps.planning.cost import (
    Timing,
    checkpoint_bytes,
    record_bytes,
    seconds_between,
    step_shape,
    step_shapes,
    training_seconds,
)
from windtunnel.sweeps.planning.gpu_throughput import GPUS, parse_gpu, published_timings
from windtunnel.sweeps.planning.simulation import simulate
from windtunnel.sweeps.planning.throughput import CACHE_NAME, local_timings
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
TIMING = Timing(start=1.0, step=0.5, evaluated_token=0.001, checkpoint=0.25, source="measured")


def plan_of(folder: Path, *, prepare: bool = False) -> Plan:
    return make_plan(parse_study(TINY, folder / "s.yaml"), folder / "runs", folder / "data", prepare=prepare)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


def test_seconds_of_a_run_are_its_parts(plan: Plan) -> None:
    first = plan.runs[0]
    assert first.config.schedule.total_steps == 40
    # 40 steps. The first milestone, 8 x 1,024 tokens, is after the end: one evaluation. Two checkpoints, at the start
    # of the decay and at the end, and one per minute for resumption.
    assert first.config.logging.checkpoint_steps == (32,)
    assert training_seconds(first, TIMING) == pytest.approx(1 + 40 * 0.5 + 1.024 + (2 + 20 / 60) * 0.25)


def test_seconds_add_up_along_a_run(plan: Plan) -> None:
    for run in plan.runs:
        config, end = run.config, run.config.schedule.total_steps
        for middle in (1, 32, 64, end - 1):
            if middle < end:
                parts = seconds_between(config, TIMING, 0, middle) + seconds_between(config, TIMING, middle, end)
                assert parts == pytest.approx(seconds_between(config, TIMING, 0, end))


def test_runs_of_one_shape_share_a_timing(plan: Plan) -> None:
    assert len(step_shapes(plan.runs)) == 3
    config = plan.runs[0].config
    same = replace(config, seed=9, optimizer=replace(config.optimizer, rate=1.0))
    assert step_shape(same) == step_shape(config)
    assert step_shape(replace(config, data=replace(config.data, sequence_length=64))) != step_shape(config)
    assert step_shape(replace(config, model=replace(config.model, tied_embedding=True))) != step_shape(config)
    assert step_shape(replace(config, runtime=replace(config.runtime, precision="bf16"))) != step_shape(config)


def test_one_worker_takes_the_sum_of_all_work(plan: Plan) -> None:
    timeline = simulate(plan, dict.fromkeys(step_shapes(plan.runs), TIMING), 1)
    assert timeline.seconds == pytest.approx(timeline.work)
    assert timeline.work == pytest.approx(sum(training_seconds(run, TIMING) for run in plan.runs))


def test_more_workers_are_faster_up_to_the_longest_path(plan: Plan) -> None:
    timings = dict.fromkeys(step_shapes(plan.runs), TIMING)
    times = [simulate(plan, timings, workers) for workers in (1, 2, 3, 4, 100)]
    for before, after in itertools.pairwise(times):
        assert after.seconds <= before.seconds
    for workers, timeline in zip((1, 2, 3, 4, 100), times, strict=True):
        assert timeline.seconds >= timeline.work / workers - 1e-9
        assert timeline.seconds >= timeline.longest_path - 1e-9
    assert times[-1].seconds == pytest.approx(times[-1].longest_path)


def test_longest_path_goes_through_checkpoints(plan: Plan) -> None:
    """A branch waits for its checkpoint, not for the end of its parent. Targets wait for the whole family."""
    timeline = simulate(plan, dict.fromkeys(step_shapes(plan.runs), TIMING), 100)
    # To the decay of the run of 40 steps, to that of 80, with an evaluation at 8,192 tokens, and to the end of 120.
    to_32 = 1 + 16 + (1 + 16 / 60) * 0.25
    to_64 = 1 + 16 + 1.024 + (1 + 16 / 60) * 0.25
    to_120 = 1 + 28 + 1.024 + (1 + 28 / 60) * 0.25
    target = training_seconds(plan.targets[0], TIMING)
    assert timeline.longest_path == pytest.approx(to_32 + to_64 + to_120 + target)
    assert timeline.seconds == pytest.approx(timeline.longest_path)


def test_disk_at_the_end_holds_targets_and_records(plan: Plan) -> None:
    timings = dict.fromkeys(step_shapes(plan.runs), TIMING)
    few, many = simulate(plan, timings, 1), simulate(plan, timings, 100)
    records = sum(record_bytes(run.config, 1, training_seconds(run, TIMING)) for run in plan.runs)
    assert few.left_bytes == many.left_bytes == records + checkpoint_bytes(plan.targets[0].config)
    assert few.left_bytes < few.peak_bytes < many.peak_bytes


@pytest.mark.slow
def test_estimated_bytes_match_the_files_of_runs(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, prepare=True)
    for run in (plan.runs[0], plan.targets[0]):
        train_job(make_job(plan, run))
        files = [path for path in run.folder.iterdir() if path.is_file() and path.name != "lock"]
        left = sum(path.stat().st_size for path in files)
        assert left <= record_bytes(run.config, 1, 10) <= 3 * left
        for saved in checkpoint.find(run.folder):
            assert saved.path.stat().st_size <= checkpoint_bytes(run.config) <= 1.5 * saved.path.stat().st_size


@pytest.mark.slow
def test_timings_are_measured_once(tmp_path: Path, plan: Plan) -> None:
    shapes = dict(list(step_shapes(plan.runs).items())[:2])
    messages: list[str] = []
    first = local_timings(shapes, tmp_path / "runs", progress=messages.append)
    assert len(messages) == 2
    assert {timing.source for timing in first.values()} == {"measured"}
    assert all(timing.step > timing.evaluated_token > 0 for timing in first.values())
    assert local_timings(shapes, tmp_path / "runs", measure=False) == first
    assert local_timings(shapes, tmp_path / "runs", progress=messages.append) == first
    assert len(messages) == 2, "measured again"


def test_remeasure_ignores_the_cache(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = step_shapes(plan.runs)
    timings = iter([TIMING] * 3 + [replace(TIMING, step=0.1)] * 3)
    monkeypatch.setattr(
        "windtunnel.sweeps.planning.throughput_measurement.measure_timing",
        lambda config, folder, sequences: next(timings),
    )
    monkeypatch.setattr("windtunnel.sweeps.planning.throughput.MAX_SECONDS", 100.0)
    assert set(local_timings(shapes, tmp_path).values()) == {TIMING}
    assert {timing.step for timing in local_timings(shapes, tmp_path, remeasure=True).values()} == {0.1}
    assert {timing.step for timing in local_timings(shapes, tmp_path).values()} == {0.1}


def test_damaged_or_foreign_cache_is_ignored(tmp_path: Path, plan: Plan) -> None:
    shapes = step_shapes(plan.runs)
    (tmp_path / CACHE_NAME).write_text("{")
    assert local_timings(shapes, tmp_path, measure=False) == {}
    (tmp_path / CACHE_NAME).write_text(json.dumps({"0" * 32: TIMING.__dict__, "1": {"step": "fast"}}))
    assert local_timings(shapes, tmp_path, measure=False) == {}


def test_unmeasured_shapes_are_derived_from_flops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TINY.replace("size.width: [16, 24]", "size.width: [16, 24, 28, 4096]")
    plan = make_plan(parse_study(text, tmp_path / "s.yaml"), tmp_path / "runs", tmp_path / "data")
    measured: list[int] = []

    def measure(config: object, folder: Path, sequences: int) -> Timing:
        measured.append(config.model.width)  # type: ignore[attr-defined]
        return replace(TIMING, step=1e-3 * config.model.width)  # type: ignore[attr-defined]

    monkeypatch.setattr("windtunnel.sweeps.planning.throughput_measurement.measure_timing", measure)
    monkeypatch.setattr("windtunnel.sweeps.planning.throughput.MAX_MEASURED", 4)
    timings = {shape.model[0]: timing for shape, timing in local_timings(step_shapes(plan.runs), tmp_path).items()}
    assert sorted(measured) == [16, 24, 32]
    assert timings[28].source == "interpolated"
    assert timings[24].step < timings[28].step < timings[32].step
    assert timings[4096].source == "extrapolated"
    assert timings[4096].step > 1000 * timings[32].step


def test_named_gpu_with_a_higher_peak_is_faster(plan: Plan) -> None:
    assert parse_gpu("h100").count == 1
    assert parse_gpu("A100:8").description == "8 x a100"
    text = TINY.replace("[16, 24]", "[2048]")
    large = make_plan(parse_study(text, Path("s.yaml")), Path("runs"), Path("data"))
    steps = {}
    for name in ("h100", "a100", "l4"):
        timings = published_timings(step_shapes(large.runs), GPUS[name])
        steps[name] = max(timing.step for timing in timings.values())
        tiny = published_timings(step_shapes(plan.runs), GPUS[name])
        assert min(timing.step for timing in tiny.values()) >= 1e-4, "kernel launches bound a tiny step"
    assert steps["h100"] <= steps["a100"] <= steps["l4"]


@pytest.mark.parametrize("text", ["h101", "h100:0", "h100:x", "", "h100:4:4"])
def test_unknown_gpu_error_lists_the_known_ones(text: str) -> None:
    with pytest.raises(InputError, match="h100, h100-pcie"):
        parse_gpu(text)
