"""The specification of a dataset, its sources, and its folder name.

The folder name hashes the field names and values of `DataSpec`, so they do not change.
"""

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from urllib.parse import parse_qsl

from windtunnel.train.errors import InputError

FORMAT_VERSION = 1  # of the prepared folder; part of the hash
BYTE_VOCABULARY = 256
MIN_BPE_VOCABULARY = 258  # 256 bytes, the separator, one merge
MAX_VOCABULARY = 1 << 20  # the trainer of the tokenizer allocates memory for all of it
OFFLINE_SOURCES = "speeches, plays, synthetic:context-tree, synthetic:zipf-facts, text:GLOB, jsonl:GLOB, parquet:GLOB"
_NAMED = ("speeches", "plays")
_PREFIXED = ("synthetic", "text", "jsonl", "parquet", "hub")
_JOIN = re.compile(r"\+(?=(?:{})(?:\+|$)|(?:{}):)".format("|".join(_NAMED), "|".join(_PREFIXED)))


@dataclass(frozen=True)
class Source:
    """One domain of a specification: `jsonl:data/*.jsonl` has the kind "jsonl" and the argument "data/*.jsonl"."""

    kind: str  # speeches plays synthetic text jsonl parquet hub
    argument: str  # "" for speeches and plays
    options: tuple[tuple[str, str], ...] = ()  # of a synthetic source: ?name=value&name=value

    @property
    def text(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else self.kind


@dataclass(frozen=True)
class DataSpec:
    """What to prepare. Equal specifications have the same folder.

    Raises InputError for a specification that no content of the files makes valid.
    """

    spec: str
    """Sources joined by "+", one for each domain: "speeches", "plays", "synthetic:context-tree", "jsonl:GLOB" ..."""
    vocabulary: int = BYTE_VOCABULARY
    """256: bytes; more: byte-level BPE. A synthetic source has its own: give that size, or 0."""
    token_budget: int = 0
    """Train tokens of each domain; required for synthetic and hub sources, 0 for all of a finite source."""
    validation_fraction: float = 0.05
    """Share of the bytes (text) or tokens (synthetic) of each domain."""
    text_field: str = "text"
    """Text field of a JSON lines, Parquet or hub record."""
    group_field: str | None = None
    """Records with equal values stay on one side of the split; None: each record is a group."""
    split_seed: int = 0

    def __post_init__(self) -> None:
        sources = self.sources
        if not math.isfinite(self.validation_fraction) or not 0 < self.validation_fraction <= 0.5:
            raise InputError(f"validation_fraction={self.validation_fraction} lies outside (0, 0.5]: 0.05 is usual")
        if self.token_budget < 0:
            raise InputError(
                f"token_budget={self.token_budget} is negative: give the number of train tokens, "
                "or 0 for all of a finite source"
            )
        synthetic = [source for source in sources if source.kind == "synthetic"]
        endless = [source.text for source in sources if source.kind in ("synthetic", "hub")]
        if endless and not self.token_budget:
            raise InputError(
                f"{endless[0]} has no end: give the number of train tokens with token_budget=..., for example 20M"
            )
        if synthetic and len(synthetic) < len(sources):
            raise InputError(
                f"{self.spec}: text and synthetic tokens share no vocabulary: prepare them as separate datasets"
            )
        if not synthetic and self.vocabulary != BYTE_VOCABULARY and self.vocabulary < MIN_BPE_VOCABULARY:
            raise InputError(
                f"vocabulary={self.vocabulary} cannot be used for {self.spec}: {BYTE_VOCABULARY} is bytes, "
                f"{MIN_BPE_VOCABULARY} or more is byte-level BPE"
            )
        if self.vocabulary > MAX_VOCABULARY:
            raise InputError(
                f"vocabulary={self.vocabulary} is too large for a tokenizer: give at most {MAX_VOCABULARY}"
            )

    @property
    def sources(self) -> tuple[Source, ...]:
        """The domains, in order. Raises InputError for a part that is not a source."""
        return tuple(_source(part, self.spec) for part in _JOIN.split(self.spec))

    @property
    def folder_name(self) -> str:
        """A readable slug and a hash of every field."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.spec.lower()).strip("-")[:48].strip("-")
        text = json.dumps({"format": FORMAT_VERSION, **asdict(self)}, sort_keys=True)
        return f"{slug}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _source(part: str, spec: str) -> Source:
    kind, colon, argument = part.partition(":")
    if kind in _NAMED and not colon:
        return Source(kind, "")
    if kind in _PREFIXED and argument:
        if kind != "synthetic":
            return Source(kind, argument)
        name, question, query = argument.partition("?")
        options = tuple(parse_qsl(query, keep_blank_values=True))
        if question and (not options or len(dict(options)) < len(options)):
            raise InputError(f"{part}: options are written ?name=value&name=value, each once")
        return Source(kind, name, options)
    raise InputError(
        f"data specification {spec!r}: {part!r} is not a source; use {OFFLINE_SOURCES} or hub:NAME, joined by +"
    )
