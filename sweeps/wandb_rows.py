"""A table on its way to W&B."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rows:
    """A number, text, truth value or None in each place."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
