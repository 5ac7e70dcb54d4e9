"""The launcher's hand on a worker process: start it, give it a job, hear its answers, end it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from windtunnel.sweeps.execution.devices import Device
from windtunnel.sweeps.execution.job import Job, write_job

LAST_WORDS_BYTES = 4096
_HOUSE = str(Path(__file__).parents[3])


class WorkerProcess:
    """A worker on a device. `job` is the one in its hands; `since` when it was given, or the worker started."""

    def __init__(self, device: Device, number: int) -> None:
        self.device, self.number = device, number
        self.job: Job | None = None
        self.ready = False
        self.since = time.monotonic()
        self._heard = b""
        # A file rather than a pipe: it never blocks the worker, nor breaks under one that outlives the launcher.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `kill`
        self._errors_read = 0
        search = os.pathsep.join(part for part in (_HOUSE, os.environ.get("PYTHONPATH")) if part)
        self._process = subprocess.Popen(
            # -P: a folder in the working directory is never ours.
            [sys.executable, "-P", "-m", "windtunnel.sweeps.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **device.environment, "PYTHONPATH": search},
            start_new_session=True,  # Ctrl-C is for the launcher, which lets workers save
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def answers_descriptor(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    @property
    def identity(self) -> int:
        return self._process.pid

    def give(self, job: Job) -> None:
        """What is given to a worker that has died shows in its death."""
        self.job, self.since = job, time.monotonic()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(write_job(job) + b"\n")
            self._process.stdin.flush()

    def answers(self) -> list[dict[str, Any]]:
        """What it has said since the last call."""
        with suppress(BlockingIOError):
            while part := os.read(self.answers_descriptor, 1 << 16):
                self._heard += part
        *lines, self._heard = self._heard.split(b"\n")
        return [json.loads(line) for line in lines]

    def notes(self) -> list[str]:
        """The notes of training (`note: ...`) since the last call."""
        text = os.pread(self._errors.fileno(), 1 << 20, self._errors_read)
        whole = text[: text.rfind(b"\n") + 1]
        self._errors_read += len(whole)
        return [line for line in whole.decode(errors="replace").splitlines() if line.startswith("note: ")]

    def death(self) -> str:
        """How it ended, in words, with the last line of its standard error."""
        code = self._process.returncode
        how = f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"exit status {code}"
        size = os.fstat(self._errors.fileno()).st_size
        words = os.pread(self._errors.fileno(), LAST_WORDS_BYTES, max(0, size - LAST_WORDS_BYTES))
        lines = [line.strip() for line in words.decode(errors="replace").splitlines() if line.strip()]
        return f"its worker ended ({how})" + (f": {lines[-1]}" if lines else "")

    def stop(self) -> None:
        """Let it save and end."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):
                if file is not None:
                    file.close()
