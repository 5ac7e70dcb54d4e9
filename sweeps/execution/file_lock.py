"""A lock that excludes other processes. The kernel releases it when its process ends, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from windtunnel.train.errors import InputError

POLL_SECONDS = 0.1


@contextmanager
def exclusive_lock(path: Path, timeout_seconds: float, busy: str) -> Iterator[None]:
    """Hold the lock of a file. Raises InputError with the message `busy` where another process holds it for longer than
    `timeout_seconds`, and where the file cannot be created.
    """
    try:
        lock = FileLock(path, timeout=timeout_seconds, poll_interval=POLL_SECONDS).acquire()
    except Timeout:
        raise InputError(busy) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); use another folder") from None
    with lock:
        yield
