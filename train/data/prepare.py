"""From a specification to a folder of token shards: once, atomically, whoever asks and however often."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from windtunnel.train.data import synthetic_domains, text_domains
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.manifest import MANIFEST_NAME, Manifest, load
from windtunnel.train.data.sources import content_digest, fingerprint
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.errors import InputError

__all__ = ["DataSpec", "planned_vocabulary", "prepare", "prepared_folder"]


def prepared_folder(spec: DataSpec, data_directory: Path) -> Path:
    """Where `prepare` puts (or has put) the data set."""
    return Path(data_directory) / spec.folder_name


def planned_vocabulary(spec: DataSpec) -> int:
    """The vocabulary size that the data set will have, known before it is made. Raises InputError where none can be."""
    if spec.sources[0].kind != "synthetic":
        return spec.vocabulary
    return synthetic_domains.vocabulary_of(spec, synthetic_domains.open_sources(spec))


def prepare(spec: DataSpec, data_directory: Path, *, progress: Callable[[str], None] = lambda message: None) -> Path:
    """The folder of the prepared data set, made now if it is not there.

    Built in a sibling folder and renamed when whole; processes that ask at the same time wait for the one that builds.
    `progress` is given one line per step. Raises InputError for input that cannot be prepared, for a folder that holds
    something else, and for input files that changed since.
    """
    folder = prepared_folder(spec, data_directory)
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder.parent} cannot be made ({error.strerror}): name another data_directory"
            ) from None
        with _lock(folder.with_name(f".{folder.name}.lock"), progress):
            if not folder.exists():
                _build(spec, folder, progress)
    _check(spec, folder)
    return folder


@contextmanager
def _lock(path: Path, progress: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for the process that prepares {path.name.removeprefix('.').removesuffix('.lock')}")
            fcntl.flock(file, fcntl.LOCK_EX)
        # Closing the file releases the lock. The file stays: removing it would let two processes hold two locks.
        yield


def _build(spec: DataSpec, folder: Path, progress: Callable[[str], None]) -> None:
    for abandoned in folder.parent.glob(f".{folder.name}.building-*"):
        shutil.rmtree(abandoned)  # of a process that was killed: we hold its lock
    building = folder.with_name(f".{folder.name}.building-{os.getpid()}")
    building.mkdir()
    try:
        domains = synthetic_domains if spec.sources[0].kind == "synthetic" else text_domains
        domains.build(spec, building, progress).write(building)
        Corpus(building).verify_once()  # where it is then used, the folder may be read-only
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _check(spec: DataSpec, folder: Path) -> None:
    manifest = load(folder)
    if manifest.spec != spec:
        raise InputError(
            f"{folder} holds another spec ({manifest.spec.spec}) than {spec.spec}: remove it or name another "
            "data_directory"
        )
    changed = _changed(manifest)
    if changed:
        raise InputError(
            f"the input of {changed} changed since {folder / MANIFEST_NAME} was written: remove {folder} and prepare "
            "again"
        )


def _changed(manifest: Manifest) -> str | None:
    """The first source that is not what it was. Files are read again only where their sizes or times differ: they may
    have been copied or touched.
    """
    for source, domain in zip(manifest.spec.sources, manifest.domains, strict=True):
        now = fingerprint(source)
        if now is None or now == domain.source_fingerprint:
            continue
        if domain.source_digest is None or content_digest(source) != domain.source_digest:
            return domain.source
    return None
