"""Checkpoints of one run: parameters, two moments, and the losses not yet written. Never a schedule: only the step.

A checkpoint is `checkpoints/step-<step>-<hash>.safetensors`. It is written under a temporary name, synced and renamed,
and its name has the hash of its content. So a file under its final name is complete, or the damage is detected when it
is loaded.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

if TYPE_CHECKING:  # for start-up time: torch
    import torch

HASH_LENGTH = 16
_NAME = re.compile(r"step-(\d+)-([0-9a-f]{16})\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file."""

    path: Path
    step: int
    content_hash: str

    def load(self) -> "dict[str, torch.Tensor]":
        """Tensors by name, on the CPU. Raises InputError if the file is missing or does not match its hash."""
        from safetensors.torch import load as load_tensors  # for start-up time: torch

        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"{self.path}: the checkpoint is gone; train the run again") from None
        if _hash(content) != self.content_hash:
            raise InputError(f"{self.path}: content does not match the hash in its name; delete the file")
        return load_tensors(content)


def save(folder: Path, step: int, tensors: "dict[str, torch.Tensor]", run_id: str) -> Checkpoint:
    """Write a checkpoint into a run folder."""
    from safetensors.torch import save as save_tensors  # for start-up time: torch

    directory = Path(folder) / "checkpoints"
    directory.mkdir(exist_ok=True)
    content = save_tensors(tensors, metadata={"run_id": run_id, "step": str(step)})
    digest = _hash(content)
    path = directory / f"step-{step:09d}-{digest}.safetensors"
    write_atomically(path, content)
    return Checkpoint(path, step, digest)


def find(folder: Path) -> list[Checkpoint]:
    """The checkpoints in a run folder, oldest first."""
    checkpoints = []
    for path in Path(folder).glob("checkpoints/step-*.safetensors"):
        match = _NAME.fullmatch(path.name)
        if match:
            checkpoints.append(Checkpoint(path, int(match[1]), match[2]))
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.step)


def prune(folder: Path, *, keep_newest: int, keep_steps: set[int]) -> None:
    """Delete all checkpoints but the newest `keep_newest` and those at `keep_steps`, and temporary files of killed
    processes.
    """
    checkpoints = find(folder)
    for checkpoint in checkpoints[: max(0, len(checkpoints) - keep_newest)]:
        if checkpoint.step not in keep_steps:
            checkpoint.path.unlink(missing_ok=True)
    for leftover in Path(folder).glob("checkpoints/.*.tmp"):
        leftover.unlink(missing_ok=True)


def discard_after(folder: Path, step: int) -> None:
    """Delete checkpoints later than the step that training resumes from; `prune` would keep them as the newest."""
    for checkpoint in find(folder):
        if checkpoint.step > step:
            checkpoint.path.unlink(missing_ok=True)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]
