"""A prepared dataset, memory-mapped.

Shape legend: B windows, T sequence length (tokens predicted per window), V vocabulary.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from windtunnel.train.data.manifest import MANIFEST_NAME, FileRecord, Manifest, file_sha256, load_manifest
from windtunnel.train.data.vocabulary import byte_lengths, load_tokenizer
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

VERIFIED_NAME = ".verified.json"  # {file name: [bytes, mtime_ns]} at the last `verify` that passed
Split = Literal["train", "validation"]
Tokens = npt.NDArray[np.unsignedinteger[Any]]
Integers = npt.NDArray[np.int64]


class Corpus:
    """A prepared folder. Opening it checks the manifest, the size of every file and the hash of the tokenizer.

    Opening reads no tokens: `verify` and `verify_if_changed` do. Raises InputError for a missing or changed file.
    """

    manifest: Manifest
    folder: Path

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = load_manifest(self.folder)
        for record in self.manifest.files:
            _check_size(self.folder, record)
        if self.manifest.tokenizer is not None:
            _check_hash(self.folder, self.manifest.tokenizer)
        self._tokens = {
            (split, number): self._map(domain.train_shard if split == "train" else domain.validation_shard)
            for number, domain in enumerate(self.manifest.domains)
            for split in ("train", "validation")
        }

    def _map(self, record: FileRecord) -> Tokens:
        return np.memmap(
            self.folder / record.name, dtype=np.dtype(self.manifest.token_dtype).newbyteorder("<"), mode="r"
        )

    def train_tokens(self, domain: int) -> Tokens:
        """The train tokens of a domain, memory-mapped: uint16, or uint32 for a vocabulary above 65,536."""
        return self._tokens["train", domain]

    def validation_tokens(self, domain: int) -> Tokens:
        """The held-out tokens of a domain, memory-mapped."""
        return self._tokens["validation", domain]

    def document_offsets(self, domain: int, split: Split) -> Integers:
        """(documents + 1,) the first token of each document, and the end of the last document."""
        files = self.manifest.domains[domain]
        record = files.train_offsets if split == "train" else files.validation_offsets
        offsets: Integers = np.load(self.folder / record.name, mmap_mode="r")
        return offsets

    def token_bytes(self) -> Integers | None:
        """(V,) bytes of text of each token; None for synthetic data, which has no text.

        The separator has no bytes: its loss counts toward the text before it. Bits per byte of any set of targets are
        exactly sum(nats) / (ln 2 * sum(token_bytes[targets])).
        """
        if self.manifest.separator_token is None:
            return None
        if self.manifest.tokenizer is None:
            lengths = np.ones(self.manifest.vocabulary_size, dtype=np.int64)
        else:
            lengths = byte_lengths(load_tokenizer(self.folder / self.manifest.tokenizer.name))
        lengths[self.manifest.separator_token] = 0
        return lengths

    def window_count(self, domain: int, sequence_length: int, split: Split = "train") -> int:
        """Number of whole windows of a domain. Window i has the tokens i*T ... i*T + T; the last T are predicted."""
        return window_count(len(self._tokens[split, domain]), sequence_length)

    def window_counts(self, sequence_length: int, split: Split = "train") -> list[int]:
        """`window_count` of every domain."""
        return [self.window_count(domain, sequence_length, split) for domain in range(len(self.manifest.domains))]

    def check_vocabulary(self, vocabulary_size: int) -> None:
        """Check that a model of `vocabulary_size` tokens covers every token id. Raises InputError otherwise."""
        if vocabulary_size < self.manifest.vocabulary_size:
            raise InputError(
                f"{self.folder} has token ids up to {self.manifest.vocabulary_size - 1} but the model's vocabulary is "
                f"{vocabulary_size}: set vocabulary_size to {self.manifest.vocabulary_size} or more"
            )

    def verify(self) -> None:
        """Read every file: check its sha256 and that every token id is below the vocabulary size. Raises InputError."""
        for record in self.manifest.files:
            _check_hash(self.folder, record)
        for (split, number), tokens in self._tokens.items():
            largest = max(
                (int(tokens[start : start + (1 << 24)].max()) for start in range(0, len(tokens), 1 << 24)), default=0
            )
            if largest >= self.manifest.vocabulary_size:
                name = self.manifest.domains[number].name
                raise InputError(
                    f"{self.folder}: {split} tokens of {name} hold id {largest} but the vocabulary is "
                    f"{self.manifest.vocabulary_size}: remove the folder and prepare it again"
                )

    def verify_if_changed(self) -> None:
        """`verify`, unless it passed before and no size or time of a file has changed since. Raises InputError.

        `.verified.json` in the folder records the state that passed. If the folder is read-only, every call verifies.
        """
        states = self._file_states()  # before reading: a file that changes meanwhile is verified again
        path = self.folder / VERIFIED_NAME
        try:
            verified = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            verified = None
        if verified == states:
            return
        self.verify()
        with suppress(OSError):
            write_atomically(path, json.dumps(states).encode() + b"\n")

    def _file_states(self) -> dict[str, list[int]]:
        states = {}
        for name in (MANIFEST_NAME, *(record.name for record in self.manifest.files)):
            try:
                state = (self.folder / name).stat()
            except OSError as error:
                raise InputError(
                    f"{self.folder / name} cannot be read ({error.strerror}): remove {self.folder} and prepare it again"
                ) from None
            states[name] = [state.st_size, state.st_mtime_ns]
        return states


def window_count(tokens: int, sequence_length: int) -> int:
    """Number of windows of T predicted tokens in a stream: (tokens - 1) // T. Only the first token is not predicted."""
    if sequence_length < 1:
        raise InputError(f"sequence_length={sequence_length} cannot be used: give 1 or more")
    return max(0, (tokens - 1) // sequence_length)


def read_windows(tokens: Tokens, window: Integers, sequence_length: int) -> Integers:
    """(B, T + 1) int64 tokens of the given windows of a stream; inputs are [:, :-1], targets [:, 1:]."""
    starts = np.asarray(window, dtype=np.int64) * sequence_length
    gathered: Integers = tokens[starts[:, None] + np.arange(sequence_length + 1)].astype(np.int64)
    return gathered


def _check_size(folder: Path, record: FileRecord) -> None:
    path = folder / record.name
    if not path.is_file():
        raise InputError(f"{path} is missing: remove {folder} and prepare it again")
    size = path.stat().st_size
    if size != record.bytes:
        state = "truncated" if size < record.bytes else "longer than its manifest says"
        raise InputError(
            f"{path} is {state} ({size:,} bytes, manifest: {record.bytes:,}): remove {folder} and prepare it again"
        )


def _check_hash(folder: Path, record: FileRecord) -> None:
    _check_size(folder, record)
    if file_sha256(folder / record.name) != record.sha256:
        raise InputError(
            f"{folder / record.name} differs from the hash in its manifest: remove {folder} and prepare it again"
        )
