"""`windtunnel doctor`: what this machine is good for."""

import argparse
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from windtunnel.train.errors import InputError
from windtunnel.train.gemm_peak import gemm_flops_per_second
from windtunnel.train.provenance import commit

MATRIX_PRODUCTS = {"cpu": (torch.float32, torch.bfloat16), "cuda": (torch.float32, torch.bfloat16)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example:\n  windtunnel doctor --json -"
    parser.add_argument("--json", metavar="PATH", help="write the answer as JSON; - for standard output")


def run(options: argparse.Namespace) -> int:
    findings = examine()
    if options.json == "-":
        print(json.dumps(findings, indent=1))
    else:
        table = Table(show_header=False, title="windtunnel doctor")
        for name, value in findings.items():
            table.add_row(name, _words(value))
        Console().print(table)
        if options.json:
            _write(Path(options.json), findings)
    return 0


def examine() -> dict[str, Any]:
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
                _rate(device, dtype, count) / 1e9, 1
            )
            for device in devices
            for dtype in MATRIX_PRODUCTS[device]
            for count in (threads if device == "cpu" else threads[:1])
        },
        "compiler for torch.compile": shutil.which("g++"),
        "slurm": _first_line("sinfo", "--version"),
        "wandb": _wandb(),
        "disk_free_gigabytes": round(disk.free / 1e9, 1),
    }


def _rate(device: str, dtype: torch.dtype, threads: int) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return gemm_flops_per_second(device, dtype, threads)
    finally:
        torch.set_num_threads(before)


def _first_line(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().split("\n")[-1] or None


def _write(path: Path, findings: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(findings, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): name another path for --json") from None


def _wandb() -> str:
    try:
        netrc = (Path.home() / ".netrc").read_text(errors="replace")
    except (OSError, RuntimeError):  # no such file, none of ours to read, or a user without a home
        netrc = ""
    has_key = "WANDB_API_KEY" in os.environ or "wandb" in netrc
    return "a key is set: logging.wandb=online is possible" if has_key else "no key: runs are mirrored offline"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name}: {item}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not found" if value is None else str(value)
