"""`windtunnel sweep submit`: the family of a study on SLURM."""

import argparse
import sys
from pathlib import Path

from windtunnel.sweeps.cli.arguments import json_output, write_document
from windtunnel.sweeps.cli.study_arguments import add_study_arguments, plan_of_arguments
from windtunnel.sweeps.planning.budget import refuse_beyond_budget, slurm_notes
from windtunnel.sweeps.planning.feasibility import refuse_infeasible
from windtunnel.sweeps.slurm.durations import seconds_on
from windtunnel.sweeps.slurm.profile import load_cluster
from windtunnel.sweeps.slurm.queue import require
from windtunnel.sweeps.slurm.submission import study_folder, submission_in_words, submit_runs

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
  rates: h100             # foresee time by this GPU of sweep plan --gpu (default: the type in gpus; without GPUs,
                          # this machine is measured)
  target_minutes: 30      # of work in one task: short runs are packed together up to it
  most_tasks: 1000        # in one array (MaxArraySize)
  at_once: 16             # tasks that may run at one time
  signal_seconds: 120     # before the time limit, to save and be requeued
  setup: [module load cuda, export OMP_NUM_THREADS=1]
  sbatch: {constraint: h100, mail-type: END}
  continuation: {partition: cpu, time_minutes: 60}    # of the job that goes on with study --submit, where it differs;
                          # also account, qos, gpus, memory, cpus_per_task, sbatch (default: no GPU, one processor)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `windtunnel sweep submit`."""
    parser.epilog = EXAMPLE
    add_study_arguments(parser)
    parser.add_argument(
        "--cluster", type=Path, metavar="PROFILE.yaml", help="how jobs are asked for (default: SLURM's)"
    )
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="write the answer as JSON; - for standard output"
    )


def run(options: argparse.Namespace) -> int:
    """Submits. Raises InputError for bad input, and with SLURM's reason where it refuses."""
    cluster = load_cluster(options.cluster)  # its mistakes first: a plan may take seconds, and its data minutes
    require()
    plan = plan_of_arguments(options, prepare=True)
    refuse_infeasible(plan)
    refuse_beyond_budget(plan, options.runs, workers=None)
    for note in slurm_notes(plan):
        _tell(note)
    family = plan.of("family")
    seconds_of = seconds_on(cluster, family, options.runs, _tell)
    submission = submit_runs(plan, family, cluster, seconds_of=seconds_of)
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
        print(f"{plan.file.name}: {submission_in_words(submission)}")
        if submission.job is not None:
            print(f"output: {study_folder(options.runs, plan.file.name) / 'output'}")
    return 0


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
