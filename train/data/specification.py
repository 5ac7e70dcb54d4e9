"""What identifies a prepared data set: the specification, its parts, and the folder name that follows from it."""

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from urllib.parse import parse_qsl

from windtunnel.train.errors import InputError

FORMAT_VERSION = 1  # of the prepared folder; part of its identity
BYTE_VOCABULARY = 256
SMALLEST_MERGED_VOCABULARY = 258  # 256 bytes, the separator, one merge
LARGEST_VOCABULARY = 1 << 20  # the tokenizer's trainer reserves memory for all of it at once
OFFLINE_SPECIFICATIONS = (
    "speeches, plays, synthetic:context-tree, synthetic:zipf-facts, text:GLOB, jsonl:GLOB, parquet:GLOB"
)
_NAMED = ("speeches", "plays")
_PREFIXED = ("synthetic", "text", "jsonl", "parquet", "hub")
_JOIN = re.compile(r"\+(?=(?:{})(?:\+|$)|(?:{}):)".format("|".join(_NAMED), "|".join(_PREFIXED)))


@dataclass(frozen=True)
class Source:
    """One domain as the specification names it: `jsonl:data/*.jsonl` is kind "jsonl", argument "data/*.jsonl"."""

    kind: str  # speeches plays synthetic text jsonl parquet hub
    argument: str  # "" for speeches and plays
    options: tuple[tuple[str, str], ...] = ()  # of a synthetic source: ?name=value&name=value

    @property
    def text(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else self.kind


@dataclass(frozen=True)
class DataSpec:
    """What is prepared; two equal specifications mean the same folder.

    Raises InputError at once for anything that cannot be prepared whatever the files hold.
    """

    spec: str  # "speeches", "plays", "synthetic:context-tree", "jsonl:GLOB" ...; "+" joins domains
    vocabulary: int = (
        BYTE_VOCABULARY  # 256: bytes; more: byte-level BPE; a synthetic source brings its own: that number, or 0
    )
    token_budget: int = (
        0  # train tokens to make per domain; required for synthetic: and hub:, 0 elsewhere means everything
    )
    validation_fraction: float = 0.05  # of the bytes (text) or tokens (synthetic) of each domain
    text_field: str = "text"  # of a JSON lines, parquet or hub record
    group_field: str | None = None  # records with equal values stay on one side of the split; None: each record alone
    split_seed: int = 0

    def __post_init__(self) -> None:
        sources = self.sources
        if not math.isfinite(self.validation_fraction) or not 0 < self.validation_fraction <= 0.5:
            raise InputError(f"validation_fraction={self.validation_fraction} lies outside (0, 0.5]: 0.05 is usual")
        if self.token_budget < 0:
            raise InputError(
                f"token_budget={self.token_budget} is negative: give the train tokens to make, 0 for all of a finite "
                "source"
            )
        synthetic = [source for source in sources if source.kind == "synthetic"]
        endless = [source.text for source in sources if source.kind in ("synthetic", "hub")]
        if endless and not self.token_budget:
            raise InputError(
                f"{endless[0]} has no end: say in token_budget how many train tokens to make, for example 20M"
            )
        if synthetic and len(synthetic) < len(sources):
            raise InputError(
                f"{self.spec}: text and synthetic tokens share no vocabulary: prepare them as separate data sets"
            )
        if not synthetic and self.vocabulary != BYTE_VOCABULARY and self.vocabulary < SMALLEST_MERGED_VOCABULARY:
            raise InputError(
                f"vocabulary={self.vocabulary} cannot be used for {self.spec}: {BYTE_VOCABULARY} is bytes, "
                f"{SMALLEST_MERGED_VOCABULARY} or more is byte-level BPE"
            )
        if self.vocabulary > LARGEST_VOCABULARY:
            raise InputError(
                f"vocabulary={self.vocabulary} is too large for a tokenizer: give at most {LARGEST_VOCABULARY}"
            )

    @property
    def sources(self) -> tuple[Source, ...]:
        """The domains, in order. Raises InputError for a part that is no source."""
        return tuple(_source(part, self.spec) for part in _JOIN.split(self.spec))

    @property
    def folder_name(self) -> str:
        """A readable slug and a hash over every field."""
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
        f"data specification {spec!r}: {part!r} is no source; use {OFFLINE_SPECIFICATIONS} or hub:NAME, joined by +"
    )
