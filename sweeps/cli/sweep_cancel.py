"""`windtunnel sweep cancel`: remove a study from the SLURM queue."""

import argparse

from windtunnel.sweeps.cli.study_arguments import add_study_arguments

EPILOG = """Run records and checkpoints are kept; submitting the study again continues from them.

example:
  windtunnel sweep cancel ladder.yaml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from windtunnel.sweeps.slurm.submission import cancel_study  # loads torch
    from windtunnel.sweeps.study.load import load_study

    name = load_study(arguments.study).name
    tasks = cancel_study(name, arguments.runs)
    if not tasks:
        print(f"{name}: nothing in the queue")
        return 0
    jobs = sorted({task.job for task in tasks})
    what = f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'}"
    print(f"{name}: canceled {what} of {'job' if len(jobs) == 1 else 'jobs'} {', '.join(map(str, jobs))}")
    return 0
