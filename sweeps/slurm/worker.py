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

from windtunnel.sweeps.slurm.task import DONE, SAVED, SIGNALS, SOME_FAILED, ignore_signals, write_index
from windtunnel.sweeps.slurm.task_file import Lane, Trunk, read_task, read_trunks


def main(lane: Lane, trunks: list[Trunk], first: int, report_index: Callable[[int], None], received: list[int]) -> int:
    """Train the runs of a lane from index `first` on, and delete checkpoints that no run of a trunk needs any more. A
    failed run does not stop those after it. `report_index` is called before each run. Returns the exit status.
    """
    # Torch loads here, after signal handlers are installed.
    from windtunnel.sweeps.execution.checkpoint_retention import parse_trunk_run, prune_checkpoints
    from windtunnel.sweeps.execution.job import parse_job, train_job
    from windtunnel.train.records import FINAL_STATUSES, AlreadyRunning, is_final

    parsed = [[parse_trunk_run(run) for run in trunk] for trunk in trunks]
    trunk_of = {run.run_id: trunk for trunk in parsed for run in trunk}
    failed = False
    for index in range(first, len(lane)):
        if signal.SIGUSR2 in received:
            return SAVED
        report_index(index)
        job = parse_job(json.dumps(lane[index]))
        try:
            if is_final(job.folder):
                prune_checkpoints(trunk_of[job.run_id])
                continue
            outcome = train_job(job, show_progress=True)
            if outcome.status in FINAL_STATUSES:
                prune_checkpoints(trunk_of[job.run_id])
        except AlreadyRunning as error:  # in another process, which writes the same result
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
    received: list[int] = []

    def note_signal(signal_number: int, frame: FrameType | None) -> None:
        """Between runs there is nothing to save; during one, `windtunnel.train.interruption` handles signals."""
        received.append(signal_number)

    for signal_number in SIGNALS:
        signal.signal(signal_number, note_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    path, number, lane, first, descriptor = sys.argv[1:]
    lanes, trunks = read_task(Path(path), int(number)), read_trunks(Path(path), int(number))
    status = main(lanes[int(lane)], trunks, int(first), lambda index: write_index(int(descriptor), index), received)
    ignore_signals()
    sys.exit(status)
