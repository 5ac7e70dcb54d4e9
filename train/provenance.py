"""Where a record comes from: library versions, commit, machine."""

import platform
import subprocess
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("windtunnel", "torch", "numpy", "tokenizers", "safetensors")


def provenance(device_name: str) -> dict[str, Any]:
    """The `versions`, `commit`, `machine` and `device_name` of a record."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}},
        "commit": commit(),
        "machine": {"name": platform.node(), "system": platform.system(), "architecture": platform.machine()},
        "device_name": device_name,
    }


def source_root() -> Path | None:
    """The directory that a child process needs on PYTHONPATH to import this source tree; None if windtunnel is
    installed in site-packages.
    """
    root = Path(__file__).parents[2]
    return None if str(root) == sysconfig.get_path("purelib") else root


def commit() -> str | None:
    """Commit of this source tree, with `+changes` if tracked files differ from it; None outside a checkout."""
    root = source_root()
    if root is None or not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changes else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
