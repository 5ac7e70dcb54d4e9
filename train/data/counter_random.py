"""Random words that are a pure function of (key, stream, block): no state passes from one block to the next."""

import numpy as np
import numpy.typing as npt


def block_words(key: int, stream: int, block: int, count: int) -> npt.NDArray[np.uint64]:
    """(count,) 64-bit words of a block: Philox 4x64 (Salmon et al. 2011) with the block in the upper counter words.

    Blocks of fewer than 2**66 words do not overlap.
    """
    generator = np.random.Philox(
        key=np.array([key, stream], dtype=np.uint64), counter=np.array([0, block, 0, 0], dtype=np.uint64)
    )
    words: npt.NDArray[np.uint64] = generator.random_raw(count)
    return words
