"""Token shards: one flat little-endian file of ids per domain and split, with a table of document starts."""

from array import array
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt


def token_dtype(vocabulary_size: int) -> Literal["uint16", "uint32"]:
    """The narrower of uint16 and uint32 that holds every id."""
    return "uint16" if vocabulary_size <= 1 << 16 else "uint32"


class ShardWriter:
    """Writes documents, as token ids, to a shard. `close` writes the table of offsets beside it."""

    def __init__(self, folder: Path, name: str, vocabulary_size: int) -> None:
        self.shard = folder / f"{name}.bin"
        self.offsets = folder / f"{name}-documents.npy"
        self._vocabulary_size = vocabulary_size
        self._dtype = np.dtype(token_dtype(vocabulary_size)).newbyteorder("<")
        self._starts = array("q", [0])
        self._file = self.shard.open("wb")

    @property
    def tokens(self) -> int:
        return self._starts[-1]

    @property
    def documents(self) -> int:
        return len(self._starts) - 1

    def append(self, ids: npt.NDArray[np.unsignedinteger[Any]]) -> None:
        """Write one document. Raises ValueError for an id outside the vocabulary."""
        if ids.size and int(ids.max()) >= self._vocabulary_size:
            raise ValueError(f"token id {int(ids.max())} in a vocabulary of {self._vocabulary_size}")
        self._file.write(ids.astype(self._dtype, copy=False).tobytes())
        self._starts.append(self.tokens + ids.size)

    def close(self) -> None:
        self._file.close()
        np.save(self.offsets, np.asarray(self._starts, dtype=np.int64))
