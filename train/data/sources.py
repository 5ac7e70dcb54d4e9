"""What each kind of text source is: its documents, licence, fingerprint and domain name."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from windtunnel.train.data import bundled_corpora as packaged
from windtunnel.train.data import files
from windtunnel.train.data.documents import Document
from windtunnel.train.data.specification import DataSpec, Source


def documents(source: Source, spec: DataSpec) -> Iterator[Document]:
    """The documents of a text source, in its own fixed order."""
    if source.kind in packaged.LICENCES:
        return packaged.read(source.kind)
    if source.kind == "text":
        return files.read_text(source.argument)
    if source.kind == "hub":
        return files.read_hub(source.argument, spec.text_field, spec.group_field)
    return files.read_records(source.kind, source.argument, spec.text_field, spec.group_field)


def licence(source: Source) -> str:
    """The licence of a text source as far as it is known without asking."""
    if source.kind in packaged.LICENCES:
        return packaged.LICENCES[source.kind]
    if source.kind == "hub":
        return f"see the hub page of {source.argument.partition(':')[0]}"
    return "as the files were given"


def fingerprint(source: Source) -> str | None:
    """What a source is now: a package version, or a digest over files; None where nothing can be said without the
    network.
    """
    if source.kind in packaged.LICENCES:
        return packaged.fingerprint(source.kind)
    if source.kind in ("text", "jsonl", "parquet"):
        return files.fingerprint(source.argument)
    return None


def content_digest(source: Source) -> str | None:
    """Of the files of a source, all of which are read for it; None where it has none."""
    return files.content_digest(source.argument) if source.kind in ("text", "jsonl", "parquet") else None


def domain_names(sources: Sequence[Source]) -> list[str]:
    """A name for each domain that may stand in a file or metric name; a second of the same name gets a number."""
    names: list[str] = []
    for source in sources:
        last = PurePath(source.argument.partition("?")[0]).name.partition(".")[0]
        slug = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")
        name = slug if source.kind == "synthetic" else f"{source.kind}-{slug}".rstrip("-")
        taken = sum(1 for other in names if re.fullmatch(rf"{re.escape(name)}(-\d+)?", other))
        names.append(f"{name}-{taken + 1}" if taken else name)
    return names
