"""Vocabularies: text to token ids and ids to byte counts, for raw bytes and for byte-level byte-pair encoding (BPE)."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from windtunnel.train.errors import InputError

if TYPE_CHECKING:  # start-up: bytes need no tokenizer
    from tokenizers import Tokenizer

SEPARATOR_TEXT = "<|endoftext|>"
BYTE_SEPARATOR = 0  # NUL, which documents must not contain
BPE_SEPARATOR = 0  # the id of SEPARATOR_TEXT, the first token of the tokenizer
BATCH_BYTES = 1 << 20


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> "Tokenizer":
    """A byte-level BPE tokenizer with exactly `vocabulary` tokens, including the separator and 256 bytes.

    Deterministic in the texts. Raises InputError if they have too few different pairs for so many tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # start-up: bytes need no tokenizer

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[SEPARATOR_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    size = tokenizer.get_vocab_size()
    if size != vocabulary:
        raise InputError(
            f"vocabulary={vocabulary} is larger than the train text supports ({size}): lower it to {size} or add text"
        )
    tokenizer.encode_special_tokens = True
    return tokenizer


def load_tokenizer(path: Path) -> "Tokenizer":
    """The tokenizer of a prepared folder. It encodes `<|endoftext|>` in a text as ordinary text."""
    from tokenizers import Tokenizer  # start-up: bytes need no tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True  # not stored in the file
    return tokenizer


def byte_lengths(tokenizer: "Tokenizer") -> npt.NDArray[np.int64]:
    """(V,) bytes of text per token: the characters of a byte-level token are bytes. The separator has none."""
    lengths = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    for token, number in tokenizer.get_vocab().items():
        lengths[number] = len(token)
    lengths[BPE_SEPARATOR] = 0
    return lengths


def encode_bytes(documents: Iterable[bytes]) -> Iterator[npt.NDArray[np.uint8]]:
    """The ids of each document, with the separator at the end."""
    for document in documents:
        yield np.frombuffer(document + bytes([BYTE_SEPARATOR]), dtype=np.uint8)


def encode_bpe(documents: Iterable[bytes], tokenizer: "Tokenizer") -> Iterator[npt.NDArray[np.uint32]]:
    """The ids of each document, with the separator at the end."""
    remaining = iter(documents)
    while batch := list(_batch(remaining)):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield np.array([*encoding.ids, BPE_SEPARATOR], dtype=np.uint32)


def _batch(documents: Iterator[bytes]) -> Iterator[str]:
    size = 0
    for document in islice(documents, 1024):
        size += len(document)
        yield document.decode("utf-8")
        if size >= BATCH_BYTES:
            return
