"""What this machine can do: devices, GEMM rates, threads, SLURM, W&B, disk."""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from windtunnel.train.gemm_peak import gemm_flops_per_second
from windtunnel.train.provenance import commit

DTYPES = (torch.float32, torch.bfloat16)


def examine() -> dict[str, Any]:
    """The findings by name. Measures GEMM rates, which takes seconds."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    threads = sorted({1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1})
    disk = shutil.disk_usage(".")
    return {
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "torch": str(torch.__version__),
        "commit": commit(),
        "devices": devices if len(devices) == 1 else ["cpu", torch.cuda.get_device_name()],
        "threads": threads[-1],
        "gemm_gflops_per_second": {
            f"{device} {str(dtype).removeprefix('torch.')}" + (f" {count} threads" if device == "cpu" else ""): round(
                _gemm_rate(device, dtype, count) / 1e9, 1
            )
            for device in devices
            for dtype in DTYPES
            for count in (threads if device == "cpu" else threads[:1])
        },
        "compiler for torch.compile": shutil.which("g++"),
        "slurm": _last_line("sinfo", "--version"),
        "wandb": _wandb_key(),
        "disk_free_gigabytes": round(disk.free / 1e9, 1),
    }


def _gemm_rate(device: str, dtype: torch.dtype, threads: int) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return gemm_flops_per_second(device, dtype, threads)
    finally:
        torch.set_num_threads(before)


def _last_line(*command: str) -> str | None:
    """The last line that the command prints; None if it cannot be run."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().split("\n")[-1] or None


def _wandb_key() -> str:
    try:
        netrc = (Path.home() / ".netrc").read_text(errors="replace")
    except (OSError, RuntimeError):  # the file is missing or unreadable, or the user has no home directory
        netrc = ""
    has_key = "WANDB_API_KEY" in os.environ or "wandb" in netrc
    return "a key is set: logging.wandb=online is possible" if has_key else "no key: runs are mirrored offline"
