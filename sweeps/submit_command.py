"""`windtunnel sweep submit`: the family of a study on SLURM."""

import argparse
from pathlib import Path

from analysis.json_output import write_document
from sweeps.cluster import load_cluster
from sweeps.packing import rough_seconds
from sweeps.slurm_queue import require
from sweeps.study_arguments import add_study_arguments, plan_of_arguments
from sweeps.submission import Submission, study_folder, submit_runs

EXAMPLE = """\
Submits what is neither trained nor in the queue, as one array job, and returns at once. Jobs that are preempted or meet
their time limit save, go back into the queue and go on, bit for bit. Repeat it after a failure: it submits the rest.

examples:
  windtunnel sweep submit ladder.yaml
  windtunnel sweep submit ladder.yaml --cluster cluster.yaml
  windtunnel sweep status ladder.yaml

a cluster profile, every key of which may be left out:
  partition: gpu
  account: physics
  qos: normal
  gpus: a100:1            # of a job; a run trains on one
  workers: 1              # processes side by side in a job
  cpus_per_task: 4        # of a job (default: one a worker)
  memory: 16G             # of a job
  time_minutes: 240       # the longest limit to ask for (default: the partition's); limits come from the plan
  target_minutes: 30      # of work in one task: short runs are packed together up to it
  most_tasks: 1000        # in one array (MaxArraySize)
  at_once: 16             # tasks that may run at one time
  signal_seconds: 120     # before the time limit, to save and be requeued
  setup: [module load cuda, export OMP_NUM_THREADS=1]
  sbatch: {constraint: h100, mail-type: END}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `windtunnel sweep submit`."""
    parser.epilog = EXAMPLE
    add_study_arguments(parser)
    parser.add_argument(
        "--cluster", type=Path, metavar="PROFILE.yaml", help="how jobs are asked for (default: SLURM's)"
    )
    parser.add_argument("--json", metavar="PATH", help="write the answer as JSON; - for standard output")


def run(options: argparse.Namespace) -> int:
    """Submits. Raises InputError for bad input, and with SLURM's reason where it refuses."""
    cluster = load_cluster(options.cluster)  # its mistakes first: a plan may take seconds, and its data minutes
    require()
    plan = plan_of_arguments(options, prepare=True)
    submission = submit_runs(plan, plan.of("family"), cluster, seconds_of=rough_seconds(cluster.gpu_count > 0))
    document = {
        "study": plan.file.name,
        "job": submission.job,
        "tasks": submission.tasks,
        "time_minutes": submission.minutes,
        "submitted": list(submission.submitted),
        "queued": list(submission.queued),
        "final": list(submission.final),
    }
    if not write_document(document, options.json):
        print(_in_words(submission, plan.file.name))
        if submission.job is not None:
            print(f"output: {study_folder(options.runs, plan.file.name) / 'output'}")
    return 0


def _in_words(submission: Submission, study: str) -> str:
    found = [(len(submission.final), "trained already"), (len(submission.queued), "in the queue already")]
    rest = ", ".join(f"{number} {what}" for number, what in found if number)
    if submission.job is None:
        return f"{study}: nothing to submit ({rest})"
    return (
        f"{study}: {len(submission.submitted)} runs in {submission.tasks} tasks of job {submission.job}, "
        f"each within {submission.minutes} min{f' ({rest})' if rest else ''}"
    )
