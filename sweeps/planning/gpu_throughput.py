"""Timings on named GPUs, from their published peak and stated assumptions.

A peak is the dense bf16 rate of a datasheet (half of the rate that it prints "with sparsity"). The share of the peak
that training reaches and the time of a kernel launch, which dominates tiny models, are assumed. `windtunnel sweep plan`
on the machine itself measures both.
"""

import re
from dataclasses import dataclass

from windtunnel.sweeps.planning.cost import StepShape, Timing, checkpoint_bytes, step_flops
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError

# Of the dense bf16 peak, in steps long enough to keep the device busy.
ASSUMED_SHARE_OF_PEAK = 0.35
# An uncompiled step of a tiny model is a queue of kernel launches: so many per layer (forward and backward) and so many
# outside the layers, of so many seconds each.
ASSUMED_LAUNCHES_PER_LAYER, ASSUMED_OTHER_LAUNCHES, ASSUMED_SECONDS_PER_LAUNCH = 60, 150, 5e-6
EVALUATED_TOKEN_SHARE = 1 / 3  # of a training token: the forward pass alone
ASSUMED_START_SECONDS = 10.0  # model, corpus and first kernels
ASSUMED_CHECKPOINT_BYTES_PER_SECOND = 5e8
# Parameters, gradients and two moments, in float32.
TRAINING_BYTES_PER_PARAMETER = 16


@dataclass(frozen=True)
class Gpu:
    bf16_flops_per_second: float
    memory_bytes: float


GPUS = {
    # NVIDIA H100 datasheet, SXM5: 1,979 TFLOPS bf16 with sparsity, 80 GB.
    "h100": Gpu(989.5e12, 80e9),
    # The same datasheet, PCIe: 1,513 TFLOPS with sparsity, 80 GB.
    "h100-pcie": Gpu(756.5e12, 80e9),
    # NVIDIA H200 datasheet, SXM: 1,979 TFLOPS with sparsity, 141 GB.
    "h200": Gpu(989.5e12, 141e9),
    # NVIDIA HGX B200: 4.5 PFLOPS bf16 with sparsity, 180 GB.
    "b200": Gpu(2250e12, 180e9),
    # NVIDIA A100 datasheet: 312 TFLOPS bf16 dense; 80 GB and 40 GB.
    "a100": Gpu(312e12, 80e9),
    "a100-40gb": Gpu(312e12, 40e9),
    # NVIDIA L40S datasheet: 733 TFLOPS with sparsity, printed 362 dense, 48 GB.
    "l40s": Gpu(362e12, 48e9),
    # NVIDIA L4 datasheet: 242 TFLOPS with sparsity, 24 GB.
    "l4": Gpu(121e12, 24e9),
    # NVIDIA A10 datasheet: 125 TFLOPS bf16 dense, 24 GB.
    "a10": Gpu(125e12, 24e9),
    # NVIDIA Ada architecture whitepaper, GeForce RTX 4090: 165.2 TFLOPS bf16 dense with fp32 accumulation, 24 GB.
    "rtx4090": Gpu(165.2e12, 24e9),
    # AMD Instinct MI300X datasheet: 1,307.4 TFLOPS bf16 dense, 192 GB.
    "mi300x": Gpu(1307.4e12, 192e9),
}


@dataclass(frozen=True)
class GpuSet:
    """A number of GPUs of one kind. Each trains one run at a time."""

    name: str
    count: int

    @property
    def gpu(self) -> Gpu:
        return GPUS[self.name]

    @property
    def description(self) -> str:
        return f"{self.count} x {self.name}"


def parse_gpu(text: str) -> GpuSet:
    """`h100` or `h100:4`. Raises InputError naming the known GPUs."""
    match = re.fullmatch(r"([a-z0-9-]+)(?::([1-9]\d{0,4}))?", text.strip().lower())
    if match is None or match[1] not in GPUS:
        raise InputError(f"unknown GPU {text!r}: write NAME or NAME:COUNT, of {', '.join(GPUS)}")
    return GpuSet(match[1], int(match[2] or 1))


def published_timings(configs: dict[StepShape, RunConfig], gpu: Gpu) -> dict[StepShape, Timing]:
    """Timings on a GPU by its published peak and the assumptions above."""
    return {shape: _timing(config, gpu) for shape, config in configs.items()}


def _timing(config: RunConfig, gpu: Gpu) -> Timing:
    launches = ASSUMED_LAUNCHES_PER_LAYER * config.model.depth + ASSUMED_OTHER_LAUNCHES
    busy = step_flops(config) / (gpu.bf16_flops_per_second * ASSUMED_SHARE_OF_PEAK)
    return Timing(
        start=ASSUMED_START_SECONDS,
        step=max(busy, launches * ASSUMED_SECONDS_PER_LAUNCH),
        evaluated_token=EVALUATED_TOKEN_SHARE * busy / config.tokens_per_step,
        checkpoint=checkpoint_bytes(config) / ASSUMED_CHECKPOINT_BYTES_PER_SECOND,
        source="published",
    )
