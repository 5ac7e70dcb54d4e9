"""Where a run computes: device, precision, threads, ranks, decided once at its first start and recorded as its
*numerics*.

Two programs that differ in any of these may round differently. So a resumed run and a branch take the numerics of the
run they continue wherever the configuration says `auto`, and are bitwise repeatable on the same machine.
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
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError

Value = TypeVar("Value")

# Above about a million parameters a second thread pays for one run; below, threads wait for each other.
THREADS_PAY_ABOVE_PARAMETERS = 1_000_000
# torch.compile saves about a quarter of the time and costs up to 40 CPU-seconds per shape: on a CPU it must be a run of
# many minutes (at some 20 GFLOP/s) to pay; on a GPU, where launches dominate tiny models, a thousand steps are enough.
COMPILE_PAYS_ABOVE_CPU_FLOPS = 20e9 * 600
COMPILE_PAYS_ABOVE_CUDA_STEPS = 1_000


@dataclass(frozen=True)
class Ranks:
    """This process among those of one run, as torchrun starts them."""

    rank: int
    world_size: int
    local_rank: int

    @property
    def is_first(self) -> bool:
        return self.rank == 0


@dataclass(frozen=True)
class Numerics:
    """Everything beside the science that rounding can depend on."""

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
    """Join the process group when launched by torchrun (WORLD_SIZE > 1); a lone process needs none."""
    world_size = _whole("WORLD_SIZE", "1")
    if world_size == 1:
        return Ranks(0, 1, 0)
    ranks = Ranks(_whole("RANK", ""), world_size, _whole("LOCAL_RANK", ""))
    if not 0 <= ranks.rank < world_size or "MASTER_ADDR" not in os.environ:
        raise InputError(f"RANK={ranks.rank}, WORLD_SIZE={world_size}, no MASTER_ADDR or no such rank: use torchrun")
    if not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(ranks.local_rank)
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        # A rank that leaves with the group's threads alive may be aborted on its way out, its work done.
        atexit.register(_leave_group)
    return ranks


def _leave_group() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _whole(name: str, otherwise: str) -> int:
    text = os.environ.get(name, otherwise)
    if not text.isdigit() or (name == "WORLD_SIZE" and int(text) < 1):
        raise InputError(f"environment variable {name}={text!r}: not a count; unset it, or start ranks with torchrun")
    return int(text)


def tell(ranks: Ranks, decide: Callable[[], Value]) -> Value:
    """What the first rank decides, on every rank; where it refuses, all ranks end with its complaint."""
    if ranks.world_size == 1:
        return decide()
    box: list[Value | Exception | None] = [None]
    if ranks.is_first:
        try:
            box = [decide()]
        except Exception as error:
            box = [error]
    distributed.broadcast_object_list(box, src=0)
    if isinstance(box[0], Exception):
        raise box[0]
    return cast(Value, box[0])


def decide_numerics(config: RunConfig, ranks: Ranks, recorded: Mapping[str, Any] | None) -> Numerics:
    """Resolve every `auto`, preferring what the continued run or its parent recorded.

    Raises InputError for a device this machine lacks and for a batch that does not divide over ranks and
    micro-batches.
    """
    runtime, recorded = config.runtime, dict(recorded or {})
    device = runtime.device if runtime.device != "auto" else recorded.get("device")
    if device == "cuda" and not torch.cuda.is_available() and runtime.device == "cuda":
        raise InputError("runtime.device=cuda: this machine has no CUDA device; use runtime.device=auto or cpu")
    if device is None or (device == "cuda" and not torch.cuda.is_available()):
        device = "cuda" if torch.cuda.is_available() else "cpu"

    precision = runtime.precision if runtime.precision != "auto" else recorded.get("precision")
    precision = precision or ("bf16" if device == "cuda" else "fp32")

    parameters = count_parameters(config.model)
    threads = runtime.threads or recorded.get("threads") or 0
    cpus = os.cpu_count() or 1
    if threads > 4 * cpus:
        raise InputError(f"runtime.threads={threads}: this machine has {cpus} processors; use at most {4 * cpus}")
    if not threads:
        cores = max(1, len(os.sched_getaffinity(0)) // ranks.world_size if hasattr(os, "sched_getaffinity") else 1)
        threads = cores if parameters.non_embedding > THREADS_PAY_ABOVE_PARAMETERS else 1

    if runtime.compile != "auto":
        compile_ = runtime.compile == "on"
    elif "compile" in recorded:
        compile_ = bool(recorded["compile"])
    elif device == "cuda":
        compile_ = config.schedule.total_steps >= COMPILE_PAYS_ABOVE_CUDA_STEPS
    else:
        flops = flops_per_token(config.model, config.data.sequence_length).exact_causal * config.total_tokens
        compile_ = flops >= COMPILE_PAYS_ABOVE_CPU_FLOPS and shutil.which("g++") is not None

    if config.sequences_per_step % ranks.world_size:
        raise InputError(
            f"optimizer.tokens_per_step={config.tokens_per_step} is {config.sequences_per_step} sequences, "
            f"which do not divide over {ranks.world_size} ranks; start a number of ranks that divides it"
        )
    share = config.sequences_per_step // ranks.world_size
    micro = runtime.micro_batch_sequences or int(recorded.get("micro_batch_sequences", 0)) or share
    micro = min(micro, share)
    if share % micro:
        raise InputError(
            f"runtime.micro_batch_sequences={micro} does not divide the {share} sequences a rank takes per step; "
            f"use a divisor of {share}"
        )
    return Numerics(device, precision, compile_, threads, micro, ranks.world_size)


def differences(numerics: Numerics, recorded: Mapping[str, Any] | None) -> list[str]:
    """What changed since the run was last trained, in words; empty when a resumption is bitwise."""
    return [
        f"{name} {recorded[name]} -> {value}"
        for name, value in asdict(numerics).items()
        if recorded and name in recorded and recorded[name] != value
    ]


def settle_process(numerics: Numerics) -> None:
    """Apply thread count and allocator policy to this process."""
    torch.set_num_threads(numerics.threads)
    if numerics.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False  # fp32 means fp32
    elif sys.platform == "linux":
        # Keep freed memory: a tiny model's step otherwise spends its time returning pages and faulting them in again.
        m_trim_threshold, m_mmap_threshold = -1, -3
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(m_trim_threshold, -1)
            libc.mallopt(m_mmap_threshold, 1 << 30)
        except (OSError, AttributeError):
            pass  # another C library: slower, not wrong


def device_name(numerics: Numerics) -> str:
    if numerics.device == "cuda":
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123 - a kernel interface, not a file of ours
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "cpu"
