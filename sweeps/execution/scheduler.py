"""Train runs of a plan on this machine: a queue, workers, retries. What is done is read from the records alone.

A worker that dies, hangs or fails costs its run an attempt; a run that used them all is reported and the rest goes on.
Told to stop (SIGINT, SIGTERM), the workers save and end, and the same call later goes on from there. Where the launcher
itself is killed, its workers find their input closed, save and end.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from windtunnel.sweeps.execution.devices import Device, find_devices, memory_bytes
from windtunnel.sweeps.execution.disk_budget import DiskBudget, Trunks
from windtunnel.sweeps.execution.progress_display import Board
from windtunnel.sweeps.execution.queue import Entry, RunQueue
from windtunnel.sweeps.execution.run_progress import longest_silence, standing, trace
from windtunnel.sweeps.execution.worker_pool import Crew
from windtunnel.sweeps.execution.worker_process import WorkerProcess
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError
from windtunnel.train.interruption import Interruption
from windtunnel.train.records import FINAL, AlreadyRunning, RunRecord, read_record

MOST_ATTEMPTS = 3
TICK_SECONDS = 0.1
LOOK_SECONDS = 1.0  # between looks whether runs still write
PATIENCE_SECONDS = 600.0  # the shortest silence that is taken for hanging: loading and compiling are silent too
MOST_ASIDE = 64  # ready runs that are passed over at once because they do not fit beside those in training


@dataclass(frozen=True)
class Failure:
    run_id: str
    error: str


@dataclass(frozen=True)
class Summary:
    """What has become of the runs that were asked for. `trained`: those that came to their result in this call."""

    runs: int
    finished: int
    diverged: int
    trained: int
    failures: tuple[Failure, ...]
    seconds: float
    signal: int | None  # that interrupted it; the same call goes on from there

    @property
    def is_complete(self) -> bool:
        return self.finished + self.diverged == self.runs


def run_jobs(
    plan: Plan,
    runs: Sequence[PlannedRun],
    *,
    workers: int | None = None,
    board: Board | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Summary:
    """Train what is missing of these runs of the plan, any part of it: runs that they may go on from need not be there.

    workers: how many train at once; None: as many as the machine takes. Raises InputError where they, or the disk
    budget, do not allow it.
    """
    begun, missing = time.monotonic(), missing_runs(runs)
    devices = find_devices(missing, workers)
    trunks = Trunks(plan)
    trunks.release_all()
    disk = DiskBudget(plan)
    disk.refuse_too_large(missing)
    board = board or Board()
    with Interruption() as told:
        pool = _Pool(plan, missing, devices, trunks, disk, board, told, patience_seconds)
        try:
            board.begin(plan.file.name, runs, missing, sum(device.workers for device in devices))
            pool.run()
        finally:
            pool.crew.dismiss_all()
            board.stop()
    statuses = [_status(run) for run in runs]
    summary = Summary(
        runs=len(runs),
        finished=statuses.count("finished"),
        diverged=statuses.count("diverged"),
        trained=pool.trained,
        failures=tuple(pool.failures),
        seconds=round(time.monotonic() - begun, 1),
        signal=told.signal if told.stop else None,
    )
    board.log(in_words(summary))
    return summary


def missing_runs(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Those that have come to no result yet."""
    return [run for run in runs if _status(run) not in FINAL]


def in_words(summary: Summary) -> str:
    diverged = f" ({summary.diverged} of them diverged)" if summary.diverged else ""
    text = f"{summary.finished + summary.diverged} of {summary.runs} runs done{diverged}, {summary.trained} just now"
    text += f" in {summary.seconds:.0f} s"
    if summary.failures:
        text += f"; {len(summary.failures)} failed, the first: {summary.failures[0].run_id}"
    if summary.signal is not None:
        text += "; interrupted: the same command goes on from there"
    return text


def _status(run: PlannedRun) -> str | None:
    try:
        return str(read_record(run.folder)["status"])
    except InputError:  # none yet, or broken: training it says so
        return None


class _Pool:
    """One call of `run_jobs`."""

    def __init__(
        self,
        plan: Plan,
        missing: Sequence[PlannedRun],
        devices: Sequence[Device],
        trunks: Trunks,
        disk: DiskBudget,
        board: Board,
        told: Interruption,
        patience_seconds: float,
    ) -> None:
        self._queue = RunQueue(plan, missing)
        self._trunks, self._disk, self._board, self._told = trunks, disk, board, told
        self._patience_seconds = patience_seconds
        self._in_hand: dict[WorkerProcess, Entry] = {}
        self.crew = Crew(devices)
        self.trained = 0
        self.failures: list[Failure] = []

    def run(self) -> None:
        stopping, next_look = False, 0.0
        while self._queue.num_open and (self.crew.workers or not stopping):
            if self._told.stop and not stopping:
                stopping = True
                self._board.log(f"stopping: saving {len(self._in_hand)} runs; once more to stop at once")
                self.crew.stop()
            if not stopping:
                self._start()
            heard = self.crew.hear(TICK_SECONDS)
            self._board.log(*self.crew.take_notes())
            for worker, answer in heard:
                self._take(self._in_hand.pop(worker), answer)
            for entry in (*self._in_hand.values(), *self._queue.held):
                self._queue.look(entry.run.run_id)
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK_SECONDS
                self._look()

    def _start(self) -> None:
        """Give every idle worker the longest run that fits beside those in training."""
        aside: list[Entry] = []
        while self._queue.num_ready and (idle := self.crew.idle) and (not self._in_hand or len(aside) < MOST_ASIDE):
            entry = self._queue.take()
            worker = next((worker for worker in idle if self._fits(entry, worker.device)), None)
            if worker is None:
                aside.append(entry)
            else:
                self._give(worker, entry)
        if aside and not self._in_hand:
            aside = self._after_making_room(aside)
        for entry in aside:
            self._queue.put(entry)
        if not aside:
            self.crew.hire(self._queue.num_open - len(self._in_hand))  # also for those that wait: they load meanwhile

    def _fits(self, entry: Entry, device: Device) -> bool:
        """In the disk budget, and in the memory of the device; there, a run may always try alone."""
        if not self._disk.has_room(entry.run, [each.run for each in self._in_hand.values()]):
            return False
        beside = [each for worker, each in self._in_hand.items() if worker.device is device]
        return not beside or sum(map(_memory, (*beside, entry))) <= device.memory_bytes

    def _after_making_room(self, entries: list[Entry]) -> list[Entry]:
        """Nothing trains and nothing fits: look again at what may be deleted; what does not fit then is given up."""
        self._trunks.release_all()
        self._disk.measure_all()
        kept = [entry for entry in entries if self._disk.has_room(entry.run, ())]
        for entry in entries if not kept else ():
            self._fail(entry, self._disk.shortage(entry.run))
        return entries if kept else []

    def _give(self, worker: WorkerProcess, entry: Entry) -> None:
        if entry.held is None:
            entry.trace, entry.changed = trace(entry.run.folder), time.monotonic()
            self._board.started(worker.number, entry.run, entry.attempts)
        self._in_hand[worker] = entry
        worker.give(entry.job)

    def _take(self, entry: Entry, answer: dict[str, Any]) -> None:
        """What a worker, or its death, says about a run; whether the run has ended is what its record says."""
        if _status(entry.run) in FINAL:
            self.trained += answer.get("trained", True)
            self._end(entry)
        elif answer["status"] == "busy":
            entry.held = answer["error"]
            self._queue.put_held(entry)
        elif answer["status"] == "refused":
            self._fail(entry, answer["error"])
        elif not self._told.stop:
            self._again(entry, answer.get("error") or f"its worker was told to stop ({answer['status']})")

    def _end(self, entry: Entry) -> None:
        self._queue.close(entry.run.run_id)
        self._trunks.release(entry.run.run_id)
        self._disk.measure(self._trunks.of(entry.run.run_id))
        self._board.ended(entry.run, read_record(entry.run.folder))

    def _again(self, entry: Entry, error: str) -> None:
        entry.attempts, entry.held = entry.attempts + 1, None
        if entry.attempts >= MOST_ATTEMPTS:
            if _status(entry.run) is not None:  # a worker that was killed could not write it down
                with suppress(AlreadyRunning, InputError), RunRecord(entry.run.folder) as record:
                    record.update(status="failed", error=error)
            self._fail(entry, error)
        else:
            self._board.log(f"again     {entry.run.run_id}: {error}")
            self._queue.put(entry)

    def _fail(self, entry: Entry, error: str) -> None:
        self.failures.append(Failure(entry.run.run_id, error))
        self._board.failed(entry.run, error)
        self._queue.close(entry.run.run_id)
        self._disk.measure([entry.run])

    def _look(self) -> None:
        """Find what hangs, come back to what another process held, and show how things stand."""
        for worker, entry in list(self._in_hand.items()):
            if entry.held is not None and time.monotonic() - worker.since > LOOK_SECONDS:
                entry.held = None  # no longer: it would have been answered at once
                self._board.started(worker.number, entry.run, entry.attempts)
            if silent := self._silence(entry, on_gpu=worker.device.name != "cpu"):
                del self._in_hand[worker]
                self.crew.dismiss(worker)
                if not self._told.stop:
                    self._again(entry, f"nothing written for {silent:.0f} s; its worker was killed")
        self.crew.dismiss_sleepers()
        for entry in self._queue.take_held():
            if _status(entry.run) in FINAL:
                self._end(entry)
            elif silent := self._silence(entry, on_gpu=False):
                self._fail(entry, f"{entry.held}, which has written nothing for {silent:.0f} s: end that process")
            else:
                self._queue.put(entry)
        self._board.show([(worker.number, entry.run) for worker, entry in self._in_hand.items() if entry.held is None])

    def _silence(self, entry: Entry, on_gpu: bool) -> float | None:
        """Seconds for which a run has written nothing, where that is so long that it must hang."""
        seen, now = trace(entry.run.folder), time.monotonic()
        if seen != entry.trace:
            entry.trace, entry.changed = seen, now
        silent = now - entry.changed
        if silent < self._patience_seconds:
            return None
        rate = standing(entry.run.folder).tokens_per_second
        return silent if silent >= longest_silence(entry.run.config, rate, on_gpu) else None


def _memory(entry: Entry) -> float:
    """More after each attempt: too little memory may be why it failed."""
    return memory_bytes(entry.run.config) * float(2**entry.attempts)
