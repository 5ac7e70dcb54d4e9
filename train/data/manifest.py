"""The manifest of a prepared dataset: its content, its sources, and the hash of every file.

Field names are keys of `manifest.json`, so they do not change.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from windtunnel.train.data.shards import token_dtype
from windtunnel.train.data.specification import FORMAT_VERSION, DataSpec
from windtunnel.train.errors import InputError

MANIFEST_NAME = "manifest.json"
TOKENIZER_NAME = "tokenizer.json"


@dataclass(frozen=True)
class FileRecord:
    """A file of the folder."""

    name: str
    bytes: NonNegativeInt
    sha256: str


@dataclass(frozen=True)
class Domain:
    """One prepared source. Bytes are of text, without separators; 0 for a synthetic domain."""

    name: str  # unique in the dataset, safe in file and metric names
    source: str  # as in the specification
    source_fingerprint: str | None  # package version, or digest of names, sizes and times of the input files
    licence: str
    train_tokens: NonNegativeInt  # separators included
    validation_tokens: NonNegativeInt
    train_bytes: NonNegativeInt
    validation_bytes: NonNegativeInt
    train_documents: NonNegativeInt
    validation_documents: NonNegativeInt
    validation_groups: NonNegativeInt
    duplicates_removed: NonNegativeInt
    entropy_nats_per_token: float | None  # exact, of a synthetic source
    # Total cost beyond that entropy of the first predictions of a window, which lack context: exact, for windows of two
    # predictions or more. None if it is not known, and in manifests older than the field.
    opening_excess_nats: float | None = field(default=None, kw_only=True)
    train_shard: FileRecord
    validation_shard: FileRecord
    train_offsets: FileRecord  # .npy, int64, (documents + 1,): first token of each document, and the end
    validation_offsets: FileRecord
    source_digest: str | None = None  # of names and contents of the input files; None in manifests older than the field

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
    """The content of `manifest.json`. Equal values of `content_hash` mean equal tokens, however they were made."""

    spec: DataSpec
    vocabulary_size: NonNegativeInt  # above every token id
    separator_token: NonNegativeInt | None  # after each document; None in synthetic data
    token_dtype: Literal["uint16", "uint32"]  # little-endian
    tokenizer: FileRecord | None  # None: bytes, or synthetic
    domains: tuple[Domain, ...]
    content_hash: str

    @property
    def files(self) -> tuple[FileRecord, ...]:
        tokenizer = () if self.tokenizer is None else (self.tokenizer,)
        return tokenizer + tuple(record for domain in self.domains for record in domain.files)

    @property
    def train_tokens(self) -> int:
        return sum(domain.train_tokens for domain in self.domains)

    @property
    def validation_tokens(self) -> int:
        return sum(domain.validation_tokens for domain in self.domains)

    def write(self, folder: Path) -> None:
        """Write `manifest.json`, with bytes per token of each domain added for readers."""
        document = {"format": FORMAT_VERSION, **asdict(self)}
        for entry, domain in zip(document["domains"], self.domains, strict=True):
            entry["train_bytes_per_token"] = domain.train_bytes_per_token
            entry["validation_bytes_per_token"] = domain.validation_bytes_per_token
        (folder / MANIFEST_NAME).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def make_manifest(
    *,
    spec: DataSpec,
    vocabulary_size: int,
    separator_token: int | None,
    tokenizer: FileRecord | None,
    domains: tuple[Domain, ...],
) -> Manifest:
    """The manifest of files that are already written."""
    files = [] if tokenizer is None else [tokenizer]
    files += [record for domain in domains for record in domain.files]
    digest = content_hash(vocabulary_size, separator_token, files)
    return Manifest(spec, vocabulary_size, separator_token, token_dtype(vocabulary_size), tokenizer, domains, digest)


def content_hash(vocabulary_size: int, separator_token: int | None, files: Sequence[FileRecord]) -> str:
    """The identity of the data: sha256 of the vocabulary size, the separator and the hash of every file."""
    identity = {
        "vocabulary_size": vocabulary_size,
        "separator_token": separator_token,
        "files": [record.sha256 for record in files],
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_record(path: Path) -> FileRecord:
    return FileRecord(path.name, path.stat().st_size, file_sha256(path))


def load_manifest(folder: Path) -> Manifest:
    """Read `folder/manifest.json`. Raises InputError if it is absent, invalid, of another format or inconsistent."""
    path = folder / MANIFEST_NAME
    hint = "remove the folder and prepare it again"
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no {MANIFEST_NAME}, so it is not a prepared dataset: name another folder, or {hint}"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): {hint}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}): {hint}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT_VERSION:
        raise InputError(f"{path} is not of format {FORMAT_VERSION}: {hint}")
    try:
        manifest = _READER.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = " ".join(first["msg"].split())
        raise InputError(f"{path} has an invalid or missing field ({place}: {reason}): {hint}") from None
    if inconsistency := _inconsistency(manifest):
        raise InputError(f"{path} is inconsistent ({inconsistency}): {hint}")
    return manifest


_READER = TypeAdapter(Manifest)


def _inconsistency(manifest: Manifest) -> str | None:
    """A statement of the manifest that contradicts another one, or None."""
    if len(manifest.domains) != len(manifest.spec.sources):
        return f"{len(manifest.domains)} domains for the spec {manifest.spec.spec}"
    if manifest.content_hash != content_hash(manifest.vocabulary_size, manifest.separator_token, manifest.files):
        return "content_hash does not match its vocabulary, separator and files"
    if manifest.token_dtype != token_dtype(manifest.vocabulary_size):
        return f"tokens of {manifest.token_dtype} for a vocabulary of {manifest.vocabulary_size}"
    for record in manifest.files:
        if Path(record.name).name != record.name:
            return f"{record.name!r} is not a file name"
    width = np.dtype(manifest.token_dtype).itemsize
    for domain in manifest.domains:
        for tokens, shard in (
            (domain.train_tokens, domain.train_shard),
            (domain.validation_tokens, domain.validation_shard),
        ):
            if shard.bytes != tokens * width or not tokens:
                return f"{tokens} tokens in the {shard.bytes} bytes of {shard.name}"
    return None
