"""The manifest of a prepared data set: what it holds, where it came from, and the hash of every file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from train.data.shards import token_dtype
from train.data.specification import FORMAT_VERSION, DataSpec
from train.errors import InputError

MANIFEST_NAME = "manifest.json"
TOKENIZER_NAME = "tokenizer.json"


@dataclass(frozen=True)
class FileRecord:
    """One file of the folder."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Domain:
    """One source after preparation. Bytes are of text, without separators; a synthetic domain has none."""

    name: str  # safe in a file or metric name, unique in the data set
    source: str  # as the specification names it
    source_fingerprint: str | None  # package version, or digest of names, sizes and times of the input files
    licence: str
    train_tokens: int  # separators included
    validation_tokens: int
    train_bytes: int
    validation_bytes: int
    train_documents: int
    validation_documents: int
    validation_groups: int
    duplicates_removed: int
    entropy_nats_per_token: float | None  # exact, of a synthetic source
    train_shard: FileRecord
    validation_shard: FileRecord
    train_offsets: FileRecord  # .npy, int64, (documents + 1,): token at which each document starts, and the end
    validation_offsets: FileRecord

    @property
    def train_bytes_per_token(self) -> float | None:
        return self.train_bytes / self.train_tokens if self.train_bytes else None

    @property
    def validation_bytes_per_token(self) -> float | None:
        return self.validation_bytes / self.validation_tokens if self.validation_bytes else None

    @property
    def files(self) -> tuple[FileRecord, ...]:
        return (self.train_shard, self.validation_shard, self.train_offsets, self.validation_offsets)


@dataclass(frozen=True)
class Manifest:
    """`manifest.json`. `content_hash` identifies the data: equal hashes mean equal tokens, whatever made them."""

    spec: DataSpec
    vocabulary_size: int  # every token id is below it
    separator_token: int | None  # after each document; None in synthetic data
    token_dtype: str  # "uint16" or "uint32", little-endian
    tokenizer: FileRecord | None  # None: bytes, or synthetic
    domains: tuple[Domain, ...]
    content_hash: str

    @property
    def files(self) -> tuple[FileRecord, ...]:
        own = (self.tokenizer,) if self.tokenizer is not None else ()
        return own + tuple(record for domain in self.domains for record in domain.files)

    @property
    def train_tokens(self) -> int:
        return sum(domain.train_tokens for domain in self.domains)

    @property
    def validation_tokens(self) -> int:
        return sum(domain.validation_tokens for domain in self.domains)

    def write(self, folder: Path) -> None:
        document = {"format": FORMAT_VERSION, **asdict(self)}
        for entry in document["domains"]:
            for split in ("train", "validation"):
                count = entry[f"{split}_bytes"]
                entry[f"{split}_bytes_per_token"] = count / entry[f"{split}_tokens"] if count else None
        (folder / MANIFEST_NAME).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def assemble(
    *,
    spec: DataSpec,
    vocabulary_size: int,
    separator_token: int | None,
    tokenizer: FileRecord | None,
    domains: tuple[Domain, ...],
) -> Manifest:
    """The manifest of files that are written, with the content hash: sha256 over vocabulary, separator and every file's
    hash.
    """
    own = [] if tokenizer is None else [tokenizer]
    identity = {
        "vocabulary_size": vocabulary_size,
        "separator_token": separator_token,
        "files": [record.sha256 for record in own + [record for domain in domains for record in domain.files]],
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Manifest(spec, vocabulary_size, separator_token, token_dtype(vocabulary_size), tokenizer, domains, digest)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_of(path: Path) -> FileRecord:
    return FileRecord(path.name, path.stat().st_size, sha256_of(path))


def load(folder: Path) -> Manifest:
    """Read `folder/manifest.json`. Raises InputError where it is absent, broken, or of another format."""
    path = folder / MANIFEST_NAME
    mend = "remove the folder and run `windtunnel data prepare` again"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no {MANIFEST_NAME}, so it is no prepared data set: name another folder, or {mend}"
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): {mend}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT_VERSION:
        raise InputError(f"{path} is not of format {FORMAT_VERSION}: {mend}")
    try:
        spec = DataSpec(**document["spec"])
        domains = tuple(_domain(entry) for entry in document["domains"])
        tokenizer = FileRecord(**document["tokenizer"]) if document["tokenizer"] is not None else None
        return Manifest(
            spec=spec,
            vocabulary_size=document["vocabulary_size"],
            separator_token=document["separator_token"],
            token_dtype=document["token_dtype"],
            tokenizer=tokenizer,
            domains=domains,
            content_hash=document["content_hash"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} lacks or misnames a field ({error}): {mend}") from None


def _domain(entry: Mapping[str, Any]) -> Domain:
    values = {field.name: entry[field.name] for field in fields(Domain)}
    for field in fields(Domain):
        if field.type is FileRecord:
            values[field.name] = FileRecord(**values[field.name])
    return Domain(**values)
