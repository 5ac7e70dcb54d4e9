"""Which groups of documents are held out: decided by a stable hash of the group, not by order or chance."""

import hashlib

import numpy as np
import numpy.typing as npt

from windtunnel.train.errors import InputError


def group_hash(split_seed: int, group: str) -> int:
    """A 64-bit hash of a group, the same on every machine."""
    data = f"{split_seed}\x1f{group}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def choose_validation(
    group_hashes: npt.ArrayLike, group_bytes: npt.ArrayLike, fraction: float
) -> npt.NDArray[np.bool_]:
    """(groups,) True for the held-out groups.

    Groups are visited in the order of their hashes; a group is held out if it brings the held-out bytes nearer to
    `fraction` of all. With many small groups this is a threshold on the hash. Neither side is ever empty.
    Raises InputError for fewer than two groups.
    """
    hashes = np.asarray(group_hashes, dtype=np.uint64)
    sizes = np.asarray(group_bytes, dtype=np.int64)
    if len(sizes) < 2:
        raise InputError(
            "all documents are of one group, so none can be held out: choose another group field or add documents"
        )
    target = fraction * float(sizes.sum())
    held_out = np.zeros(len(sizes), dtype=np.bool_)
    total = 0
    for group in np.argsort(hashes, kind="stable").tolist():
        if total >= target:
            break
        size = int(sizes[group])
        if abs(total + size - target) < abs(total - target) and held_out.sum() != len(sizes) - 1:
            held_out[group] = True
            total += size
    if not total:
        held_out[int(np.argmin(sizes))] = True
    return held_out
