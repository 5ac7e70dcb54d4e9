"""`windtunnel sweep submit`: submit the missing runs of a study's family to SLURM."""

import argparse
from pathlib import Path

from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import log, print_result
from windtunnel.sweeps.cli.study_arguments import add_study_arguments, plan_from_arguments

EPILOG = """\
Submits the runs that are neither trained nor in the queue as one array job, and returns at once. A job that is
preempted or reaches its time limit saves its runs, is requeued and continues, bit for bit. After a failure repeat the
command: it submits the rest.

examples:
  windtunnel sweep submit ladder.yaml
  windtunnel sweep submit ladder.yaml --cluster cluster.yaml
  windtunnel sweep status ladder.yaml

a cluster profile; every key is optional:
  partition: gpu
  account: physics
  qos: normal
  gpus: a100:1            # per job; a run trains on one
  workers: 1              # processes side by side in a job
  cpus_per_task: 4        # per job (default: one per worker)
  memory: 16G             # per job
  time_minutes: 240       # longest time limit (default: that of the partition); limits follow from the plan
  rates: h100             # estimate durations by this GPU, as sweep plan --gpu does (default: the type in gpus; without
                          # GPUs, this machine is measured)
  target_minutes: 30      # work per task: short runs are packed together up to it
  most_tasks: 1000        # per array (MaxArraySize)
  at_once: 16             # tasks that run at one time
  signal_seconds: 120     # before the time limit: save and be requeued
  setup: [module load cuda, export OMP_NUM_THREADS=1]
  sbatch: {constraint: h100, mail-type: END}
  continuation: {partition: cpu, time_minutes: 60}    # the job that continues study --submit, where it differs; also
                          # account, qos, gpus, memory, cpus_per_task, sbatch (default: no GPU, one processor)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)
    parser.add_argument(
        "--cluster", type=Path, metavar="PROFILE.yaml", help="resources of the jobs; default: those of SLURM"
    )
    add_json_argument(parser, "the submission")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and with SLURM's reason where it refuses."""
    # These load torch and Hydra.
    from windtunnel.sweeps.planning.budget import check_budget, slurm_notes
    from windtunnel.sweeps.planning.feasibility import check_feasibility
    from windtunnel.sweeps.slurm.durations import estimate_durations
    from windtunnel.sweeps.slurm.profile import load_profile
    from windtunnel.sweeps.slurm.queue import require_slurm
    from windtunnel.sweeps.slurm.submission import format_submission, study_folder, submit_runs

    profile = load_profile(arguments.cluster)  # checked before the plan, which takes seconds, and its data, minutes
    require_slurm()
    plan = plan_from_arguments(arguments, prepare=True)
    check_feasibility(plan)
    check_budget(plan, arguments.runs, workers=None)
    for note in slurm_notes(plan):
        log(note)
    duration_of = estimate_durations(profile, plan.family, arguments.runs, log)
    submission = submit_runs(plan, plan.family, profile, duration_of=duration_of)
    document = {
        "study": plan.file.name,
        "job": submission.job,
        "tasks": submission.tasks,
        "time_minutes": submission.minutes,
        "submitted": list(submission.submitted),
        "queued": list(submission.queued),
        "final": list(submission.final),
    }
    lines = [f"{plan.file.name}: {format_submission(submission)}"]
    if submission.job is not None:
        lines.append(f"output: {study_folder(arguments.runs, plan.file.name) / 'output'}")
    print_result(arguments, document, lines)
    return 0
