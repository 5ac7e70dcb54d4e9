"""Pool of worker subprocesses: spawned on demand, polled, terminated."""

import selectors
import time
from collections.abc import Sequence
from typing import Any

from windtunnel.sweeps.execution.worker_process import WorkerProcess
from windtunnel.sweeps.planning.devices import Device

MAX_FAILED_STARTS = 3  # in a row
START_SECONDS = 600.0  # to load torch, from a disk that can be slow
EXIT_STATUSES = ("failed", "preempted")  # replies after which a worker exits


class WorkerPool:
    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = devices
        self._selector = selectors.DefaultSelector()
        self._failed_starts = 0
        self._notes: list[str] = []
        self.workers: list[WorkerProcess] = []

    @property
    def idle(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.ready and worker.job is None]

    def spawn(self, number: int) -> None:
        """Start workers until so many are idle or starting, or the devices are full."""
        starting = sum(not worker.ready for worker in self.workers)
        for _ in range(number - starting - len(self.idle)):
            loads = [sum(w.device is device for w in self.workers) / device.workers for device in self._devices]
            if min(loads) >= 1:
                return
            numbers = {worker.number for worker in self.workers}
            free_number = next(number for number in range(1, len(numbers) + 2) if number not in numbers)
            worker = WorkerProcess(self._devices[loads.index(min(loads))], free_number)
            self._selector.register(worker.reply_descriptor, selectors.EVENT_READ)
            self.workers.append(worker)

    def poll(self, seconds: float) -> list[tuple[WorkerProcess, dict[str, Any]]]:
        """The replies of workers about their jobs, waiting for the first of them for at most so many seconds. A worker
        that exited during its job has the status `died`. Raises RuntimeError where no worker can be started.
        """
        self._selector.select(seconds)
        replies: list[tuple[WorkerProcess, dict[str, Any]]] = []
        for worker in list(self.workers):
            has_exited = worker.has_exited  # before reading: what it wrote before it exited is then in the pipe
            is_leaving = False
            for reply in worker.read_replies():
                if "ready" in reply:
                    worker.ready, self._failed_starts = True, 0
                    continue
                worker.job = None
                replies.append((worker, reply))
                is_leaving = reply["status"] in EXIT_STATUSES
            if has_exited or (replies and replies[-1][0] is worker):
                self._notes += worker.read_notes()
            if has_exited and worker.job is not None:
                replies.append((worker, {"status": "died", "error": worker.exit_message()}))
            if has_exited and not worker.ready:
                self._count_failed_start(worker.exit_message())
            if has_exited or is_leaving:
                self.terminate(worker)
        return replies

    def take_notes(self) -> list[str]:
        """The notes of training since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def terminate_unready(self) -> None:
        """Terminate workers that do not become ready in time."""
        for worker in list(self.workers):
            if not worker.ready and time.monotonic() - worker.since > START_SECONDS:
                self._count_failed_start(f"one was not ready after {START_SECONDS:.0f} s")
                self.terminate(worker)

    def _count_failed_start(self, reason: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise RuntimeError(f"no worker can be started: {reason}")

    def stop(self) -> None:
        """Let every worker save its run and exit."""
        for worker in list(self.workers):
            if worker.job is None:
                self.terminate(worker)
            else:
                worker.stop()

    def terminate(self, worker: WorkerProcess) -> None:
        self._selector.unregister(worker.reply_descriptor)
        self.workers.remove(worker)
        worker.kill()

    def terminate_all(self) -> None:
        for worker in list(self.workers):
            self.terminate(worker)
        self._selector.close()
