"""Timings on this machine, measured: a few training steps and evaluations of each shape of a plan.

Every part is the one that training uses (`train.fleet`, `train.batches`, `train.evaluation`, `train.checkpoint`), on a
small synthetic corpus, so a study can be planned before its data are prepared. Shapes are measured from the smallest
up, in one thread unless the study sets another number. A step that would take too long is measured with fewer
sequences. Where there are too many shapes, or one sequence is too long, the others follow from the measured ones by
their FLOPs. Measurements are cached in `.probe.json` in the folder of runs, for this machine and this code.
"""

import hashlib
import json
import math
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import metadata, resources
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from windtunnel.sweeps.planning.cost import StepShape, Timing, step_flops
from windtunnel.train.config.config import RunConfig
from windtunnel.train.records import write_atomically

CACHE_NAME = ".probe.json"
MAX_MEASURED = 10  # shapes of one plan
MAX_SECONDS = 2.5  # for one shape, as estimated from the one before it
NUM_ESTIMATED_STEPS = 4
# The code that decides how long a step takes.
CODE = {
    "windtunnel.models": ("transformer.py",),
    "windtunnel.train": ("fleet.py", "optimizer.py", "flat_parameters.py", "batches.py", "evaluation.py", "device.py"),
    "windtunnel.sweeps.planning": ("throughput_measurement.py",),
}
_TIMING = TypeAdapter(Timing)
Timings = dict[StepShape, Timing]


def local_timings(
    configs: Mapping[StepShape, RunConfig],
    runs_directory: Path,
    *,
    measure: bool = True,
    remeasure: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> Timings:
    """The timing of each shape on this machine. Without `measure`, from cached measurements alone: {} where there are
    none. `remeasure` ignores the cache.
    """
    path = Path(runs_directory) / CACHE_NAME
    cached = {} if remeasure else _read_cache(path)
    machine = _describe_machine()
    keys = {shape: _key(machine, shape) for shape in configs}
    measured = {shape: cached[key] for shape, key in keys.items() if key in cached}
    missing = [shape for shape in _choose_shapes(configs, measured) if shape not in measured] if measure else []
    new = _measure(missing, configs, measured, progress) if missing else {}
    if new:
        _write_cache(path, {keys[shape]: timing for shape, timing in new.items()})
    measured |= new
    if not measured:
        return {}
    return {shape: measured.get(shape) or _derive(config, measured, configs) for shape, config in configs.items()}


def _measure(
    shapes: list[StepShape],
    configs: Mapping[StepShape, RunConfig],
    measured: Timings,
    progress: Callable[[str], None],
) -> Timings:
    from windtunnel.sweeps.planning.throughput_measurement import (  # loads torch
        initial_flops_per_second,
        measure_timing,
    )

    new: Timings = {}
    with tempfile.TemporaryDirectory() as folder:
        for shape in shapes:
            config = configs[shape]
            flops_per_second = _flops_per_second({**measured, **new}, configs) or initial_flops_per_second()
            share = MAX_SECONDS / (NUM_ESTIMATED_STEPS * step_flops(config) / flops_per_second)
            sequences = min(config.sequences_per_step, int(share * config.sequences_per_step))
            if sequences < 1:
                break  # the shapes after it are larger
            progress(f"measuring {config.model.width} x {config.model.depth}")
            new[shape] = measure_timing(config, Path(folder), sequences)
    return new


def _choose_shapes(configs: Mapping[StepShape, RunConfig], measured: Timings) -> list[StepShape]:
    """The shapes to measure, by size: all, or the smallest, the largest and some evenly between them."""
    by_size = sorted(configs, key=lambda shape: step_flops(configs[shape]))
    number = MAX_MEASURED - len(measured)
    if len(by_size) <= MAX_MEASURED:
        return by_size
    last = len(by_size) - 1
    if number <= 1:
        return by_size[: max(0, number)]
    return [by_size[round(last * index / (number - 1))] for index in range(number)]


def _flops_per_second(measured: Timings, configs: Mapping[StepShape, RunConfig]) -> float | None:
    """Of the largest shape that was measured."""
    if not measured:
        return None
    largest = max(measured, key=lambda shape: step_flops(configs[shape]))
    return step_flops(configs[largest]) / measured[largest].step


def _derive(config: RunConfig, measured: Timings, configs: Mapping[StepShape, RunConfig]) -> Timing:
    """By FLOPs: a power law between two measured shapes; in proportion to the nearest one outside them."""
    flops = step_flops(config)
    points = sorted(
        ((step_flops(configs[shape]), timing) for shape, timing in measured.items()), key=lambda point: point[0]
    )
    below = [point for point in points if point[0] <= flops]
    above = [point for point in points if point[0] > flops]
    if below and above:
        (low, slow), (high, fast) = below[-1], above[0]
        weight = math.log(flops / low) / math.log(high / low)
        between = {
            name: math.exp((1 - weight) * math.log(getattr(slow, name)) + weight * math.log(getattr(fast, name)))
            for name in ("start", "step", "evaluated_token", "checkpoint")
        }
        return Timing(**between, source="interpolated")
    nearest_flops, nearest = below[-1] if below else above[0]
    # A smaller model is not faster in proportion: the overhead of a step beside its matrix products stays.
    scale = max(1.0, flops / nearest_flops)
    return Timing(
        nearest.start * scale,
        nearest.step * scale,
        nearest.evaluated_token * scale,
        nearest.checkpoint * scale,
        "extrapolated",
    )


def _describe_machine() -> dict[str, object]:
    """What a timing depends on beside its shape."""
    digest = hashlib.sha256()
    for package, names in CODE.items():
        for name in names:
            digest.update((resources.files(package) / name).read_bytes())
    return {
        "node": platform.node(),
        "processor": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "code": digest.hexdigest(),
    }


def _key(machine: Mapping[str, object], shape: StepShape) -> str:
    return hashlib.sha256(json.dumps([machine, asdict(shape)], sort_keys=True).encode()).hexdigest()[:32]


def _read_cache(path: Path) -> dict[str, Timing]:
    """Cached timings; none where the file cannot be read."""
    try:
        content = json.loads(path.read_bytes())
        return {str(key): _TIMING.validate_python(timing) for key, timing in content.items()}
    except (OSError, ValueError, AttributeError, ValidationError):
        return {}


def _write_cache(path: Path, new: Mapping[str, Timing]) -> None:
    """Adds to the file, which another process may have written in the meantime."""
    content = {**_read_cache(path), **new}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({key: asdict(timing) for key, timing in content.items()}, indent=1).encode())
    except OSError:
        pass  # a folder that cannot be written: measured again next time
