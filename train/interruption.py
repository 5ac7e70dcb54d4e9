"""Being told to stop: SIGINT and SIGTERM on a machine of one's own, SIGUSR2 and SIGTERM under SLURM.

A handler only takes a note; the loop saves after the step in hand. Under SLURM, SIGTERM announces that the job may be
requeued, and a job that ends by itself in the grace time is not: so it saves and goes on. SIGUSR2 belongs to whoever
asks for another go of the job, where someone listens to it: submitit, whose handler is called after saving, or the
task of a sweep (`windtunnel.sweeps.slurm.worker`).
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


class Interruption:
    """Context in which signals are noted. `stop`: end after saving. `save`: save and go on."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.stop = False
        self.save = False
        self._owner = os.getpid()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python cannot install handlers
            numbers = [signal.SIGINT, signal.SIGTERM]
            if callable(signal.getsignal(signal.SIGUSR2)):
                numbers.append(signal.SIGUSR2)
            for number in numbers:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            return  # SLURM signals every process of a step, forked children too
        if number == signal.SIGINT and self.stop:
            raise KeyboardInterrupt  # asked twice: at once
        self.signal = number
        if number == signal.SIGTERM and "SLURM_JOB_ID" in os.environ:
            self.save = True
        else:
            self.stop = True

    def requeue(self) -> Handler | None:
        """The handler that requeues this job, to be called after everything is saved; None if no one asked for that."""
        if self.signal == signal.SIGUSR2:
            handler: Handler = self._previous[signal.SIGUSR2]
            return handler
        return None
