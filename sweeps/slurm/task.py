"""One task of an array job: its lanes in parallel, each in its own process, and the requeue of the job.

  python -m windtunnel.sweeps.slurm.task TASKFILE NUMBER

Imports no torch, so it handles signals at once, and it outlives a killed worker (out of memory, a broken GPU): the run
in training gets one more attempt, then counts as failed, and the lane continues. SIGUSR2 comes ahead of the time limit:
the workers save, and the job is requeued. SIGTERM comes before a preemption: they save and continue
(`windtunnel.train.interruption`), and SLURM requeues the job itself.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from windtunnel.sweeps.slurm.task_file import read_task, run_folder
from windtunnel.train.errors import InputError
from windtunnel.train.records import AlreadyRunning, RunRecord

# Exit statuses of a worker; any other is a crash.
DONE, SAVED, SOME_FAILED = 0, 75, 76
MAX_ATTEMPTS = 2  # of a run whose process crashes
SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
REPEAT_SECONDS = 2.0
REQUEUE_SECONDS = 2.0  # a job that restarts within the second in which it ended fails ("credential revoked")
NOT_STARTED = -1


@dataclass
class LaneWorker:
    """The process of one lane, and its successors. Each writes the index of its present run into a file that outlives
    it.
    """

    lane: int
    folders: Sequence[Path]  # of the runs
    index_file: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    first: int = 0  # index of the run to start with
    crashes: int = 0  # at that run
    gave_up: bool = False  # on a run
    status: int | None = None  # of the lane, once it has ended

    def start(self, path: Path, number: int, received: Sequence[int]) -> None:
        """Start the process, or end the lane where the job is to be requeued."""
        words = [sys.executable, "-P", "-m", "windtunnel.sweeps.slurm.worker", str(path), str(number)]
        words += [str(self.lane), str(self.first), str(self.index_file.fileno())]
        # A blocked signal waits until the new process, which inherits the mask, can handle it.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            if signal.SIGUSR2 in received:
                self.status = SAVED
                return
            write_index(self.index_file.fileno(), NOT_STARTED)
            self.process = subprocess.Popen(words, env=lane_environment(self.lane), pass_fds=[self.index_file.fileno()])
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def handle_exit(self, status: int) -> None:
        """Set the status of the lane after its process has ended, or leave it None where a new process is needed."""
        if status in (DONE, SAVED, SOME_FAILED):
            self.status = SOME_FAILED if self.gave_up and status == DONE else status
            return
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        last = read_index(self.index_file.fileno())
        index = self.first if last == NOT_STARTED else last
        self.crashes = self.crashes + 1 if index == self.first else 1
        self.first = index
        print(f"{self.folders[index].name}: its process was {how}", file=sys.stderr, flush=True)
        if self.crashes < MAX_ATTEMPTS:
            return
        self.gave_up = True
        if last == NOT_STARTED:
            self.status = SOME_FAILED  # no process reaches training
            return
        record_crash(self.folders[index], f"its process was {how}, {MAX_ATTEMPTS} times")
        self.first, self.crashes = index + 1, 0
        if self.first == len(self.folders):
            self.status = SOME_FAILED


def lane_environment(lane: int) -> dict[str, str]:
    """The environment of a lane. Lanes share the GPUs of the job in turn."""
    environment = dict(os.environ)
    gpus = [gpu for gpu in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[lane % len(gpus)]
    return environment


def write_index(descriptor: int, index: int) -> None:
    os.pwrite(descriptor, index.to_bytes(8, "little", signed=True), 0)


def read_index(descriptor: int) -> int:
    return int.from_bytes(os.pread(descriptor, 8, 0), "little", signed=True)


def record_crash(folder: Path, error: str) -> None:
    """Record the run as failed, which its own process could not."""
    if (folder / "run.json").exists():
        with suppress(AlreadyRunning, InputError), RunRecord(folder) as record:
            if record.status == "running":
                record.update(status="failed", error=error)


def main(path: Path, number: int) -> int:
    """The job's exit status: 0, or 1 where a run failed."""
    workers: list[LaneWorker] = []
    received: list[int] = []

    def forward(signal_number: int, frame: FrameType | None) -> None:
        received.append(signal_number)
        if signal_number == signal.SIGUSR2:
            if signal_number not in received[:-1]:
                print("the time limit is near: saving", file=sys.stderr, flush=True)
            # Repeated until all have ended: a worker that is just starting a run would miss it.
            signal.setitimer(signal.ITIMER_REAL, REPEAT_SECONDS)
        for worker in workers:
            if worker.process is not None and worker.process.returncode is None:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal_number)

    for signal_number in SIGNALS:
        signal.signal(signal_number, forward)
    signal.signal(signal.SIGALRM, lambda _, frame: forward(signal.SIGUSR2, frame))
    with ExitStack() as files:
        for number_of_lane, lane in enumerate(read_task(path, number)):
            index_file = files.enter_context(tempfile.TemporaryFile())
            workers.append(LaneWorker(number_of_lane, [run_folder(job) for job in lane], index_file))
        for worker in workers:
            worker.start(path, number, received)
        while any(worker.status is None for worker in workers):
            ended, wait_status = os.wait()
            for worker in workers:
                if worker.process is not None and worker.process.pid == ended:
                    worker.process.returncode = os.waitstatus_to_exitcode(wait_status)
                    worker.handle_exit(worker.process.returncode)
                    if worker.status is None:
                        worker.start(path, number, received)
    ignore_signals()
    if any(worker.status == SAVED for worker in workers):
        return requeue()
    return int(any(worker.status != DONE for worker in workers))


def ignore_signals() -> None:
    """Nothing is left to save. Unless ignored, signals would kill the process when Python restores their defaults at
    its end.
    """
    for signal_number in (*SIGNALS, signal.SIGALRM):
        signal.signal(signal_number, signal.SIG_IGN)


def requeue() -> int:
    """Ask SLURM to requeue this job, which SLURM then ends."""
    job = os.environ["SLURM_JOB_ID"]
    print(f"job {job}: saved; requeued", file=sys.stderr, flush=True)
    status = subprocess.run(["scontrol", "requeue", job], check=False).returncode
    time.sleep(REQUEUE_SECONDS)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
    except InputError as error:
        sys.exit(f"windtunnel: {error}")
