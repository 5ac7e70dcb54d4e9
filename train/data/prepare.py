"""Prepare a dataset: from a specification to a folder of token shards, once and atomically."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from windtunnel.train.data import synthetic_domains, text_domains
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.manifest import MANIFEST_NAME, Manifest, load_manifest
from windtunnel.train.data.sources import content_digest, fingerprint
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.errors import InputError

__all__ = ["DataSpec", "planned_vocabulary", "prepare", "prepared_folder"]


def prepared_folder(spec: DataSpec, data_directory: Path) -> Path:
    """The folder of the dataset, whether it is prepared or not."""
    return Path(data_directory) / spec.folder_name


def planned_vocabulary(spec: DataSpec) -> int:
    """The vocabulary size of a dataset, known before it is prepared. Raises InputError for an impossible one."""
    if spec.sources[0].kind != "synthetic":
        return spec.vocabulary
    return synthetic_domains.vocabulary_size_of(spec, synthetic_domains.make_processes(spec))


def prepare(spec: DataSpec, data_directory: Path, *, progress: Callable[[str], None] = lambda message: None) -> Path:
    """Prepare the dataset if it is not prepared yet, and return its folder.

    The dataset is built in a sibling folder and renamed when complete. Other processes that call this meanwhile wait.
    `progress` receives one line per step. Raises InputError for input that cannot be prepared, for a folder with other
    content, and for input files that changed since.
    """
    folder = prepared_folder(spec, data_directory)
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder.parent} cannot be created ({error.strerror}): choose another data_directory"
            ) from None
        with _lock(folder.with_name(f".{folder.name}.lock"), progress):
            if not folder.exists():
                _build(spec, folder, progress)
    _check(spec, folder)
    return folder


@contextmanager
def _lock(path: Path, progress: Callable[[str], None]) -> Iterator[None]:
    from filelock import FileLock, Timeout  # start-up: it loads asyncio, and plans do not prepare

    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        progress(f"waiting for the process that prepares {path.name.removeprefix('.').removesuffix('.lock')}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(spec: DataSpec, folder: Path, progress: Callable[[str], None]) -> None:
    for abandoned in folder.parent.glob(f".{folder.name}.building-*"):
        shutil.rmtree(abandoned)  # left by a process that was killed: the lock is ours
    building = folder.with_name(f".{folder.name}.building-{os.getpid()}")
    building.mkdir()
    try:
        domains = synthetic_domains if spec.sources[0].kind == "synthetic" else text_domains
        domains.build(spec, building, progress).write(building)
        Corpus(building).verify_if_changed()  # now, because later the folder may be read-only
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _check(spec: DataSpec, folder: Path) -> None:
    manifest = load_manifest(folder)
    if manifest.spec != spec:
        raise InputError(
            f"{folder} holds another spec ({manifest.spec.spec}) than {spec.spec}: remove it or choose another "
            "data_directory"
        )
    if changed := _changed_source(manifest):
        raise InputError(
            f"the input of {changed} changed since {folder / MANIFEST_NAME} was written: "
            f"remove {folder} and prepare it again"
        )


def _changed_source(manifest: Manifest) -> str | None:
    """The first source that changed since it was prepared.

    Files whose sizes or times differ are read again: they may have been copied or touched without a change.
    """
    for source, domain in zip(manifest.spec.sources, manifest.domains, strict=True):
        current = fingerprint(source)
        if current is None or current == domain.source_fingerprint:
            continue
        if domain.source_digest is None or content_digest(source) != domain.source_digest:
            return domain.source
    return None
