"""The machine that a plan is costed for: this one, or named GPUs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from windtunnel.sweeps.planning.cost import StepShape, Timing, step_shapes
from windtunnel.sweeps.planning.devices import check_workers, count_cores, find_gpus
from windtunnel.sweeps.planning.gpu_throughput import (
    ASSUMED_SHARE_OF_PEAK,
    TRAINING_BYTES_PER_PARAMETER,
    GpuSet,
    published_timings,
)
from windtunnel.sweeps.planning.throughput import local_timings
from windtunnel.sweeps.study.plan import Plan
from windtunnel.train.errors import InputError


@dataclass(frozen=True)
class Machine:
    """What trains: a number of workers, one run each, and the timing of each shape ({}: unknown)."""

    description: str
    workers: int
    timings: Mapping[StepShape, Timing]
    assumptions: tuple[str, ...] = ()


def local_machine(
    plan: Plan,
    runs_directory: Path,
    *,
    workers: int | None = None,
    measure: bool = True,
    remeasure: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> Machine:
    """This machine. `workers` None: one per GPU, or per processor where there is no GPU.

    `measure` times a few steps of each shape that is not in the cache of `runs_directory`, which takes about a second
    per shape. `remeasure` ignores the cache. Raises InputError for fewer than one worker.
    """
    check_workers(workers)
    timings = local_timings(
        step_shapes(plan.runs), runs_directory, measure=measure, remeasure=remeasure, progress=progress
    )
    workers = workers or _default_workers(plan)
    description = f"this machine, {workers} worker{'s' if workers > 1 else ''}"
    notes: tuple[str, ...] = ()
    if not timings:
        notes = ("hours are unknown: nothing was measured, or every size is too large to measure",)
    derived = " and ".join(sorted({timing.source for timing in timings.values()} - {"measured"}))
    if derived:
        notes = (f"the step time of some sizes is {derived} by FLOPs from the measured sizes",)
    return Machine(description, workers, timings, notes)


def gpu_machine(plan: Plan, gpus: GpuSet) -> Machine:
    """Named GPUs, timed by their published peak. Raises InputError where a model does not fit into one of them."""
    largest = max(run.parameters.total for run in plan.runs) * TRAINING_BYTES_PER_PARAMETER
    if largest > gpus.gpu.memory_bytes:
        raise InputError(
            f"{gpus.name}: {largest / 1e9:.3g} GB of parameters, gradients and moments do not fit into its "
            f"{gpus.gpu.memory_bytes / 1e9:.3g} GB; choose a larger GPU"
        )
    assumption = (
        f"hours on {gpus.description} assume {ASSUMED_SHARE_OF_PEAK:.0%} of the published "
        f"{gpus.gpu.bf16_flops_per_second / 1e12:.4g} TFLOP/s (bf16, dense) and one run per GPU; nothing is measured"
    )
    return Machine(gpus.description, gpus.count, published_timings(step_shapes(plan.runs), gpus.gpu), (assumption,))


def _default_workers(plan: Plan) -> int:
    on_cpu = all(run.config.runtime.device == "cpu" for run in plan.runs)
    return len([] if on_cpu else find_gpus()) or count_cores()
