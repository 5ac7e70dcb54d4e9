"""Synthetic sources to shards: blocks of a train and of a validation stream, and the exact entropy in the manifest."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from windtunnel.train.data import context_tree, zipf_facts
from windtunnel.train.data.context_tree import ContextTree
from windtunnel.train.data.manifest import Domain, Manifest, assemble, record_of
from windtunnel.train.data.shards import ShardWriter
from windtunnel.train.data.sources import domain_names
from windtunnel.train.data.specification import DataSpec, Source
from windtunnel.train.data.zipf_facts import ZipfFacts
from windtunnel.train.errors import InputError

Progress = Callable[[str], None]
TRAIN, VALIDATION = 0, 1  # streams: never the same draws
_BLOCKS = {ContextTree: context_tree.BLOCK, ZipfFacts: zipf_facts.BLOCK}


def open_source(source: Source) -> ContextTree | ZipfFacts:
    """The process that a source names. Raises InputError for an unknown name, option or value."""
    options = dict(source.options)
    made: ContextTree | ZipfFacts
    if source.argument == "context-tree":
        made = ContextTree(
            _whole(options, "vocabulary", 1024, source), options.pop("zipf", "1.2"), _whole(options, "seed", 0, source)
        )
    elif source.argument == "zipf-facts":
        made = ZipfFacts(
            options.pop("alpha", ".35"), _whole(options, "levels", 24, source), _whole(options, "seed", 0, source)
        )
    else:
        raise InputError(f"{source.text} is no synthetic source: use synthetic:context-tree or synthetic:zipf-facts")
    if options:
        known = "vocabulary, zipf, seed" if source.argument == "context-tree" else "alpha, levels, seed"
        raise InputError(f"{source.text} has no option {next(iter(options))!r}: use {known}")
    return made


def _whole(options: dict[str, str], name: str, default: int, source: Source) -> int:
    text = options.pop(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise InputError(f"{source.text}?{name}={text}: give a whole number, for example {name}={default}")
    return int(text)


def open_sources(spec: DataSpec) -> list[ContextTree | ZipfFacts]:
    """The processes of a synthetic specification, in order."""
    return [open_source(source) for source in spec.sources]


def vocabulary_of(spec: DataSpec, made: Sequence[ContextTree | ZipfFacts]) -> int:
    """Raises InputError where sources of different vocabularies are joined, or `vocabulary` is neither theirs nor 0."""
    vocabularies = {process.vocabulary for process in made}
    if len(vocabularies) > 1:
        raise InputError(
            f"{spec.spec}: its sources have vocabularies {sorted(vocabularies)}: prepare them as separate data sets"
        )
    vocabulary = vocabularies.pop()
    if spec.vocabulary not in (0, vocabulary):
        raise InputError(
            f"vocabulary={spec.vocabulary}: {spec.spec} brings its own of {vocabulary}: leave it out, or give 0 or "
            f"{vocabulary}"
        )
    return vocabulary


def build(spec: DataSpec, folder: Path, progress: Progress) -> Manifest:
    """Write `token_budget` train tokens of each source, and validation_fraction / (1 - validation_fraction) as many
    held-out ones.

    Both numbers are exact. A block is entered in the table of documents as a document. Raises InputError.
    """
    made = open_sources(spec)
    vocabulary = vocabulary_of(spec, made)
    domains = []
    for name, source, process in zip(domain_names(spec.sources), spec.sources, made, strict=True):
        progress(
            f"{name}: making {spec.token_budget:,} train tokens of entropy {process.entropy_nats_per_token:.6f} nats "
            "per token"
        )
        domains.append(_domain(name, source, process, spec, folder))
    return assemble(spec=spec, vocabulary_size=vocabulary, separator_token=None, tokenizer=None, domains=tuple(domains))


def _domain(name: str, source: Source, process: ContextTree | ZipfFacts, spec: DataSpec, folder: Path) -> Domain:
    held_out = max(1, round(spec.token_budget * spec.validation_fraction / (1 - spec.validation_fraction)))
    wanted = {TRAIN: spec.token_budget, VALIDATION: held_out}
    block = _BLOCKS[type(process)]
    places = [(stream, number) for stream, tokens in wanted.items() for number in range(math.ceil(tokens / block))]
    writers = {
        stream: ShardWriter(folder, f"{name}-{split}", process.vocabulary)
        for stream, split in ((TRAIN, "train"), (VALIDATION, "validation"))
    }
    for (stream, _), tokens in zip(places, process.blocks(places), strict=True):
        writers[stream].append(tokens[: wanted[stream] - writers[stream].tokens])
    for writer in writers.values():
        writer.close()
    train, validation = writers[TRAIN], writers[VALIDATION]
    return Domain(
        name=name,
        source=source.text,
        source_fingerprint=None,
        licence="none needed (generated)",
        train_tokens=train.tokens,
        validation_tokens=validation.tokens,
        train_bytes=0,
        validation_bytes=0,
        train_documents=train.documents,
        validation_documents=validation.documents,
        validation_groups=validation.documents,
        duplicates_removed=0,
        entropy_nats_per_token=process.entropy_nats_per_token,
        opening_excess_nats=process.opening_excess_nats,
        train_shard=record_of(train.shard),
        validation_shard=record_of(validation.shard),
        train_offsets=record_of(train.offsets),
        validation_offsets=record_of(validation.offsets),
    )
