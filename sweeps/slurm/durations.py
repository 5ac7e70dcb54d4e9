"""Seconds that each run of a plan takes, by the paces that `sweep plan` goes by: what time limits, tasks and the time
that is left follow from.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from windtunnel.sweeps.planning.cost import Pace, Shape, seconds_of, shape_of, shapes_of
from windtunnel.sweeps.planning.gpu_throughput import GPUS, published_paces
from windtunnel.sweeps.planning.throughput import paces_here
from windtunnel.sweeps.slurm.packing import Seconds
from windtunnel.sweeps.slurm.profile import Cluster
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.errors import InputError

Tell = Callable[[str], None]


def seconds_on(cluster: Cluster, runs: Sequence[PlannedRun], runs_directory: Path, tell: Tell) -> Seconds:
    """Where jobs have GPUs, by the rates of the one that the profile names, else of the slowest known: a limit that is
    too long costs less than one that is met. Without, at the pace of this machine, measured where it is not known yet.
    Raises InputError where it cannot be.
    """
    shapes = shapes_of(runs)
    if cluster.gpu_count or cluster.rates is not None:
        named = cluster.rates or (cluster.gpu_type or "").lower()
        if named not in GPUS:
            named = min(GPUS, key=lambda name: GPUS[name].bf16_flops_per_second)
            tell(f"time as foreseen for {named}: the profile names no GPU whose rates are known (rates: h100 does)")
        return _by(published_paces(shapes, GPUS[named]))
    paces = paces_here(shapes, runs_directory, progress=lambda message: tell(f"{message}, for time limits"))
    if runs and not paces:
        raise InputError(
            "no step of these runs is short enough to be measured here, so that no time limit is known: name the GPU "
            "they are for in the cluster profile, as in gpus: h100:1"
        )
    return _by(paces)


def seconds_known(runs: Sequence[PlannedRun], runs_directory: Path) -> Seconds | None:
    """At the pace of this machine as earlier probes found it; None where there were none. Measures nothing."""
    paces = paces_here(shapes_of(runs), runs_directory, measure=False)
    return _by(paces) if paces else None


def _by(paces: Mapping[Shape, Pace]) -> Seconds:
    return lambda run: seconds_of(run, paces[shape_of(run.config)])
