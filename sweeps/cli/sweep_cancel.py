"""`windtunnel sweep cancel`: a study's jobs, and the closed loop's, out of SLURM's queue. What was trained is kept;
submitting goes on from it.
"""

import argparse
from contextlib import nullcontext

from windtunnel.sweeps.cli.study_arguments import add_study_arguments
from windtunnel.sweeps.slurm.queue import cancel, study_tasks
from windtunnel.sweeps.slurm.submission import one_at_a_time, study_folder
from windtunnel.sweeps.study.load import load_study

EXAMPLE = """example:
  windtunnel sweep cancel ladder.yaml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `windtunnel sweep cancel`."""
    parser.epilog = EXAMPLE
    add_study_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Cancels. Raises InputError for bad input, and with SLURM's reason where it refuses."""
    name = load_study(options.study).name
    folder = study_folder(options.runs, name)
    # A continuation submits under this lock, and not where it was cancelled; its own job goes first, because the end of
    # those that it waits for would start it.
    with one_at_a_time(folder) if folder.exists() else nullcontext():
        tasks = study_tasks(name, folder)
        for part in (False, True):
            jobs = sorted({task.job for task in tasks if (task.task is not None) == part})
            if jobs:
                cancel(jobs)
    if not tasks:
        print(f"{name}: nothing in the queue")
        return 0
    jobs = sorted({task.job for task in tasks})
    what = f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'}"
    print(f"{name}: cancelled {what} of {'job' if len(jobs) == 1 else 'jobs'} {', '.join(map(str, jobs))}")
    return 0
