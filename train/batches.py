"""Batches as a pure function of (seed, step): no data loader, no state, nothing to resume.

`train.data.order` decides the order of samples. `Batches` gathers their windows from the memory-mapped shards. Where
the tokens fit into GPU memory they are stored there, and the batch of a step is one gather.

Shapes: M members, S steps, B sequences (this rank's share), T positions.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.order import Order

# The windows of this many sequences are located in one call: the permutation is vectorized and too slow to call at
# every step.
LOCATED_SEQUENCES = 16_384
GPU_MEMORY_SHARE = 0.25  # of the free memory, at most, for token shards


class Batches:
    """Training batches of a fleet: member m reads in the order of `orders[m]`."""

    def __init__(
        self,
        corpus: Corpus,
        orders: Sequence[Order],
        *,
        sequence_length: int,
        sequences_per_step: int,
        rank: int,
        world_size: int,
        device: torch.device,
    ) -> None:
        self._orders = orders
        self._sequence_length = sequence_length
        self._sequences_per_step = sequences_per_step
        self._share = slice(
            rank * sequences_per_step // world_size,
            (rank + 1) * sequences_per_step // world_size,
        )
        self._device = device
        domains = [corpus.train_tokens(domain) for domain in range(len(corpus.manifest.domains))]
        self._domains = shard_tensors(domains, device)
        self._located = range(0)
        self._domain_SMB = np.zeros((0, 0, 0), dtype=np.int64)
        self._start_SMB = self._domain_SMB

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of one step, each (M, B, T) int64 on the device."""
        if step not in self._located:
            self._locate(step)
        row = step - self._located.start
        window_MBT1 = gather_windows(
            self._domains, self._domain_SMB[row], self._start_SMB[row], self._sequence_length + 1, self._device
        )
        return window_MBT1[..., :-1], window_MBT1[..., 1:]

    def _locate(self, step: int) -> None:
        count = max(1, LOCATED_SEQUENCES // self._sequences_per_step)
        self._located = range(step, step + count)
        samples = np.arange(step * self._sequences_per_step, (step + count) * self._sequences_per_step)
        domains, starts = [], []
        for order in self._orders:
            domain, window = order.windows(samples)
            domains.append(domain.reshape(count, self._sequences_per_step)[:, self._share])
            starts.append(window.reshape(count, self._sequences_per_step)[:, self._share] * self._sequence_length)
        self._domain_SMB = np.stack(domains, axis=1)
        self._start_SMB = np.stack(starts, axis=1)


def shard_tensors(
    arrays: Sequence[NDArray[np.uint16] | NDArray[np.uint32]], device: torch.device
) -> list[torch.Tensor]:
    """Token shards as signed tensors of the same width, because torch does not gather unsigned ones.

    They are on the device if they fit into GPU_MEMORY_SHARE of its free memory, else on the CPU.
    """
    tensors = []
    room = GPU_MEMORY_SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0.0
    fits = sum(array.nbytes for array in arrays) <= room
    for array in arrays:
        signed = np.int16 if array.dtype.itemsize == 2 else np.int32
        tensor = _read_only_tensor(array.view(signed))
        tensors.append(tensor.to(device) if fits else tensor)
    return tensors


def gather_windows(
    domains: Sequence[torch.Tensor],
    domain_MB: NDArray[np.int64],
    start_MB: NDArray[np.int64],
    length: int,
    device: torch.device,
) -> torch.Tensor:
    """Windows of `length` tokens, (M, B, length) int64 on `device`.

    domains: one tensor of tokens for each domain. domain_MB, start_MB: domain and first position of each window.
    """
    position_T = torch.arange(length)
    out_MBT = None
    for index, tokens in enumerate(domains):
        in_domain_MB = domain_MB == index
        if not in_domain_MB.any():
            continue
        start = torch.from_numpy(start_MB[in_domain_MB])
        positions = (start[:, None] + position_T).to(tokens.device, non_blocking=True)
        rows = tokens[positions].to(device, non_blocking=True).to(torch.int64)
        rows = rows & 0xFFFF if tokens.dtype == torch.int16 else rows
        if in_domain_MB.all():
            return rows.view(*start_MB.shape, length)
        if out_MBT is None:
            out_MBT = torch.empty(*start_MB.shape, length, dtype=torch.int64, device=device)
        out_MBT[torch.from_numpy(in_domain_MB).to(device)] = rows
    assert out_MBT is not None, "every sequence has a domain"
    return out_MBT


def _read_only_tensor(array: NDArray[Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        # torch warns about the read-only memory map. Nothing writes to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
