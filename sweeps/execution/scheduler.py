"""Trains runs of a plan on this machine with a queue, workers and retries. The only state is the run records.

A worker that dies, hangs or fails costs its run one attempt. A run without attempts left is reported, and the others
continue. On SIGINT or SIGTERM the workers save and exit, and the same call later resumes. Where the launcher itself is
killed, its workers find their input closed, save and exit.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from windtunnel.sweeps.execution.disk_budget import DiskBudget, Trunks
from windtunnel.sweeps.execution.progress_display import ProgressDisplay
from windtunnel.sweeps.execution.queue import QueuedRun, RunQueue
from windtunnel.sweeps.execution.run_progress import file_stamp, hang_seconds, read_progress
from windtunnel.sweeps.execution.worker_pool import WorkerPool
from windtunnel.sweeps.execution.worker_process import WorkerProcess
from windtunnel.sweeps.planning.devices import Device, find_devices, gpu_memory_bytes
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError
from windtunnel.train.interruption import Interruption
from windtunnel.train.records import FINAL_STATUSES, AlreadyRunning, RunRecord, read_record

MAX_ATTEMPTS = 3
POLL_SECONDS = 0.1
CHECK_SECONDS = 1.0  # between checks for hanging runs
PATIENCE_SECONDS = 600.0  # least time without a write that counts as hanging: loading and compiling write nothing
MAX_SKIPPED = 64  # ready runs that are skipped at one time because they do not fit beside those in training


@dataclass(frozen=True)
class RunFailure:
    run_id: str
    error: str


@dataclass(frozen=True)
class SweepResult:
    """The outcome of one call of `run_jobs`."""

    runs: int
    finished: int
    diverged: int
    trained: int  # got their result in this call
    failures: tuple[RunFailure, ...]
    seconds: float
    signal: int | None  # that interrupted the call; the same call resumes

    @property
    def is_complete(self) -> bool:
        return self.finished + self.diverged == self.runs


def run_jobs(
    plan: Plan,
    runs: Sequence[PlannedRun],
    *,
    workers: int | None = None,
    display: ProgressDisplay | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> SweepResult:
    """Train those of the given runs that have no result. They may be any part of the plan: the runs that they can start
    from need not exist.

    `workers` is the number of runs at one time; None: as many as the machine takes. Raises InputError where the number
    or the disk budget is too small.
    """
    start, missing = time.monotonic(), missing_runs(runs)
    devices = find_devices(missing, workers)
    trunks = Trunks(plan)
    trunks.prune_all()
    disk = DiskBudget(plan)
    disk.check_largest(missing)
    display = display or ProgressDisplay()
    with Interruption() as interruption:
        scheduler = _Scheduler(plan, missing, devices, trunks, disk, display, interruption, patience_seconds)
        try:
            display.begin(plan.file.name, runs, missing, sum(device.workers for device in devices))
            scheduler.run()
        finally:
            scheduler.pool.terminate_all()
            display.stop()
    statuses = [_read_status(run) for run in runs]
    result = SweepResult(
        runs=len(runs),
        finished=statuses.count("finished"),
        diverged=statuses.count("diverged"),
        trained=scheduler.num_trained,
        failures=tuple(scheduler.failures),
        seconds=round(time.monotonic() - start, 1),
        signal=interruption.signal if interruption.stop else None,
    )
    display.log(format_result(result))
    return result


def missing_runs(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The runs without a result."""
    return [run for run in runs if _read_status(run) not in FINAL_STATUSES]


def format_result(result: SweepResult) -> str:
    diverged = f" ({result.diverged} of them diverged)" if result.diverged else ""
    text = f"{result.finished + result.diverged} of {result.runs} runs done{diverged}, {result.trained} trained"
    text += f" in {result.seconds:.0f} s"
    if result.failures:
        text += f"; {len(result.failures)} failed, the first: {result.failures[0].run_id}"
    if result.signal is not None:
        text += "; interrupted: repeat the command to resume"
    return text


def _read_status(run: PlannedRun) -> str | None:
    try:
        return str(read_record(run.folder)["status"])
    except InputError:  # none yet, or damaged, which is reported when the run starts
        return None


class _Scheduler:
    """One call of `run_jobs`."""

    def __init__(
        self,
        plan: Plan,
        missing: Sequence[PlannedRun],
        devices: Sequence[Device],
        trunks: Trunks,
        disk: DiskBudget,
        display: ProgressDisplay,
        interruption: Interruption,
        patience_seconds: float,
    ) -> None:
        self._queue = RunQueue(plan, missing)
        self._trunks, self._disk, self._display, self._interruption = trunks, disk, display, interruption
        self._patience_seconds = patience_seconds
        self._in_training: dict[WorkerProcess, QueuedRun] = {}
        self.pool = WorkerPool(devices)
        self.num_trained = 0
        self.failures: list[RunFailure] = []

    def run(self) -> None:
        is_stopping, next_check = False, 0.0
        while self._queue.num_open and (self.pool.workers or not is_stopping):
            if self._interruption.stop and not is_stopping:
                is_stopping = True
                self._display.log(f"stopping: saving {len(self._in_training)} runs; interrupt again to stop at once")
                self.pool.stop()
            if not is_stopping:
                self._start_runs()
            replies = self.pool.poll(POLL_SECONDS)
            self._display.log(*self.pool.take_notes())
            for worker, reply in replies:
                self._handle_reply(self._in_training.pop(worker), reply)
            for queued in (*self._in_training.values(), *self._queue.held):
                self._queue.update_waiting(queued.run.run_id)
            if time.monotonic() >= next_check:
                next_check = time.monotonic() + CHECK_SECONDS
                self._check_workers()
                self._check_held()
                self._show()

    def _start_runs(self) -> None:
        """Give every idle worker the ready run with the longest critical path that fits beside those in training."""
        skipped: list[QueuedRun] = []
        while (
            self._queue.num_ready and (idle := self.pool.idle) and (not self._in_training or len(skipped) < MAX_SKIPPED)
        ):
            queued = self._queue.take()
            worker = next((worker for worker in idle if self._fits(queued, worker.device)), None)
            if worker is None:
                skipped.append(queued)
            else:
                self._submit(worker, queued)
        if skipped and not self._in_training:
            skipped = self._make_room(skipped)
        for queued in skipped:
            self._queue.put(queued)
        if not skipped:  # also for runs that wait for a checkpoint: their workers load in the meantime
            self.pool.spawn(self._queue.num_open - len(self._in_training))

    def _fits(self, queued: QueuedRun, device: Device) -> bool:
        """In the disk budget, and in the memory of the device, where a run may always try alone."""
        if not self._disk.has_room(queued.run, [other.run for other in self._in_training.values()]):
            return False
        others = [other for worker, other in self._in_training.items() if worker.device is device]
        return not others or sum(map(_estimate_memory, (*others, queued))) <= device.memory_bytes

    def _make_room(self, skipped: list[QueuedRun]) -> list[QueuedRun]:
        """Nothing trains and nothing fits: prune again. Where still nothing fits, these runs fail. Returns the runs
        that remain.
        """
        self._trunks.prune_all()
        self._disk.measure_all()
        if any(self._disk.has_room(queued.run, ()) for queued in skipped):
            return skipped
        for queued in skipped:
            self._fail(queued, self._disk.shortage(queued.run))
        return []

    def _submit(self, worker: WorkerProcess, queued: QueuedRun) -> None:
        if queued.holder is None:
            queued.stamp, queued.stamp_time = file_stamp(queued.run.folder), time.monotonic()
            self._display.started(worker.number, queued.run, queued.attempts)
        self._in_training[worker] = queued
        worker.submit(queued.job)

    def _handle_reply(self, queued: QueuedRun, reply: dict[str, Any]) -> None:
        """The record decides whether the run has ended, the reply what happens to it otherwise."""
        if _read_status(queued.run) in FINAL_STATUSES:
            self.num_trained += reply.get("trained", True)
            self._end(queued)
        elif reply["status"] == "busy":
            queued.holder = reply["error"]
            self._queue.put_held(queued)
        elif reply["status"] == "refused":
            self._fail(queued, reply["error"])
        elif not self._interruption.stop:
            self._retry(queued, reply.get("error") or f"its worker was interrupted ({reply['status']})")

    def _end(self, queued: QueuedRun) -> None:
        self._queue.close(queued.run.run_id)
        self._trunks.prune(queued.run.run_id)
        self._disk.measure(self._trunks.trunk_of(queued.run.run_id))
        self._display.ended(queued.run, read_record(queued.run.folder))

    def _retry(self, queued: QueuedRun, error: str) -> None:
        queued.attempts, queued.holder = queued.attempts + 1, None
        if queued.attempts < MAX_ATTEMPTS:
            self._display.log(f"retry     {queued.run.run_id}: {error}")
            self._queue.put(queued)
            return
        if _read_status(queued.run) is not None:  # a killed worker could not record the failure
            with suppress(AlreadyRunning, InputError), RunRecord(queued.run.folder) as record:
                record.update(status="failed", error=error)
        self._fail(queued, error)

    def _fail(self, queued: QueuedRun, error: str) -> None:
        self.failures.append(RunFailure(queued.run.run_id, error))
        self._display.failed(queued.run, error)
        self._queue.close(queued.run.run_id)
        self._disk.measure([queued.run])

    def _check_workers(self) -> None:
        """Terminate workers whose run hangs, and retry the run."""
        for worker, queued in list(self._in_training.items()):
            if queued.holder is not None and time.monotonic() - worker.since > CHECK_SECONDS:
                queued.holder = None  # a held run is answered at once, so this worker trains it now
                self._display.started(worker.number, queued.run, queued.attempts)
            if seconds := self._hanging_seconds(queued, on_gpu=worker.device.name != "cpu"):
                del self._in_training[worker]
                self.pool.terminate(worker)
                if not self._interruption.stop:
                    self._retry(queued, f"nothing written for {seconds:.0f} s; its worker was killed")
        self.pool.terminate_unready()

    def _check_held(self) -> None:
        """Return to the runs that another process held."""
        for queued in self._queue.take_held():
            if _read_status(queued.run) in FINAL_STATUSES:
                self._end(queued)
            elif seconds := self._hanging_seconds(queued, on_gpu=False):
                self._fail(queued, f"{queued.holder}, which has written nothing for {seconds:.0f} s: end that process")
            else:
                self._queue.put(queued)

    def _show(self) -> None:
        running = [(worker.number, queued) for worker, queued in self._in_training.items() if queued.holder is None]
        self._display.show([(number, queued.run) for number, queued in running])

    def _hanging_seconds(self, queued: QueuedRun, on_gpu: bool) -> float | None:
        """Seconds since the run last wrote, where they are so many that it must hang."""
        stamp, now = file_stamp(queued.run.folder), time.monotonic()
        if stamp != queued.stamp:
            queued.stamp, queued.stamp_time = stamp, now
        seconds = now - queued.stamp_time
        if seconds < self._patience_seconds:
            return None
        rate = read_progress(queued.run.folder).tokens_per_second
        return seconds if seconds >= hang_seconds(queued.run.config, rate, on_gpu) else None


def _estimate_memory(queued: QueuedRun) -> float:
    """Doubled after each attempt: too little memory may be why it failed."""
    return gpu_memory_bytes(queued.run.config) * float(2**queued.attempts)
