"""The documents, license, fingerprint and domain name of each kind of text source."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from windtunnel.train.data import bundled_corpora, files
from windtunnel.train.data.documents import Document
from windtunnel.train.data.specification import DataSpec, Source

FILE_KINDS = ("text", "jsonl", "parquet")


def documents(source: Source, spec: DataSpec) -> Iterator[Document]:
    """The documents of a text source, in a fixed order."""
    if source.kind in bundled_corpora.LICENSES:
        return bundled_corpora.read(source.kind)
    if source.kind == "text":
        return files.read_text(source.argument)
    if source.kind == "hub":
        return files.read_hub(source.argument, spec.text_field, spec.group_field)
    return files.read_records(source.kind, source.argument, spec.text_field, spec.group_field)


def source_license(source: Source) -> str:
    """The license of a text source, as far as it is known without the network."""
    if source.kind in bundled_corpora.LICENSES:
        return bundled_corpora.LICENSES[source.kind]
    if source.kind == "hub":
        return f"see the hub page of {source.argument.partition(':')[0]}"
    return "as the files were given"


def fingerprint(source: Source) -> str | None:
    """The current state of a source: a package version, or a digest of file names, sizes and times.

    None if the package or the files are absent, and for hub and synthetic sources.
    """
    if source.kind in bundled_corpora.LICENSES:
        return bundled_corpora.fingerprint(source.kind)
    return files.fingerprint(source.argument) if source.kind in FILE_KINDS else None


def content_digest(source: Source) -> str | None:
    """A digest of the files of a source, all of which are read; None for a source without files."""
    return files.content_digest(source.argument) if source.kind in FILE_KINDS else None


def domain_names(sources: Sequence[Source]) -> list[str]:
    """A name for each domain, safe in file and metric names. A repeated name gets a number."""
    names: list[str] = []
    for source in sources:
        last = PurePath(source.argument.partition("?")[0]).name.partition(".")[0]
        slug = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")
        name = slug if source.kind == "synthetic" else f"{source.kind}-{slug}".rstrip("-")
        count = sum(1 for other in names if re.fullmatch(rf"{re.escape(name)}(-\d+)?", other))
        names.append(f"{name}-{count + 1}" if count else name)
    return names
