"""The process of one lane of a task (`windtunnel.sweeps.slurm.task`): trains its runs one after the other.

python -m windtunnel.sweeps.slurm.worker TASKFILE NUMBER LANE FIRST DESCRIPTOR
"""

import json
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from windtunnel.sweeps.slurm.task import DONE, SAVED, SIGNALS, SOME_FAILED, deafen, write_place
from windtunnel.sweeps.slurm.task_file import Lane, Trunk, read_task, read_trunks


def main(lane: Lane, trunks: list[Trunk], first: int, begin: Callable[[int], None], told: list[int]) -> int:
    """Train the runs of a lane from place `first` on, and delete the checkpoints that those of a trunk need no more;
    the exit status. `begin` hears of each place. A failed run does not stop those after it.
    """
    # Torch loads here, when signals are listened to.
    from windtunnel.sweeps.execution.checkpoint_retention import read_trunk_run, release
    from windtunnel.sweeps.execution.job import is_final, read_job, train_job
    from windtunnel.train.records import FINAL, AlreadyRunning

    read = [[read_trunk_run(run) for run in trunk] for trunk in trunks]
    trunk_of = {run.run_id: trunk for trunk in read for run in trunk}
    failed = False
    for place in range(first, len(lane)):
        if signal.SIGUSR2 in told:
            return SAVED
        begin(place)
        job = read_job(json.dumps(lane[place]))
        try:
            if is_final(job.folder):
                release(trunk_of[job.run_id])
                continue
            outcome = train_job(job, show_progress=True)
            if outcome.status in FINAL:
                release(trunk_of[job.run_id])
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
        """Between runs there is nothing to save; during one, `windtunnel.train.interruption` takes over."""
        told.append(received)

    for each in SIGNALS:
        signal.signal(each, note)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    path, number, lane, first, descriptor = sys.argv[1:]
    lanes, trunks = read_task(Path(path), int(number)), read_trunks(Path(path), int(number))
    status = main(lanes[int(lane)], trunks, int(first), lambda place: write_place(int(descriptor), place), told)
    deafen()
    sys.exit(status)
