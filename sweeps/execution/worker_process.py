"""The launcher's handle of a worker process: start it, submit a job, read its replies, end it."""

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

from windtunnel.sweeps.execution.job import Job, dump_job
from windtunnel.sweeps.planning.devices import Device

STDERR_TAIL_BYTES = 4096
_SOURCE_ROOT = str(Path(__file__).parents[3])


class WorkerProcess:
    """A worker on a device. `since` is when it started or got its job."""

    def __init__(self, device: Device, number: int) -> None:
        self.device, self.number = device, number
        self.job: Job | None = None
        self.ready = False
        self.since = time.monotonic()
        self._unread = b""  # an incomplete line of its replies
        # A file rather than a pipe: it never blocks the worker, and stays valid after the launcher has ended.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `kill`
        self._stderr_read = 0
        search_path = os.pathsep.join(part for part in (_SOURCE_ROOT, os.environ.get("PYTHONPATH")) if part)
        self._process = subprocess.Popen(
            # -P: modules in the working directory are not imported.
            [sys.executable, "-P", "-m", "windtunnel.sweeps.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **device.environment, "PYTHONPATH": search_path},
            start_new_session=True,  # Ctrl-C reaches the launcher alone, which lets workers save
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def reply_descriptor(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    @property
    def has_exited(self) -> bool:
        return self._process.poll() is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    def submit(self, job: Job) -> None:
        """Send a job. Where the worker has exited, the pool reports it."""
        self.job, self.since = job, time.monotonic()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(dump_job(job) + b"\n")
            self._process.stdin.flush()

    def read_replies(self) -> list[dict[str, Any]]:
        """The replies since the last call."""
        with suppress(BlockingIOError):
            while part := os.read(self.reply_descriptor, 1 << 16):
                self._unread += part
        *lines, self._unread = self._unread.split(b"\n")
        return [json.loads(line) for line in lines]

    def read_notes(self) -> list[str]:
        """The notes of training (`note: ...`) since the last call."""
        text = os.pread(self._stderr.fileno(), 1 << 20, self._stderr_read)
        complete = text[: text.rfind(b"\n") + 1]
        self._stderr_read += len(complete)
        return [line for line in complete.decode(errors="replace").splitlines() if line.startswith("note: ")]

    def exit_message(self) -> str:
        """How it ended, with the last line of its standard error."""
        code = self._process.returncode
        reason = f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"exit status {code}"
        tail = self._stderr_tail()
        return f"its worker ended ({reason})" + (f": {tail[-1]}" if tail else "")

    def _stderr_tail(self) -> list[str]:
        size = os.fstat(self._stderr.fileno()).st_size
        text = os.pread(self._stderr.fileno(), STDERR_TAIL_BYTES, max(0, size - STDERR_TAIL_BYTES))
        return [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]

    def stop(self) -> None:
        """Let it save its run and exit."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._stderr):
            with suppress(OSError):
                if file is not None:
                    file.close()
