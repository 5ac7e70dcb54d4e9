"""Text to token ids and back to byte counts: bytes themselves, or byte-level byte-pair encoding."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from windtunnel.train.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SEPARATOR_TEXT = "<|endoftext|>"
BYTE_SEPARATOR = 0  # NUL, which no text document may hold
MERGED_SEPARATOR = 0  # the id of SEPARATOR_TEXT, the tokenizer's first token
BATCH_BYTES = 1 << 20


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> "Tokenizer":
    """A byte-level BPE tokenizer with exactly `vocabulary` tokens, the separator and 256 bytes among them.

    Deterministic in the texts. Raises InputError where they hold too few different pairs for that many tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

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
    reached = tokenizer.get_vocab_size()
    if reached != vocabulary:
        raise InputError(
            f"vocabulary={vocabulary} is larger than the train text supports ({reached}): lower it to {reached} or add "
            "text"
        )
    tokenizer.encode_special_tokens = True
    return tokenizer


def load_tokenizer(path: Path) -> "Tokenizer":
    """The tokenizer of a prepared folder; `<|endoftext|>` in a text is ordinary text, never the separator."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True  # a setting that the file does not carry
    return tokenizer


def byte_lengths(tokenizer: "Tokenizer") -> npt.NDArray[np.int64]:
    """(V,) bytes of text per token; every character of a byte-level token stands for a byte. The separator has none."""
    lengths = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    for token, number in tokenizer.get_vocab().items():
        lengths[number] = len(token)
    lengths[MERGED_SEPARATOR] = 0
    return lengths


def encode_bytes(documents: Iterable[bytes]) -> Iterator[npt.NDArray[np.uint8]]:
    """The ids of each document, the separator last."""
    for document in documents:
        yield np.frombuffer(document + bytes([BYTE_SEPARATOR]), dtype=np.uint8)


def encode_merged(documents: Iterable[bytes], tokenizer: "Tokenizer") -> Iterator[npt.NDArray[np.uint32]]:
    """The ids of each document, the separator last."""
    waiting = iter(documents)
    while batch := list(_batch(waiting)):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield np.array([*encoding.ids, MERGED_SEPARATOR], dtype=np.uint32)


def _batch(documents: Iterator[bytes]) -> Iterator[str]:
    size = 0
    for document in islice(documents, 1024):
        size += len(document)
        yield document.decode("utf-8")
        if size >= BATCH_BYTES:
            return
