"""Checkpoints of one member: parameters, two moments, and the losses not yet written. Never a schedule: only the step.

`checkpoints/step-<step>-<hash>.safetensors` is written under another name, synced and renamed, and its name carries the
hash of its content: a file under its final name is whole, or is found out when read.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

if TYPE_CHECKING:
    import torch

HASH_LENGTH = 16
_NAME = re.compile(r"step-(\d+)-([0-9a-f]{16})\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file found on disk."""

    path: Path
    step: int
    content_hash: str

    def load(self) -> "dict[str, torch.Tensor]":
        """Tensors by name, on the CPU. Raises InputError if the content is not what its name says."""
        from safetensors.torch import load as load_tensors  # with torch, which a plan or a status does without

        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"{self.path}: the checkpoint is gone; train the run again") from None
        if _hash(content) != self.content_hash:
            raise InputError(f"{self.path}: content does not match the hash in its name; delete the file")
        return load_tensors(content)


def save(folder: Path, step: int, tensors: "dict[str, torch.Tensor]", run_id: str) -> Checkpoint:
    from safetensors.torch import save as save_tensors

    directory = Path(folder) / "checkpoints"
    directory.mkdir(exist_ok=True)
    content = save_tensors(tensors, metadata={"run_id": run_id, "step": str(step)})
    digest = _hash(content)
    path = directory / f"step-{step:09d}-{digest}.safetensors"
    write_atomically(path, content)
    return Checkpoint(path, step, digest)


def find(folder: Path) -> list[Checkpoint]:
    """Checkpoints of a run, oldest first."""
    found = []
    for path in Path(folder).glob("checkpoints/step-*.safetensors"):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append(Checkpoint(path, int(match[1]), match[2]))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def prune(folder: Path, *, keep_newest: int, keep_steps: set[int]) -> None:
    """Delete all but the newest few and the milestones, and temporary files that a kill left behind."""
    checkpoints = find(folder)
    doomed = [c for c in checkpoints[: max(0, len(checkpoints) - keep_newest)] if c.step not in keep_steps]
    for checkpoint in doomed:
        checkpoint.path.unlink(missing_ok=True)
    for leftover in Path(folder).glob("checkpoints/.*.tmp"):
        leftover.unlink(missing_ok=True)


def discard_after(folder: Path, step: int) -> None:
    """Delete checkpoints later than where the run goes on from, which `prune` would take for the newest."""
    for later in find(folder):
        if later.step > step:
            later.path.unlink(missing_ok=True)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]
