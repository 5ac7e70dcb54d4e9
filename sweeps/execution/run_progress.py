"""The progress of a run that another process trains, read from the ends of its records."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.models.accounting import flops_per_token
from windtunnel.train.config.config import RunConfig

TAIL_BYTES = 4096
EVALUATED_TOKEN_COST = 0.4  # of a training token
MIN_FLOPS_PER_SECOND = {"cpu": 1e9, "cuda": 1e11}  # assumed until the speed of a run is known
HANG_FACTOR = 20.0  # of the expected time between two writes


@dataclass(frozen=True)
class RunProgress:
    step: int
    loss: float | None
    tokens_per_second: float | None


def read_progress(folder: Path) -> RunProgress:
    """The last line of a run's curve, and its speed. Step 0 where there is no line yet."""
    row = _last_row(folder / "metrics.jsonl", "loss")
    timing = _last_row(folder / "timings.jsonl", "tokens_per_second")
    return RunProgress(row.get("step", 0), row.get("loss"), timing.get("tokens_per_second") or None)


def file_stamp(folder: Path) -> tuple[int, ...]:
    """Sizes and times of a run's files. It changes whenever the run writes."""
    stamp = []
    for name in ("run.json", "metrics.jsonl", "timings.jsonl", "checkpoints"):
        try:
            status = (folder / name).stat()
            stamp += [status.st_size, status.st_mtime_ns]
        except OSError:
            stamp += [-1, -1]
    return tuple(stamp)


def hang_seconds(config: RunConfig, tokens_per_second: float | None, on_gpu: bool) -> float:
    """Seconds without a write after which a run counts as hanging: many times the expected time between two lines of
    its curve with an evaluation between them.
    """
    rate = tokens_per_second
    if rate is None:
        flops = flops_per_token(config.model, config.data.sequence_length).exact_causal
        rate = MIN_FLOPS_PER_SECOND["cuda" if on_gpu else "cpu"] / flops
    tokens = config.logging.every_steps * config.tokens_per_step + EVALUATED_TOKEN_COST * config.data.evaluation_tokens
    return HANG_FACTOR * tokens / rate


def _last_row(path: Path, key: str) -> dict[str, Any]:
    """The last complete row that has the key; {} where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:  # the first line of the tail can be incomplete
            continue
        if isinstance(row, dict) and key in row:
            return row
    return {}
