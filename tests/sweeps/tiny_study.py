"""The settings of runs small enough to train thirty of them in a test."""

from collections.abc import Callable
from pathlib import Path

from sweeps.plan import Plan

FIXED: dict[str, object] = {
    "size": "custom",
    "size.width": 16,
    "size.depth": 2,
    "size.head_count": 2,
    "schedule.warmup_tokens": 1024,
    "optimizer.tokens_per_step": 128,
    "optimizer.rate": 6e-3,
    "data.sequence_length": 32,
    "data.evaluation_tokens": 1024,
    "parametrization.embedding_std": 1,
    "logging.every_steps": 4,
}
WriteStudy = Callable[..., Path]
PlanStudy = Callable[..., Plan]
