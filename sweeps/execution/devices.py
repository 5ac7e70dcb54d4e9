"""Where runs of a study train beside each other on this machine: one-thread workers on the CPU, several on each GPU.

GPUs are untested: this was written on machines without one, and only what `nvidia-smi` says is tested, by a stand-in.
"""

import math
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from windtunnel.models.accounting import count_parameters
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError

MOST_WORKERS_PER_GPU = 8  # beyond, launches of tiny models wait for each other
GPU_SHARE = 0.9  # of its memory that is given out
CUDA_CONTEXT_BYTES = 0.8e9  # of each process on a GPU
# One-thread workers: two of them beat one of two threads (1.8x at 12k parameters, 1.2x at 800k).
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Device:
    """What workers share. `memory_bytes` bounds the runs that train on it at once."""

    name: str
    workers: int
    memory_bytes: float = math.inf
    environment: Mapping[str, str] = field(default_factory=dict)


def find_devices(runs: Sequence[PlannedRun], workers: int | None = None) -> list[Device]:
    """The devices for these runs. `workers`: how many train at once, all together; None: as many as the machine takes.

    Raises InputError where there can be none.
    """
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: at least 1")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    on_cpu = all(run.config.runtime.device == "cpu" for run in runs)
    gpus = [] if on_cpu else find_gpus()
    if not gpus and not on_cpu and torch.cuda.is_available():
        return [Device("gpu", workers or 1, environment=ONE_THREAD)]  # one that nvidia-smi does not tell about
    if not gpus:
        threads = max((run.config.runtime.threads for run in runs), default=0) or 1
        return [Device("cpu", workers or max(1, cores // threads), environment=ONE_THREAD)]
    if workers is None:
        workers = min(len(gpus) * MOST_WORKERS_PER_GPU, max(len(gpus), cores))
    shares = [len(range(place, workers, len(gpus))) for place in range(len(gpus))]
    return [
        Device(f"gpu {identity}", share, memory * GPU_SHARE, {**ONE_THREAD, "CUDA_VISIBLE_DEVICES": identity})
        for (identity, memory), share in zip(gpus, shares, strict=True)
        if share
    ]


def find_gpus() -> list[tuple[str, float]]:
    """Identity, as CUDA_VISIBLE_DEVICES takes it, and bytes of memory of each GPU that this process may use."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    # Asked of nvidia-smi rather than of torch: the launcher itself must not hold a context on every GPU.
    command = [program, "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    found = [(index, uuid, float(mebibytes) * 2**20) for index, uuid, mebibytes in rows]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [(uuid, memory) for _, uuid, memory in found]
    chosen = []
    for name in (part.strip() for part in visible.split(",")):
        match = [(uuid, memory) for index, uuid, memory in found if name == index or (name and uuid.startswith(name))]
        if not match:
            break  # CUDA too sees none from the first name on that it does not know
        chosen += match[:1]
    return chosen


def memory_bytes(config: RunConfig) -> float:
    """What a run may take on a GPU at most, estimated from its shape: parameters, gradient and two moments, what is
    kept of a forward pass for the backward one, and the context of its process. Generous: 1.3 of the sum.
    """
    model, data = config.model, config.data
    parameters = 4 * 6 * count_parameters(model).total  # of float32: weights, gradient, moments, and two in passing
    sequences = config.runtime.micro_batch_sequences or config.sequences_per_step
    kept_per_token = model.depth * (16 * model.width + 4 * model.feedforward_width) + 4 * model.vocabulary_size
    activations = 4 * sequences * data.sequence_length * kept_per_token
    return CUDA_CONTEXT_BYTES + 1.3 * (parameters + activations)
