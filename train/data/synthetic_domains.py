"""Shards of synthetic sources: blocks of a train and a validation stream, with the exact entropy in the manifest."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from windtunnel.train.data import context_tree, zipf_facts
from windtunnel.train.data.context_tree import ContextTree
from windtunnel.train.data.manifest import Domain, Manifest, file_record, make_manifest
from windtunnel.train.data.shards import ShardWriter
from windtunnel.train.data.sources import domain_names
from windtunnel.train.data.specification import DataSpec, Source
from windtunnel.train.data.zipf_facts import ZipfFacts
from windtunnel.train.errors import InputError

Progress = Callable[[str], None]
Process = ContextTree | ZipfFacts
TRAIN, VALIDATION = 0, 1  # streams of independent draws
_BLOCK_TOKENS = {ContextTree: context_tree.BLOCK_TOKENS, ZipfFacts: zipf_facts.BLOCK_TOKENS}


def make_process(source: Source) -> Process:
    """The process of a source. Raises InputError for an unknown name, option or value."""
    options = dict(source.options)
    process: Process
    if source.argument == "context-tree":
        vocabulary, zipf = _pop_integer(options, "vocabulary", 1024, source), options.pop("zipf", "1.2")
        process = ContextTree(vocabulary, zipf, _pop_integer(options, "seed", 0, source))
        names = "vocabulary, zipf, seed"
    elif source.argument == "zipf-facts":
        alpha, levels = options.pop("alpha", "0.35"), _pop_integer(options, "levels", 24, source)
        process = ZipfFacts(alpha, levels, _pop_integer(options, "seed", 0, source))
        names = "alpha, levels, seed"
    else:
        raise InputError(f"{source.text} is not a synthetic source: use synthetic:context-tree or synthetic:zipf-facts")
    if options:
        raise InputError(f"{source.text} has no option {next(iter(options))!r}: use {names}")
    return process


def _pop_integer(options: dict[str, str], name: str, default: int, source: Source) -> int:
    text = options.pop(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise InputError(f"{source.text}?{name}={text}: give a whole number, for example {name}={default}")
    return int(text)


def make_processes(spec: DataSpec) -> list[Process]:
    """The processes of a synthetic specification, in order."""
    return [make_process(source) for source in spec.sources]


def vocabulary_size_of(spec: DataSpec, processes: Sequence[Process]) -> int:
    """The vocabulary size that the processes share.

    Raises InputError if they have different sizes, or `spec.vocabulary` is neither their size nor 0.
    """
    vocabularies = {process.vocabulary for process in processes}
    if len(vocabularies) > 1:
        raise InputError(
            f"{spec.spec}: its sources have vocabularies {sorted(vocabularies)}: prepare them as separate datasets"
        )
    vocabulary = vocabularies.pop()
    if spec.vocabulary not in (0, vocabulary):
        raise InputError(
            f"vocabulary={spec.vocabulary}: {spec.spec} has its own of {vocabulary}: leave it out, or give 0 or "
            f"{vocabulary}"
        )
    return vocabulary


def build(spec: DataSpec, folder: Path, progress: Progress) -> Manifest:
    """Write exactly `token_budget` train tokens of each source into `folder`; return the manifest, not written yet.

    Validation has validation_fraction / (1 - validation_fraction) times as many tokens. A block is a document in the
    table of documents. Raises InputError for impossible options.
    """
    processes = make_processes(spec)
    vocabulary = vocabulary_size_of(spec, processes)
    domains = []
    for name, source, process in zip(domain_names(spec.sources), spec.sources, processes, strict=True):
        progress(
            f"{name}: making {spec.token_budget:,} train tokens of entropy {process.entropy_nats_per_token:.6f} nats "
            "per token"
        )
        domains.append(_write_domain(name, source, process, spec, folder))
    return make_manifest(
        spec=spec, vocabulary_size=vocabulary, separator_token=None, tokenizer=None, domains=tuple(domains)
    )


def _write_domain(name: str, source: Source, process: Process, spec: DataSpec, folder: Path) -> Domain:
    held_out = max(1, round(spec.token_budget * spec.validation_fraction / (1 - spec.validation_fraction)))
    num_tokens = {TRAIN: spec.token_budget, VALIDATION: held_out}
    block = _BLOCK_TOKENS[type(process)]
    block_ids = [(stream, number) for stream, count in num_tokens.items() for number in range(math.ceil(count / block))]
    writers = {
        stream: ShardWriter(folder, f"{name}-{split}", process.vocabulary)
        for stream, split in ((TRAIN, "train"), (VALIDATION, "validation"))
    }
    for (stream, _), tokens in zip(block_ids, process.blocks(block_ids), strict=True):
        writers[stream].append(tokens[: num_tokens[stream] - writers[stream].tokens])
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
        train_shard=file_record(train.shard),
        validation_shard=file_record(validation.shard),
        train_offsets=file_record(train.offsets),
        validation_offsets=file_record(validation.offsets),
    )
