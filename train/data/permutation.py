"""A keyed permutation of 0 ... size-1 with O(1) access to any element: no table, no state, integers only.

An alternating Feistel network over the smallest power of two that covers `size`, followed by cycle walking: an image
outside 0 ... size-1 is mapped again until it is inside, so the map stays a bijection (Black and Rogaway, "Ciphers with
arbitrary finite domains", 2002). The two halves may differ by one bit, so the domain is smaller than twice `size`.

It is a shuffle, not a secure cipher. Over keys, every image is equally likely for sizes from 5 up, and within a few
percent below.
"""

import hashlib
import math

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

CHUNK = 1 << 15  # elements, so that the working arrays stay in the L2 cache
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
# Nothing-up-my-sleeve numbers: the first 64 bits of the fractional parts of sqrt(2), sqrt(3), ...
_ROUND_CONSTANTS = [
    np.uint64(math.isqrt(prime << 128) & 0xFFFFFFFFFFFFFFFF) for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
]


def derive_key(*parts: int | str) -> int:
    """A 64-bit key from names and numbers, the same on every machine."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


MIX_STEPS = ((np.uint64(30), _FIRST), (np.uint64(27), _SECOND), (np.uint64(31), None))  # (shift, multiplier)


def mix(words: Words) -> Words:
    """The splitmix64 finalizer (Steele, Lea and Flood 2014), elementwise: a bijection that mixes 64 bits."""
    for shift, multiplier in MIX_STEPS:
        words = words ^ (words >> shift)
        if multiplier is not None:
            words = words * multiplier
    return words


def subkeys(key: int, numbers: Integers) -> Words:
    """One 64-bit key per number (an epoch, for example), derived from `key`."""
    return mix(np.asarray(numbers).astype(np.uint64) * _GOLDEN + np.uint64(key))


def permute(index: Integers, size: int, key: int | Words) -> Integers:
    """The images of `index` under the permutation of 0 ... size-1 with this key.

    `key` is a 64-bit integer, or an array with one key per index. Raises IndexError for an index outside 0 ... size-1.
    """
    flat = np.ascontiguousarray(index, dtype=np.int64).reshape(-1)
    if size < 1 or (flat.size and (int(flat.min()) < 0 or int(flat.max()) >= size)):
        raise IndexError(f"an index lies outside 0 ... {size - 1}")
    keys = np.broadcast_to(np.asarray(key, dtype=np.uint64), flat.shape) if not isinstance(key, int) else None
    image = np.empty(flat.size, dtype=np.int64)
    for start in range(0, flat.size, CHUNK):
        part = slice(start, start + CHUNK)
        if keys is None:
            assert isinstance(key, int)
            chunk_key: Words = np.array([key], dtype=np.uint64)
        else:
            chunk_key = keys[part]
        image[part] = _walk(flat[part].astype(np.uint64), size, chunk_key)
    return image.reshape(np.shape(index))


def _walk(words: Words, size: int, key: Words) -> Integers:
    bits = max(4, (size - 1).bit_length())
    rounds = 10 if bits < 12 else 6  # short halves mix slowly
    round_keys = [key + constant for constant in _ROUND_CONSTANTS[:rounds]]
    words = _feistel(words, bits, round_keys)
    outside = np.flatnonzero(words >= size)
    while outside.size:
        kept_keys = round_keys if key.size == 1 else [round_key[outside] for round_key in round_keys]
        words[outside] = _feistel(words[outside], bits, kept_keys)
        outside = outside[words[outside] >= size]
    return words.astype(np.int64)


def _feistel(words: Words, bits: int, round_keys: list[Words]) -> Words:
    low_bits = np.uint64(bits // 2)
    low_mask = np.uint64((1 << (bits // 2)) - 1)
    high_mask = np.uint64((1 << (bits - bits // 2)) - 1)
    low, high = words & low_mask, words >> low_bits
    for number, round_key in enumerate(round_keys):
        if number % 2 == 0:
            high ^= _scramble(low, round_key) & high_mask
        else:
            low ^= _scramble(high, round_key) & low_mask
    return (high << low_bits) | low


def _scramble(half: Words, round_key: Words) -> Words:
    word = (half + round_key) * _FIRST
    word ^= word >> np.uint64(29)
    word *= _SECOND
    word >>= np.uint64(32)  # the upper half of a product is the better mixed one
    return word
