"""The pace of this machine, measured: a few real training steps and evaluations of each shape of a plan.

Every part is the one that training uses (`train.fleet`, `train.batches`, `train.evaluation`, `train.checkpoint`), on a
small corpus made for the purpose, so that a study can be planned before its data are prepared. Shapes are measured from
the smallest up, in one thread unless the study says otherwise. A step that would take too long is measured with fewer
sequences; where there are too many shapes, or even one sequence is too much, the others follow from those measured by
their FLOPs. What was measured is kept in `.probe.json` below the runs, for
this machine and this code: the same plan again is instant.
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

from windtunnel.sweeps.planning.cost import Pace, Shape, step_flops
from windtunnel.train.config.config import RunConfig
from windtunnel.train.records import write_atomically

CACHE_NAME = ".probe.json"
MOST_MEASURED = 10  # shapes of one plan
LONGEST_SECONDS = 2.5  # for one shape, as foreseen from the one before it
STEPS_FORESEEN = 4
# Code that decides how long a step takes.
CODE = {
    "windtunnel.models": ("transformer.py",),
    "windtunnel.train": ("fleet.py", "optimizer.py", "flat_parameters.py", "batches.py", "evaluation.py", "device.py"),
    "windtunnel.sweeps.planning": ("throughput_measurement.py",),
}
_PACE = TypeAdapter(Pace)
Paces = dict[Shape, Pace]


def paces_here(
    configs: Mapping[Shape, RunConfig],
    runs_directory: Path,
    *,
    measure: bool = True,
    anew: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> Paces:
    """The pace of each shape on this machine. Without `measure`, what is known from earlier probes: {} where nothing
    is. `anew` measures again what is known.
    """
    path = Path(runs_directory) / CACHE_NAME
    known = {} if anew else _read(path)
    machine = _machine()
    keys = {shape: _key(machine, shape) for shape in configs}
    measured = {shape: known[key] for shape, key in keys.items() if key in known}
    chosen = [shape for shape in _spread(configs, measured) if shape not in measured] if measure else []
    fresh: Paces = {}
    with tempfile.TemporaryDirectory() as folder:
        for shape in chosen:
            from windtunnel.sweeps.planning.throughput_measurement import (  # with torch
                likely_flops_per_second,
                measure_pace,
            )

            config = configs[shape]
            rate = _rate({**measured, **fresh}, configs) or likely_flops_per_second()
            share = LONGEST_SECONDS / (STEPS_FORESEEN * step_flops(config) / rate)
            sequences = min(config.sequences_per_step, int(share * config.sequences_per_step))
            if sequences < 1:
                break  # and those after it are larger still
            progress(f"probing {config.model.width} x {config.model.depth}")
            fresh[shape] = measure_pace(config, Path(folder), sequences)
    if fresh:
        _write(path, {keys[shape]: pace for shape, pace in fresh.items()}, anew=anew)
    measured |= fresh
    if not measured:
        return {}
    return {shape: measured.get(shape) or _derived(config, measured, configs) for shape, config in configs.items()}


def _spread(configs: Mapping[Shape, RunConfig], measured: Paces) -> list[Shape]:
    """The shapes to measure, by size: all, or the ends and some evenly between them."""
    by_size = sorted(configs, key=lambda shape: step_flops(configs[shape]))
    room = MOST_MEASURED - len(measured)
    if len(by_size) <= MOST_MEASURED:
        return by_size
    last = len(by_size) - 1
    return [by_size[round(last * place / (room - 1))] for place in range(room)] if room > 1 else by_size[: max(0, room)]


def _rate(measured: Paces, configs: Mapping[Shape, RunConfig]) -> float | None:
    """FLOP/s of the largest shape that was measured."""
    if not measured:
        return None
    largest = max(measured, key=lambda shape: step_flops(configs[shape]))
    return step_flops(configs[largest]) / measured[largest].step


def _derived(config: RunConfig, measured: Paces, configs: Mapping[Shape, RunConfig]) -> Pace:
    """By FLOPs: between two measured shapes a power law through both, beyond them in proportion to the nearest."""
    flops = step_flops(config)
    points = sorted(
        ((step_flops(configs[shape]), pace) for shape, pace in measured.items()), key=lambda point: point[0]
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
        return Pace(**between, source="interpolated")
    nearest_flops, nearest = below[-1] if below else above[0]
    # A smaller model is not faster in proportion: what a step costs beside its matrix products stays.
    scale = max(1.0, flops / nearest_flops)
    return Pace(
        nearest.start * scale,
        nearest.step * scale,
        nearest.evaluated_token * scale,
        nearest.checkpoint * scale,
        "extrapolated",
    )


def _machine() -> dict[str, object]:
    """What a pace is true of beside its shape."""
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


def _key(machine: Mapping[str, object], shape: Shape) -> str:
    return hashlib.sha256(json.dumps([machine, asdict(shape)], sort_keys=True).encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, Pace]:
    """What earlier probes found; a file that cannot be read is measured again."""
    try:
        content = json.loads(path.read_bytes())
        return {str(key): _PACE.validate_python(pace) for key, pace in content.items()}
    except (OSError, ValueError, AttributeError, ValidationError):
        return {}


def _write(path: Path, fresh: Mapping[str, Pace], *, anew: bool) -> None:
    """Beside what is there, which another process may have measured in the meantime."""
    content = {**_read(path), **fresh}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({key: asdict(pace) for key, pace in content.items()}, indent=1).encode())
    except OSError:
        pass  # a folder that cannot be written: measured again next time
