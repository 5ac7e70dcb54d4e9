"""Where a run that another process trains stands, read from the tails of its records."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.models.accounting import flops_per_token
from windtunnel.train.config.config import RunConfig

TAIL_BYTES = 4096
EVALUATED_TOKEN = 0.4  # of a trained one
SLOWEST_FLOPS_PER_SECOND = {"cpu": 1e9, "cuda": 1e11}  # of a run whose speed is not known yet
PATIENCE = 20.0  # times the expected silence


@dataclass(frozen=True)
class Standing:
    step: int
    loss: float | None
    tokens_per_second: float | None


def standing(folder: Path) -> Standing:
    """The last line of its curve and its speed; step 0 where there is none yet."""
    line = _last(folder / "metrics.jsonl", "loss")
    timing = _last(folder / "timings.jsonl", "tokens_per_second")
    return Standing(line.get("step", 0), line.get("loss"), timing.get("tokens_per_second") or None)


def trace(folder: Path) -> tuple[int, ...]:
    """Changes whenever the run writes something: a run whose trace stays the same is not being trained."""
    found = []
    for name in ("run.json", "metrics.jsonl", "timings.jsonl", "checkpoints"):
        try:
            status = (folder / name).stat()
            found += [status.st_size, status.st_mtime_ns]
        except OSError:
            found += [-1, -1]
    return tuple(found)


def longest_silence(config: RunConfig, tokens_per_second: float | None, on_gpu: bool) -> float:
    """Seconds without a change of trace after which a run must be taken to hang: many times what lies between two
    lines of its curve, an evaluation included.
    """
    rate = tokens_per_second
    if rate is None:
        flops = flops_per_token(config.model, config.data.sequence_length).exact_causal
        rate = SLOWEST_FLOPS_PER_SECOND["cuda" if on_gpu else "cpu"] / flops
    tokens = config.logging.every_steps * config.tokens_per_step + EVALUATED_TOKEN * config.data.evaluation_tokens
    return PATIENCE * tokens / rate


def _last(path: Path, key: str) -> dict[str, Any]:
    """The last whole row that has the key."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:  # the first of the tail may be cut
            continue
        if isinstance(row, dict) and key in row:
            return row
    return {}
