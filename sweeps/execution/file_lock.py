"""A lock that one process at a time holds, released by the kernel however that process ends."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windtunnel.train.errors import InputError

TICK_SECONDS = 0.1


@contextmanager
def held(path: Path, patience_seconds: float, busy: str) -> Iterator[None]:
    """Holds the lock of that file, which stays: removing it would let two hold two. Raises InputError(busy) where
    another process still has it after so many seconds, and where the file cannot be made.
    """
    deadline = time.monotonic() + patience_seconds
    try:
        file = path.open("ab")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); use another folder") from None
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise InputError(busy) from None
                time.sleep(TICK_SECONDS)
        yield
