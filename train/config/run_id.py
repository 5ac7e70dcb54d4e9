"""A run's identity: a readable slug and a hash of its scientific configuration.

The hash covers resolved values in sorted key order, and leaves out fields at their neutral value
(`train.config.config`). Equal scientific configurations have equal ids in any process, however they were written and
under any later default.
"""

import hashlib
import json
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from windtunnel.models.accounting import count_parameters
from windtunnel.train.config.config import RunConfig

# 40 bits: among a million runs a collision has probability 0.05 %, and it is an error, never an overwritten record.
HASH_LENGTH = 10


def scientific_part(node: Any) -> Any:
    """The fields that decide a run's numbers, as nested dicts and lists."""
    kind: Any = type(node)
    names = _scientific_fields(kind)
    if names is not None:
        values = [(name, getattr(node, name), neutral) for name, neutral in names]
        return {name: scientific_part(value) for name, value, neutral in values if not neutral or value != neutral[0]}
    if isinstance(node, tuple | list):
        return [scientific_part(item) for item in node]
    return node


@cache  # listing the fields of a class costs more than reading them
def _scientific_fields(kind: Any) -> tuple[tuple[str, tuple[Any, ...]], ...] | None:
    """(name, (neutral value,) or ()) of the scientific fields of a dataclass; None for any other type."""
    if not is_dataclass(kind):
        return None
    return tuple(
        (f.name, (f.metadata["neutral"],) if "neutral" in f.metadata else ())
        for f in fields(kind)
        if f.metadata.get("identity", True)
    )


def scientific_hash(config: RunConfig) -> str:
    """sha256 of the scientific part as canonical JSON."""
    text = json.dumps(scientific_part(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def compact_count(count: int) -> str:
    """A count in a run id: 24600 -> 25k, 1966080 -> 1.97m. Lower case, as ids have always been."""
    for size, suffix in ((10**9, "b"), (10**6, "m"), (10**3, "k")):
        if count >= size * 0.9995:
            return (f"{count / size:.3g}" if count < 10 * size else f"{count / size:.0f}") + suffix
    return str(count)


def run_id(config: RunConfig) -> str:
    """For example `197k-speeches-wsd-4m-s0-1f0c2d9a7b`: size, data, schedule, tokens, seed, hash."""
    size = compact_count(count_parameters(config.model).non_embedding)
    corpus = config.data.folder.rsplit("-", 1)[0]
    return (
        f"{size}-{corpus}-{config.schedule.shape}-{compact_count(config.total_tokens)}-s{config.seed}-"
        f"{scientific_hash(config)[:HASH_LENGTH]}"
    )
