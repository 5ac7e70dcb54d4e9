"""Estimated seconds of each run of a plan, by the step timings of `sweep plan`: they set time limits and the packing of
tasks, and give the remaining time.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from windtunnel.sweeps.planning.cost import StepShape, Timing, step_shape, step_shapes, training_seconds
from windtunnel.sweeps.planning.gpu_throughput import GPUS, published_timings
from windtunnel.sweeps.planning.throughput import local_timings
from windtunnel.sweeps.slurm.packing import DurationOf
from windtunnel.sweeps.slurm.profile import ClusterProfile
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.errors import InputError

Log = Callable[[str], None]


def estimate_durations(
    profile: ClusterProfile, runs: Sequence[PlannedRun], runs_directory: Path, log: Log
) -> DurationOf:
    """For jobs with GPUs, by the published rates of the GPU that the profile names, or of the slowest known: a time
    limit that is too long costs less than one that is met. Otherwise by the speed of this machine, measured if needed.
    Raises InputError where no timing can be had.
    """
    shapes = step_shapes(runs)
    if profile.gpu_count or profile.rates is not None:
        gpu = profile.rates or (profile.gpu_type or "").lower()
        if gpu not in GPUS:
            gpu = min(GPUS, key=lambda name: GPUS[name].bf16_flops_per_second)
            log(f"durations estimated for {gpu}: the profile names no GPU with known rates (for example rates: h100)")
        return _by_timing(published_timings(shapes, GPUS[gpu]))
    timings = local_timings(shapes, runs_directory, progress=lambda message: log(f"{message}, for time limits"))
    if runs and not timings:
        raise InputError(
            "no step of these runs is short enough to measure on this machine, so no time limit can be set: name the "
            "GPU in the cluster profile, for example gpus: h100:1"
        )
    return _by_timing(timings)


def known_durations(runs: Sequence[PlannedRun], runs_directory: Path) -> DurationOf | None:
    """By the speed of this machine as measured before; None where it was not measured."""
    timings = local_timings(step_shapes(runs), runs_directory, measure=False)
    return _by_timing(timings) if timings else None


def _by_timing(timings: Mapping[StepShape, Timing]) -> DurationOf:
    return lambda run: training_seconds(run, timings[step_shape(run.config)])
