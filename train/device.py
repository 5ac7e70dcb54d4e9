"""Where a run computes: device, precision, threads and ranks. They are decided when the run first starts, and recorded
as its *numerics*.

Programs that differ in any of these may round differently. So a resumed run and a branch use the recorded numerics
wherever the configuration says `auto`, and are bitwise repeatable on the same machine.
"""

import atexit
import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

import torch
import torch.distributed as distributed

from windtunnel.models.accounting import count_parameters, flops_per_token
from windtunnel.train.config.config import RunConfig, RuntimeConfig
from windtunnel.train.errors import InputError

Value = TypeVar("Value")

# Above about a million parameters a second thread makes training faster; below, threads wait for each other.
MIN_PARAMETERS_FOR_THREADS = 1_000_000
# torch.compile saves about a quarter of the time and costs up to 40 CPU-seconds per shape. On a CPU a run of ten
# minutes (at some 20 GFLOP/s) recovers the cost. On a GPU, where kernel launches dominate tiny models, a thousand steps
# do.
MIN_CPU_FLOPS_TO_COMPILE = 20e9 * 600
MIN_CUDA_STEPS_TO_COMPILE = 1_000


@dataclass(frozen=True)
class Ranks:
    """This process among the ranks of one run, as started by torchrun."""

    rank: int
    world_size: int
    local_rank: int

    @property
    def is_first(self) -> bool:
        return self.rank == 0


@dataclass(frozen=True)
class Numerics:
    """Everything besides the scientific configuration that rounding can depend on."""

    device: str  # "cpu" or "cuda"
    precision: str  # "fp32" or "bf16"
    compile: bool
    threads: int
    micro_batch_sequences: int  # sequences in one forward pass on one rank
    world_size: int

    @property
    def compute_dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def torch_device(self, ranks: Ranks) -> torch.device:
        return torch.device(f"cuda:{ranks.local_rank}" if self.device == "cuda" else "cpu")


def join_ranks() -> Ranks:
    """Join the process group if torchrun started this process (WORLD_SIZE > 1). A single process needs none.

    Raises InputError if the environment variables of torchrun are inconsistent.
    """
    world_size = _count_from_environment("WORLD_SIZE", "1")
    if world_size == 1:
        return Ranks(0, 1, 0)
    ranks = Ranks(_count_from_environment("RANK", ""), world_size, _count_from_environment("LOCAL_RANK", ""))
    if not 0 <= ranks.rank < world_size or "MASTER_ADDR" not in os.environ:
        raise InputError(f"RANK={ranks.rank}, WORLD_SIZE={world_size}, no MASTER_ADDR or no such rank: use torchrun")
    if not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(ranks.local_rank)
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        # A rank that exits while the group's threads are alive may be aborted.
        atexit.register(_leave_group)
    return ranks


def _leave_group() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _count_from_environment(name: str, default: str) -> int:
    text = os.environ.get(name, default)
    if not text.isdigit() or (name == "WORLD_SIZE" and int(text) < 1):
        raise InputError(f"environment variable {name}={text!r}: not a count; unset it, or start ranks with torchrun")
    return int(text)


def broadcast_from_first_rank(ranks: Ranks, compute: Callable[[], Value]) -> Value:
    """The result of `compute` on the first rank, on every rank. An exception there is raised on every rank."""
    if ranks.world_size == 1:
        return compute()
    results: list[Value | Exception | None] = [None]
    if ranks.is_first:
        try:
            results = [compute()]
        except Exception as error:
            results = [error]
    distributed.broadcast_object_list(results, src=0)
    if isinstance(results[0], Exception):
        raise results[0]
    return cast(Value, results[0])


def decide_numerics(config: RunConfig, ranks: Ranks, recorded: Mapping[str, Any] | None) -> Numerics:
    """Resolve every `auto` of the runtime configuration, preferably to the value in `recorded`.

    recorded: the numerics in the record of the resumed run or of the parent, if there is one.

    Raises InputError if this machine has no such device or too few processors, or the batch does not divide over ranks
    and micro-batches.
    """
    runtime, recorded = config.runtime, dict(recorded or {})
    device = _device(runtime, recorded)
    precision = runtime.precision if runtime.precision != "auto" else recorded.get("precision")
    return Numerics(
        device=device,
        precision=precision or ("bf16" if device == "cuda" else "fp32"),
        compile=_compiles(config, device, recorded),
        threads=_threads(config, ranks, recorded),
        micro_batch_sequences=_micro_batch_sequences(config, ranks, recorded),
        world_size=ranks.world_size,
    )


def _device(runtime: RuntimeConfig, recorded: Mapping[str, Any]) -> str:
    has_cuda = torch.cuda.is_available()
    if runtime.device == "cuda" and not has_cuda:
        raise InputError("runtime.device=cuda: this machine has no CUDA device; use runtime.device=auto or cpu")
    device = runtime.device if runtime.device != "auto" else recorded.get("device")
    if device is None or (device == "cuda" and not has_cuda):
        return "cuda" if has_cuda else "cpu"
    return str(device)


def _threads(config: RunConfig, ranks: Ranks, recorded: Mapping[str, Any]) -> int:
    threads = int(config.runtime.threads or recorded.get("threads") or 0)
    cpus = os.cpu_count() or 1
    if threads > 4 * cpus:
        raise InputError(f"runtime.threads={threads}: this machine has {cpus} processors; use at most {4 * cpus}")
    if threads:
        return threads
    if count_parameters(config.model).non_embedding <= MIN_PARAMETERS_FOR_THREADS:
        return 1
    return max(1, len(os.sched_getaffinity(0)) // ranks.world_size if hasattr(os, "sched_getaffinity") else 1)


def _compiles(config: RunConfig, device: str, recorded: Mapping[str, Any]) -> bool:
    if config.runtime.compile != "auto":
        return config.runtime.compile == "on"
    if "compile" in recorded:
        return bool(recorded["compile"])
    if device == "cuda":
        return config.schedule.total_steps >= MIN_CUDA_STEPS_TO_COMPILE
    flops = flops_per_token(config.model, config.data.sequence_length).exact_causal * config.total_tokens
    return flops >= MIN_CPU_FLOPS_TO_COMPILE and shutil.which("g++") is not None


def _micro_batch_sequences(config: RunConfig, ranks: Ranks, recorded: Mapping[str, Any]) -> int:
    if config.sequences_per_step % ranks.world_size:
        raise InputError(
            f"optimizer.tokens_per_step={config.tokens_per_step} is {config.sequences_per_step} sequences, "
            f"which do not divide over {ranks.world_size} ranks; start a number of ranks that divides it"
        )
    share = config.sequences_per_step // ranks.world_size
    micro = config.runtime.micro_batch_sequences or int(recorded.get("micro_batch_sequences", 0)) or share
    micro = min(micro, share)
    if share % micro:
        raise InputError(
            f"runtime.micro_batch_sequences={micro} does not divide the {share} sequences that a rank takes per step; "
            f"use a divisor of {share}"
        )
    return micro


def numerics_changes(numerics: Numerics, recorded: Mapping[str, Any] | None) -> list[str]:
    """A description of each value that differs from the record; empty if a resumption is bitwise."""
    return [
        f"{name} {recorded[name]} -> {value}"
        for name, value in asdict(numerics).items()
        if recorded and name in recorded and recorded[name] != value
    ]


def configure_process(numerics: Numerics) -> None:
    """Set the number of threads and the memory allocator of this process."""
    torch.set_num_threads(numerics.threads)
    if numerics.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False  # no tf32 under the name fp32
    elif sys.platform == "linux":
        # Keep freed memory. A tiny model's step otherwise spends its time returning pages and faulting them in again.
        m_trim_threshold, m_mmap_threshold = -1, -3
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(m_trim_threshold, -1)
            libc.mallopt(m_mmap_threshold, 1 << 30)
        except (OSError, AttributeError):
            pass  # another C library: slower, with the same numbers


def device_name(numerics: Numerics) -> str:
    """The name of the GPU or of the CPU model."""
    if numerics.device == "cuda":
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123 - a kernel interface
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "cpu"
