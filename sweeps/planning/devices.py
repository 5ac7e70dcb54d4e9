"""The devices of this machine on which runs train side by side: one-thread workers on the CPU, several on each GPU.

GPUs are untested: only the parsing of `nvidia-smi` is tested, with a stand-in.
"""

import math
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from windtunnel.models.accounting import count_parameters
from windtunnel.sweeps.study.plan import PlannedRun
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError

MAX_WORKERS_PER_GPU = 8  # with more, the kernel launches of tiny models wait for each other
USABLE_GPU_MEMORY = 0.9  # share
CUDA_CONTEXT_BYTES = 0.8e9  # of each process on a GPU
# Two one-thread workers are faster than one worker of two threads (1.8x at 12k parameters, 1.2x at 800k).
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Device:
    """What workers share. `memory_bytes` bounds the runs that train on it at one time."""

    name: str
    workers: int
    memory_bytes: float = math.inf
    environment: Mapping[str, str] = field(default_factory=dict)


def find_devices(runs: Sequence[PlannedRun], workers: int | None = None) -> list[Device]:
    """The devices for these runs. `workers` is the total number of runs at one time; None: as many as the machine
    takes. Raises InputError for fewer than one.
    """
    check_workers(workers)
    cores = count_cores()
    on_cpu = all(run.config.runtime.device == "cpu" for run in runs)
    gpus = [] if on_cpu else find_gpus()
    if not gpus and not on_cpu:
        import torch  # for start-up

        if torch.cuda.is_available():
            return [Device("gpu", workers or 1, environment=ONE_THREAD)]  # a GPU that nvidia-smi does not list
    if not gpus:
        threads = max((run.config.runtime.threads for run in runs), default=0) or 1
        return [Device("cpu", workers or max(1, cores // threads), environment=ONE_THREAD)]
    if workers is None:
        workers = min(len(gpus) * MAX_WORKERS_PER_GPU, max(len(gpus), cores))
    shares = [len(range(index, workers, len(gpus))) for index in range(len(gpus))]
    return [
        Device(f"gpu {gpu_id}", share, memory * USABLE_GPU_MEMORY, {**ONE_THREAD, "CUDA_VISIBLE_DEVICES": gpu_id})
        for (gpu_id, memory), share in zip(gpus, shares, strict=True)
        if share
    ]


def count_workers(runs: Sequence[PlannedRun], workers: int | None) -> int:
    """The number of these runs that this machine trains at one time. Raises InputError for `workers` below one."""
    return sum(device.workers for device in find_devices(runs, workers))


def check_workers(workers: int | None) -> None:
    """Raises InputError for a number of workers below one."""
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")


def count_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_gpus() -> list[tuple[str, float]]:
    """The id (a value for CUDA_VISIBLE_DEVICES) and the bytes of memory of each GPU that this process may use."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    # nvidia-smi rather than torch: the launcher must not hold a context on every GPU.
    command = [program, "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    gpus = [(index, uuid, float(mebibytes) * 2**20) for index, uuid, mebibytes in rows]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [(uuid, memory) for _, uuid, memory in gpus]
    chosen = []
    for name in (part.strip() for part in visible.split(",")):
        match = [(uuid, memory) for index, uuid, memory in gpus if name == index or (name and uuid.startswith(name))]
        if not match:
            break  # CUDA ignores all names from the first unknown one on
        chosen += match[:1]
    return chosen


def gpu_memory_bytes(config: RunConfig) -> float:
    """Upper estimate of the GPU memory of a run, from its shape: parameters, gradients and two moments, the activations
    kept for the backward pass, and the context of its process. 1.3 times their sum.
    """
    model, data = config.model, config.data
    parameters = 4 * 6 * count_parameters(model).total  # float32: weights, gradients, two moments, two temporaries
    sequences = config.runtime.micro_batch_sequences or config.sequences_per_step
    activations_per_token = model.depth * (16 * model.width + 4 * model.feedforward_width) + 4 * model.vocabulary_size
    activations = 4 * sequences * data.sequence_length * activations_per_token
    return CUDA_CONTEXT_BYTES + 1.3 * (parameters + activations)
