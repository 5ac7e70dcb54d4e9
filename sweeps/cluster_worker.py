"""The process of one lane of a task (`sweeps.cluster_task`): trains its runs one after the other.

python -m sweeps.cluster_worker TASKFILE NUMBER LANE FIRST DESCRIPTOR
"""

import json
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from sweeps.cluster_task import DONE, SAVED, SIGNALS, SOME_FAILED, deafen, write_place
from sweeps.task_file import Lane, read_task


def main(lane: Lane, first: int, begin: Callable[[int], None], told: list[int]) -> int:
    """Train the runs of a lane from place `first` on; the exit status. `begin` hears of each place. A failed run does
    not stop those after it.
    """
    # Torch loads here, when signals are listened to.
    from sweeps.job import is_final, read_job, train_job
    from train.records import AlreadyRunning

    failed = False
    for place in range(first, len(lane)):
        if signal.SIGUSR2 in told:
            return SAVED
        begin(place)
        job = read_job(json.dumps(lane[place]))
        try:
            if is_final(job.folder):
                continue
            outcome = train_job(job, show_progress=True)
        except AlreadyRunning as error:  # by another process, whose result is this one's
            print(f"note: {error}", flush=True)
            continue
        except Exception:
            traceback.print_exc()
            failed = True
            continue
        if outcome.status == "preempted":
            return SAVED if outcome.signal == signal.SIGUSR2 else 128 + (outcome.signal or signal.SIGINT)
        print(f"{job.run_id}: {outcome.status}", flush=True)
    return SOME_FAILED if failed else DONE


if __name__ == "__main__":
    told: list[int] = []

    def note(received: int, frame: FrameType | None) -> None:
        """Between runs there is nothing to save; during one, `train.interruption` takes over."""
        told.append(received)

    for each in SIGNALS:
        signal.signal(each, note)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    path, number, lane, first, descriptor = sys.argv[1:]
    lanes = read_task(Path(path), int(number))
    status = main(lanes[int(lane)], int(first), lambda place: write_place(int(descriptor), place), told)
    deafen()
    sys.exit(status)
