"""The worker processes of all devices: hired as runs ask for them, heard, dismissed."""

import selectors
import time
from collections.abc import Sequence
from typing import Any

from windtunnel.sweeps.execution.devices import Device
from windtunnel.sweeps.execution.worker_process import WorkerProcess

MOST_FAILED_STARTS = 3  # one after the other
START_SECONDS = 600.0  # to load torch, from a disk that may be slow
LEAVING = ("failed", "preempted")  # answers after which a worker ends


class Crew:
    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = devices
        self._selector = selectors.DefaultSelector()
        self._failed_starts = 0
        self._notes: list[str] = []
        self.workers: list[WorkerProcess] = []

    @property
    def idle(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.ready and worker.job is None]

    def hire(self, wanted: int) -> None:
        """Start workers until this many are idle or on their way, or the devices are full."""
        coming = sum(not worker.ready for worker in self.workers)
        for _ in range(wanted - coming - len(self.idle)):
            filled = [sum(w.device is device for w in self.workers) / device.workers for device in self._devices]
            if min(filled) >= 1:
                return
            numbers = {worker.number for worker in self.workers}
            number = next(number for number in range(1, len(numbers) + 2) if number not in numbers)
            worker = WorkerProcess(self._devices[filled.index(min(filled))], number)
            self._selector.register(worker.answers_descriptor, selectors.EVENT_READ)
            self.workers.append(worker)

    def hear(self, seconds: float) -> list[tuple[WorkerProcess, dict[str, Any]]]:
        """What workers answered about the jobs in their hands, waiting so long for the first of it. Of a worker that
        died over its job: status `died`. Raises RuntimeError where no worker can be started.
        """
        self._selector.select(seconds)
        heard: list[tuple[WorkerProcess, dict[str, Any]]] = []
        for worker in list(self.workers):
            dead = worker.is_dead  # asked first: what it said before it died is in the pipe by then
            leaving = False
            for answer in worker.answers():
                if "ready" in answer:
                    worker.ready, self._failed_starts = True, 0
                    continue
                worker.job = None
                heard.append((worker, answer))
                leaving = answer["status"] in LEAVING
            if dead or (heard and heard[-1][0] is worker):
                self._notes += worker.notes()
            if dead and worker.job is not None:
                heard.append((worker, {"status": "died", "error": worker.death()}))
            if dead and not worker.ready:
                self._count_failed_start(worker.death())
            if dead or leaving:
                self.dismiss(worker)
        return heard

    def take_notes(self) -> list[str]:
        """What training has noted beside its answers since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def dismiss_sleepers(self) -> None:
        """Give up workers that do not become ready."""
        for worker in list(self.workers):
            if not worker.ready and time.monotonic() - worker.since > START_SECONDS:
                self._count_failed_start(f"one was not ready after {START_SECONDS:.0f} s")
                self.dismiss(worker)

    def _count_failed_start(self, words: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise RuntimeError(f"no worker can be started: {words}")

    def stop(self) -> None:
        """Let every worker save what it has in hand, and end."""
        for worker in list(self.workers):
            if worker.job is None:
                self.dismiss(worker)
            else:
                worker.stop()

    def dismiss(self, worker: WorkerProcess) -> None:
        self._selector.unregister(worker.answers_descriptor)
        self.workers.remove(worker)
        worker.kill()

    def dismiss_all(self) -> None:
        for worker in list(self.workers):
            self.dismiss(worker)
        self._selector.close()
