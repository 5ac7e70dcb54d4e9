"""Signals that stop training: SIGINT and SIGTERM on a workstation, SIGUSR2 and SIGTERM under SLURM.

A handler only sets flags; the loop saves a checkpoint after the current step. Under SLURM, SIGTERM announces that the
job may be requeued, and a job that exits within the grace time is not requeued. So the run saves and continues. SIGUSR2
belongs to the process that requeues the job, if it handles the signal: submitit, whose handler is called after saving,
or the task of a sweep (`windtunnel.sweeps.slurm.worker`).
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


class Interruption:
    """Context manager that turns signals into flags.

    stop: save, then end the run. save: save, then continue. signal: the last signal received, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.stop = False
        self.save = False
        self._owner = os.getpid()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # only the main thread can install handlers
            numbers = [signal.SIGINT, signal.SIGTERM]
            if callable(signal.getsignal(signal.SIGUSR2)):
                numbers.append(signal.SIGUSR2)
            for number in numbers:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            return  # SLURM signals every process of a step, forked children too
        if number == signal.SIGINT and self.stop:
            raise KeyboardInterrupt  # the second Ctrl-C stops at once
        self.signal = number
        if number == signal.SIGTERM and "SLURM_JOB_ID" in os.environ:
            self.save = True
        else:
            self.stop = True

    def requeue_handler(self) -> Handler | None:
        """The earlier handler of SIGUSR2 if that signal stopped the run, else None.

        It requeues the job, and must be called after everything is saved.
        """
        if self.signal == signal.SIGUSR2:
            handler: Handler = self._previous[signal.SIGUSR2]
            return handler
        return None
