"""Text sources to shards: read and deduplicate, split by group, train the tokenizer on the train side, encode."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.document_store import Spool
from windtunnel.train.data.manifest import TOKENIZER_NAME, Domain, Manifest, assemble, record_of
from windtunnel.train.data.shards import ShardWriter
from windtunnel.train.data.sources import content_digest, documents, domain_names, fingerprint, licence
from windtunnel.train.data.specification import BYTE_VOCABULARY, DataSpec, Source
from windtunnel.train.data.vocabulary import (
    BYTE_SEPARATOR,
    MERGED_SEPARATOR,
    byte_lengths,
    encode_bytes,
    encode_merged,
    train_tokenizer,
)
from windtunnel.train.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Progress = Callable[[str], None]


def build(spec: DataSpec, folder: Path, progress: Progress) -> Manifest:
    """Write the shards of every domain of `spec` into `folder`; the manifest is returned, not written."""
    seen: set[bytes] = set()
    names = domain_names(spec.sources)
    spools = []
    for name, source in zip(names, spec.sources, strict=True):
        spool = Spool(folder / f"{name}.spool", documents(source, spec), seen, spec.split_seed)
        progress(f"{name}: reading {source.text}")
        spool.fill(_bytes_for(spec))
        if not spool.document_count:
            raise InputError(
                f"{source.text}: no document is left after dropping blank ones and {spool.duplicates_removed} "
                "duplicates: "
                "name a source that adds text"
            )
        _split(spool, source, spec)
        spools.append(spool)
    tokenizer = None
    if spec.vocabulary != BYTE_VOCABULARY:
        progress(f"training a tokenizer of {spec.vocabulary:,} tokens on the train side of {', '.join(names)}")
        tokenizer = train_tokenizer(_train_texts(spools), spec.vocabulary)
        tokenizer.save(str(folder / TOKENIZER_NAME))
    domains = []
    for name, source, spool in zip(names, spec.sources, spools, strict=True):
        domains.append(_encode(name, source, spool, spec, tokenizer, folder, progress))
        spool.path.unlink()
    return assemble(
        spec=spec,
        vocabulary_size=spec.vocabulary,
        separator_token=BYTE_SEPARATOR if tokenizer is None else MERGED_SEPARATOR,
        tokenizer=None if tokenizer is None else record_of(folder / TOKENIZER_NAME),
        domains=tuple(domains),
    )


def _bytes_for(spec: DataSpec) -> int | None:
    """Bytes to read before the split for a token budget: .3 log2 V bytes a token fits English (3.6 at V = 4,096, 4.5 at
    32,768).

    Only a first helping: `_encode_train` reads on where it falls short.
    """
    if not spec.token_budget:
        return None
    bytes_per_token = 1.0 if spec.vocabulary == BYTE_VOCABULARY else 0.3 * math.log2(spec.vocabulary)
    return math.ceil(spec.token_budget * bytes_per_token / (1 - spec.validation_fraction))


def _split(spool: Spool, source: Source, spec: DataSpec) -> None:
    try:
        spool.split(spec.validation_fraction)
    except InputError as error:
        raise InputError(f"{source.text}: {error}") from None


def _train_texts(spools: list[Spool]) -> Iterator[str]:
    for spool in spools:
        for data in spool.read(held_out=False):
            yield data.decode("utf-8")


class _Side:
    """One split of one domain as it is encoded: the shard, and how many bytes of text went into it."""

    def __init__(self, folder: Path, name: str, spec: DataSpec, tokenizer: "Tokenizer | None") -> None:
        self.writer = ShardWriter(folder, name, spec.vocabulary)
        self.bytes = 0
        self._tokenizer = tokenizer
        self._lengths = None if tokenizer is None else byte_lengths(tokenizer)

    def append(self, texts: Iterator[bytes], token_budget: int) -> None:
        """Encode and write whole documents, until the shard holds `token_budget` tokens (0: all of them)."""
        for ids in self._encoded(texts):
            self.writer.append(ids)
            self.bytes += ids.size - 1 if self._lengths is None else int(self._lengths[ids].sum())
            if token_budget and self.writer.tokens >= token_budget:
                return

    def _encoded(self, texts: Iterator[bytes]) -> Iterator[npt.NDArray[np.unsignedinteger[Any]]]:
        yield from encode_bytes(texts) if self._tokenizer is None else encode_merged(texts, self._tokenizer)


def _encode(
    name: str,
    source: Source,
    spool: Spool,
    spec: DataSpec,
    tokenizer: "Tokenizer | None",
    folder: Path,
    progress: Progress,
) -> Domain:
    progress(f"{name}: encoding {spool.byte_count:,} bytes")
    train = _Side(folder, f"{name}-train", spec, tokenizer)
    validation = _Side(folder, f"{name}-validation", spec, tokenizer)
    _encode_train(train, spool, spec.token_budget)
    validation.append(spool.read(held_out=True), 0)
    train.writer.close()
    validation.writer.close()
    if train.writer.tokens < spec.token_budget:
        progress(
            f"{name}: the source ends after {train.writer.tokens:,} of the {spec.token_budget:,} train tokens asked for"
        )
    return Domain(
        name=name,
        source=source.text,
        source_fingerprint=fingerprint(source),
        licence=licence(source),
        train_tokens=train.writer.tokens,
        validation_tokens=validation.writer.tokens,
        train_bytes=train.bytes,
        validation_bytes=validation.bytes,
        train_documents=train.writer.documents,
        validation_documents=validation.writer.documents,
        validation_groups=spool.held_out_groups,
        duplicates_removed=spool.duplicates_removed,
        entropy_nats_per_token=None,
        opening_excess_nats=None,
        train_shard=record_of(train.writer.shard),
        validation_shard=record_of(validation.writer.shard),
        train_offsets=record_of(train.writer.offsets),
        validation_offsets=record_of(validation.writer.offsets),
        source_digest=content_digest(source),
    )


def _encode_train(train: _Side, spool: Spool, token_budget: int) -> None:
    first = 0
    while True:
        train.append(spool.read(held_out=False, first=first), token_budget)
        if spool.exhausted or not token_budget or train.writer.tokens >= token_budget:
            return
        first = spool.document_count
        bytes_per_token = max(1.0, train.bytes / max(1, train.writer.tokens))
        spool.fill(spool.byte_count + math.ceil((token_budget - train.writer.tokens) * bytes_per_token) + 1)
