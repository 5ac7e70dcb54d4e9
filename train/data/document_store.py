"""Temporary store of the documents of one domain on disk, without exact duplicates, so that a source is read once."""

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.documents import Document
from windtunnel.train.data.split import choose_validation, group_hash


class DocumentStore:
    """Documents in one file as UTF-8, in reading order, with the end, the group and (after `split`) the side of each.

    Arguments:
        path: the file; an existing one is overwritten.
        documents: the documents of the source.
        seen: digests of all documents of the dataset, shared by the stores of its domains. Of equal documents the
            first is kept, so no document is on both sides of the split.
        split_seed: seed of the split by group.

    Blank documents are dropped.
    """

    def __init__(self, path: Path, documents: Iterator[Document], seen: set[bytes], split_seed: int) -> None:
        self.path = path
        self.duplicates_removed = 0
        self.exhausted = False
        self._documents = documents
        self._seen = seen
        self._split_seed = split_seed
        self._ends = array("q")
        self._groups = array("q")
        self._group_numbers: dict[int, int] = {}  # hash of a group -> its number, in order of appearance
        self._held_out: npt.NDArray[np.bool_] | None = None  # (groups,) of the groups read before the split
        path.write_bytes(b"")

    @property
    def byte_count(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def document_count(self) -> int:
        return len(self._ends)

    def fill(self, min_bytes: int | None) -> None:
        """Read until the store has `min_bytes` bytes of at least two groups; None reads to the end of the source."""
        with self.path.open("ab") as file:
            while min_bytes is None or self.byte_count < min_bytes or len(self._group_numbers) < 2:
                document = next(self._documents, None)
                if document is None:
                    self.exhausted = True
                    return
                data = document.encode()
                if not data.strip():
                    continue
                digest = hashlib.blake2b(data, digest_size=16).digest()
                if digest in self._seen:
                    self.duplicates_removed += 1
                    continue
                self._seen.add(digest)
                group = document.group if document.group is not None else digest.hex()
                number = self._group_numbers.setdefault(group_hash(self._split_seed, group), len(self._group_numbers))
                file.write(data)
                self._ends.append(self.byte_count + len(data))
                self._groups.append(number)

    def split(self, fraction: float) -> None:
        """Choose the held-out groups among those read so far; groups that appear later belong to train.

        A domain of one document has no second group. Its tail is held out, from the start of the line nearest before
        the last `fraction` of its bytes. Raises InputError if all documents are of one group.
        """
        if self.document_count == 1:
            self._cut_tail(fraction)
        starts = [0, *self._ends[:-1]]
        sizes = np.zeros(len(self._group_numbers), dtype=np.int64)
        np.add.at(sizes, np.asarray(self._groups), np.asarray(self._ends) - np.asarray(starts))
        if self._held_out is None:
            self._held_out = choose_validation(np.array(list(self._group_numbers), dtype=np.uint64), sizes, fraction)

    def _cut_tail(self, fraction: float) -> None:
        data = self.path.read_bytes()
        cut = int(len(data) * (1 - fraction))
        line = data.rfind(b"\n", 0, cut) + 1
        if line > len(data) * (1 - 2 * fraction):
            cut = line
        while cut > 1 and data[cut] & 0xC0 == 0x80:  # inside a UTF-8 character
            cut -= 1
        if not 0 < cut < len(data):
            return
        self._ends = array("q", [cut, len(data)])
        self._groups = array("q", [0, 1])
        self._group_numbers = {0: 0, 1: 1}
        self._held_out = np.array([False, True])

    @property
    def held_out_groups(self) -> int:
        """Number of held-out groups. Call `split` first."""
        assert self._held_out is not None, "call split() first"
        return int(self._held_out.sum())

    def _is_held_out(self, group: int) -> bool:
        assert self._held_out is not None, "call split() first"
        return group < len(self._held_out) and bool(self._held_out[group])

    def read(self, *, held_out: bool, first: int = 0) -> Iterator[bytes]:
        """The documents of one side in reading order, from document number `first` on. Call `split` first."""
        with self.path.open("rb") as file:
            start = self._ends[first - 1] if first else 0
            file.seek(start)
            for number in range(first, len(self._ends)):
                end = self._ends[number]
                if self._is_held_out(self._groups[number]) == held_out:
                    yield file.read(end - start)
                else:
                    file.seek(end)
                start = end
