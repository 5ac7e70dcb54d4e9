"""One task of an array job: its lanes side by side, each in a process of its own, and the way back into the queue.

  python -m windtunnel.sweeps.slurm.task TASKFILE NUMBER

Imports no torch, so that it listens to signals at once, and outlives a worker that is killed (by the kernel for its
memory, by a broken GPU): the run in hand gets one more try and then counts as failed, and the lane goes on. SIGUSR2
comes ahead of the time limit: the workers save, and the job asks for another go. At SIGTERM, which comes before a
preemption, they save and go on (`windtunnel.train.interruption`): SLURM requeues the job itself.
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

from windtunnel.sweeps.slurm.task_file import folder_of, read_task
from windtunnel.train.errors import InputError
from windtunnel.train.records import AlreadyRunning, RunRecord

# Exit statuses of a worker; any other is a death.
DONE, SAVED, SOME_FAILED = 0, 75, 76
TRIES = 2  # of a run whose process dies
SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
REPEAT_SECONDS = 2.0
LEAVE_SECONDS = 2.0  # a job that starts anew within the second in which it was ended fails ("credential revoked")
NOT_BEGUN = -1


@dataclass
class Worker:
    """The process of one lane, and its successors. Each writes the place of the run in hand into a file that outlives
    it.
    """

    lane: int
    folders: Sequence[Path]
    place_file: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    first: int = 0  # place of the run to begin with
    deaths: int = 0  # at that run
    lost: bool = False  # a run's process died for good
    status: int | None = None  # at the end of the lane

    def start(self, path: Path, number: int, told: Sequence[int]) -> None:
        """Start the process, or end the lane where the job is to be requeued."""
        words = [sys.executable, "-P", "-m", "windtunnel.sweeps.slurm.worker", str(path), str(number)]
        words += [str(self.lane), str(self.first), str(self.place_file.fileno())]
        # Blocked, a signal waits until the new process, which inherits the mask, can take it.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            if signal.SIGUSR2 in told:
                self.status = SAVED
                return
            write_place(self.place_file.fileno(), NOT_BEGUN)
            self.process = subprocess.Popen(words, env=lane_environment(self.lane), pass_fds=[self.place_file.fileno()])
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def note_end(self, status: int) -> None:
        """What becomes of the lane when its process ends; `self.status` stays None where it is to be started again."""
        if status in (DONE, SAVED, SOME_FAILED):
            self.status = SOME_FAILED if self.lost and status == DONE else status
            return
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        found = read_place(self.place_file.fileno())
        place = self.first if found == NOT_BEGUN else found
        self.deaths = self.deaths + 1 if place == self.first else 1
        self.first = place
        print(f"{self.folders[place].name}: its process was {how}", file=sys.stderr, flush=True)
        if self.deaths < TRIES:
            return
        self.lost = True
        if found == NOT_BEGUN:
            self.status = SOME_FAILED  # no process gets as far as training
            return
        record_death(self.folders[place], f"its process was {how}, {TRIES} times")
        self.first, self.deaths = place + 1, 0
        if self.first == len(self.folders):
            self.status = SOME_FAILED


def lane_environment(lane: int) -> dict[str, str]:
    """Lanes share the GPUs of the job in turn."""
    environment = dict(os.environ)
    gpus = [gpu for gpu in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[lane % len(gpus)]
    return environment


def write_place(descriptor: int, place: int) -> None:
    os.pwrite(descriptor, place.to_bytes(8, "little", signed=True), 0)


def read_place(descriptor: int) -> int:
    return int.from_bytes(os.pread(descriptor, 8, 0), "little", signed=True)


def record_death(folder: Path, error: str) -> None:
    """Say it in the record: the process could not."""
    if (folder / "run.json").exists():
        with suppress(AlreadyRunning, InputError), RunRecord(folder) as record:
            if record.status == "running":
                record.update(status="failed", error=error)


def main(path: Path, number: int) -> int:
    """The job's exit status: 0, or 1 where a run failed."""
    workers: list[Worker] = []
    told: list[int] = []

    def forward(received: int, frame: FrameType | None) -> None:
        told.append(received)
        if received == signal.SIGUSR2:
            if received not in told[:-1]:
                print("the time limit is near: saving", file=sys.stderr, flush=True)
            # Again and again until all have ended: a worker that is just about to begin a run would not hear it.
            signal.setitimer(signal.ITIMER_REAL, REPEAT_SECONDS)
        for worker in workers:
            if worker.process is not None and worker.process.returncode is None:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, received)

    for each in SIGNALS:
        signal.signal(each, forward)
    signal.signal(signal.SIGALRM, lambda received, frame: forward(signal.SIGUSR2, frame))
    with ExitStack() as files:
        for place, lane in enumerate(read_task(path, number)):
            place_file = files.enter_context(tempfile.TemporaryFile())
            workers.append(Worker(place, [folder_of(job) for job in lane], place_file))
        for worker in workers:
            worker.start(path, number, told)
        while any(worker.status is None for worker in workers):
            ended, wait_status = os.wait()
            for worker in workers:
                if worker.process is not None and worker.process.pid == ended:
                    worker.process.returncode = os.waitstatus_to_exitcode(wait_status)
                    worker.note_end(worker.process.returncode)
                    if worker.status is None:
                        worker.start(path, number, told)
    deafen()
    if any(worker.status == SAVED for worker in workers):
        return requeue()
    return int(any(worker.status != DONE for worker in workers))


def deafen() -> None:
    """Nothing is left to save. At its end Python gives signals their deadly meaning back, unless they are ignored."""
    for each in (*SIGNALS, signal.SIGALRM):
        signal.signal(each, signal.SIG_IGN)


def requeue() -> int:
    """Ask for another go of this job, which SLURM then ends."""
    job = os.environ["SLURM_JOB_ID"]
    print(f"job {job}: saved; back into the queue", file=sys.stderr, flush=True)
    status = subprocess.run(["scontrol", "requeue", job], check=False).returncode
    time.sleep(LEAVE_SECONDS)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
    except InputError as error:
        sys.exit(f"windtunnel: {error}")
