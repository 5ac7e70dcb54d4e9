"""A run's identity: a readable slug and a hash of its scientific configuration.

The hash covers resolved values (never the way they were asked for), in sorted key order, with fields at their neutral
value left out (`train.config.config`): equal science gives an equal id in any process and under any later default.
"""

import hashlib
import json
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from windtunnel.models.accounting import count_parameters
from windtunnel.train.config.config import RunConfig

HASH_LENGTH = 10  # 40 bits: a million runs collide with probability .05 %, and a collision is refused, not overwritten


def scientific(node: Any) -> Any:
    """Plain nested data of the fields that decide a run's numbers."""
    kind: Any = type(node)
    known = _scientific_fields(kind)
    if known is not None:
        values = [(name, getattr(node, name), neutral) for name, neutral in known]
        return {name: scientific(value) for name, value, neutral in values if not neutral or value != neutral[0]}
    if isinstance(node, tuple | list):
        return [scientific(item) for item in node]
    return node


@cache  # asking a class for its fields costs more than reading them
def _scientific_fields(kind: Any) -> tuple[tuple[str, tuple[Any, ...]], ...] | None:
    """(name, (neutral value,) or ()) of the fields of a dataclass that decide numbers; None for any other type."""
    if not is_dataclass(kind):
        return None
    return tuple(
        (f.name, (f.metadata["neutral"],) if "neutral" in f.metadata else ())
        for f in fields(kind)
        if f.metadata.get("identity", True)
    )


def scientific_hash(config: RunConfig) -> str:
    text = json.dumps(scientific(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def compact(count: int) -> str:
    """A count for people and file names: 24600 -> 25k, 1966080 -> 2m."""
    for size, suffix in ((10**9, "b"), (10**6, "m"), (10**3, "k")):
        if count >= size * 0.9995:
            return (f"{count / size:.3g}" if count < 10 * size else f"{count / size:.0f}") + suffix
    return str(count)


def run_id(config: RunConfig) -> str:
    """For example `197k-speeches-wsd-4m-s0-1f0c2d9a7b`: size, data, schedule, tokens, seed, hash."""
    size = compact(count_parameters(config.model).non_embedding)
    corpus = config.data.folder.rsplit("-", 1)[0]
    return (
        f"{size}-{corpus}-{config.schedule.shape}-{compact(config.total_tokens)}-s{config.seed}-"
        f"{scientific_hash(config)[:HASH_LENGTH]}"
    )
