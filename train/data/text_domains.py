"""Shards of text sources: read and deduplicate, split by group, train the tokenizer on the train side, encode."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.document_store import DocumentStore
from windtunnel.train.data.manifest import TOKENIZER_NAME, Domain, Manifest, file_record, make_manifest
from windtunnel.train.data.shards import ShardWriter
from windtunnel.train.data.sources import content_digest, documents, domain_names, fingerprint, source_license
from windtunnel.train.data.specification import BYTE_VOCABULARY, DataSpec, Source
from windtunnel.train.data.vocabulary import (
    BPE_SEPARATOR,
    BYTE_SEPARATOR,
    byte_lengths,
    encode_bpe,
    encode_bytes,
    train_tokenizer,
)
from windtunnel.train.errors import InputError

if TYPE_CHECKING:  # start-up: bytes need no tokenizer
    from tokenizers import Tokenizer

Progress = Callable[[str], None]


def build(spec: DataSpec, folder: Path, progress: Progress) -> Manifest:
    """Write the shards of every domain into `folder`; return the manifest, not written yet.

    Raises InputError for input that cannot be read, split or tokenized.
    """
    seen: set[bytes] = set()
    names = domain_names(spec.sources)
    stores = []
    for name, source in zip(names, spec.sources, strict=True):
        store = DocumentStore(folder / f"{name}.documents", documents(source, spec), seen, spec.split_seed)
        progress(f"{name}: reading {source.text}")
        store.fill(_estimate_bytes(spec))
        if not store.document_count:
            raise InputError(
                f"{source.text}: no document is left after dropping blank ones and {store.duplicates_removed} "
                "duplicates: name a source that adds text"
            )
        _split(store, source, spec)
        stores.append(store)
    tokenizer = None
    if spec.vocabulary != BYTE_VOCABULARY:
        progress(f"training a tokenizer of {spec.vocabulary:,} tokens on the train side of {', '.join(names)}")
        tokenizer = train_tokenizer(_train_texts(stores), spec.vocabulary)
        tokenizer.save(str(folder / TOKENIZER_NAME))
    domains = []
    for name, source, store in zip(names, spec.sources, stores, strict=True):
        domains.append(_encode(name, source, store, spec, tokenizer, folder, progress))
        store.path.unlink()
    return make_manifest(
        spec=spec,
        vocabulary_size=spec.vocabulary,
        separator_token=BYTE_SEPARATOR if tokenizer is None else BPE_SEPARATOR,
        tokenizer=None if tokenizer is None else file_record(folder / TOKENIZER_NAME),
        domains=tuple(domains),
    )


def _estimate_bytes(spec: DataSpec) -> int | None:
    """Bytes to read before the split for the token budget; None for all.

    Estimated with 0.3 log2 V bytes per token, which fits English (3.6 at V = 4,096, 4.5 at 32,768). If they are too
    few, `_encode_train` reads more.
    """
    if not spec.token_budget:
        return None
    bytes_per_token = 1.0 if spec.vocabulary == BYTE_VOCABULARY else 0.3 * math.log2(spec.vocabulary)
    return math.ceil(spec.token_budget * bytes_per_token / (1 - spec.validation_fraction))


def _split(store: DocumentStore, source: Source, spec: DataSpec) -> None:
    try:
        store.split(spec.validation_fraction)
    except InputError as error:
        raise InputError(f"{source.text}: {error}") from None


def _train_texts(stores: list[DocumentStore]) -> Iterator[str]:
    for store in stores:
        for data in store.read(held_out=False):
            yield data.decode("utf-8")


class _SplitEncoder:
    """Encodes the documents of one split of a domain into a shard and counts their bytes."""

    def __init__(self, folder: Path, name: str, spec: DataSpec, tokenizer: "Tokenizer | None") -> None:
        self.writer = ShardWriter(folder, name, spec.vocabulary)
        self.bytes = 0
        self._tokenizer = tokenizer
        self._lengths = None if tokenizer is None else byte_lengths(tokenizer)

    def append(self, texts: Iterator[bytes], token_budget: int) -> None:
        """Encode and write whole documents until the shard has `token_budget` tokens (0: all documents)."""
        for ids in self._encoded(texts):
            self.writer.append(ids)
            self.bytes += ids.size - 1 if self._lengths is None else int(self._lengths[ids].sum())
            if token_budget and self.writer.tokens >= token_budget:
                return

    def _encoded(self, texts: Iterator[bytes]) -> Iterator[npt.NDArray[np.unsignedinteger[Any]]]:
        yield from encode_bytes(texts) if self._tokenizer is None else encode_bpe(texts, self._tokenizer)


def _encode(
    name: str,
    source: Source,
    store: DocumentStore,
    spec: DataSpec,
    tokenizer: "Tokenizer | None",
    folder: Path,
    progress: Progress,
) -> Domain:
    progress(f"{name}: encoding {store.byte_count:,} bytes")
    train = _SplitEncoder(folder, f"{name}-train", spec, tokenizer)
    validation = _SplitEncoder(folder, f"{name}-validation", spec, tokenizer)
    _encode_train(train, store, spec.token_budget)
    validation.append(store.read(held_out=True), 0)
    train.writer.close()
    validation.writer.close()
    if train.writer.tokens < spec.token_budget:
        progress(
            f"{name}: the source ends after {train.writer.tokens:,} of the {spec.token_budget:,} train tokens requested"
        )
    return Domain(
        name=name,
        source=source.text,
        source_fingerprint=fingerprint(source),
        licence=source_license(source),
        train_tokens=train.writer.tokens,
        validation_tokens=validation.writer.tokens,
        train_bytes=train.bytes,
        validation_bytes=validation.bytes,
        train_documents=train.writer.documents,
        validation_documents=validation.writer.documents,
        validation_groups=store.held_out_groups,
        duplicates_removed=store.duplicates_removed,
        entropy_nats_per_token=None,
        opening_excess_nats=None,
        train_shard=file_record(train.writer.shard),
        validation_shard=file_record(validation.writer.shard),
        train_offsets=file_record(train.writer.offsets),
        validation_offsets=file_record(validation.writer.offsets),
        source_digest=content_digest(source),
    )


def _encode_train(train: _SplitEncoder, store: DocumentStore, token_budget: int) -> None:
    """Encode train documents up to the token budget, reading more of the source as needed."""
    first = 0
    while True:
        train.append(store.read(held_out=False, first=first), token_budget)
        if store.exhausted or not token_budget or train.writer.tokens >= token_budget:
            return
        first = store.document_count
        bytes_per_token = max(1.0, train.bytes / max(1, train.writer.tokens))
        store.fill(store.byte_count + math.ceil((token_budget - train.writer.tokens) * bytes_per_token) + 1)
