"""`windtunnel sweep plan`: list the runs of a study and their cost, without training."""

import argparse
import sys
from typing import TYPE_CHECKING

from windtunnel.sweeps.cli.arguments import add_json_argument
from windtunnel.sweeps.cli.output import write_document
from windtunnel.sweeps.cli.study_arguments import add_study_arguments, plan_from_arguments
from windtunnel.train.errors import InputError

if TYPE_CHECKING:  # loads torch and Hydra
    from windtunnel.sweeps.planning.machine import Machine
    from windtunnel.sweeps.study.plan import Plan

EPILOG = """\
exit status: 0, or 2 where the plan exceeds its budget or its laws cannot be fitted to such a family

examples:
  windtunnel sweep plan quickstart
  windtunnel sweep plan ladder --all
  windtunnel sweep plan my-study.yaml --gpu h100:4 --json plan.json

A study file has the settings of `windtunnel train`:

  title: does width pay
  fixed: {data: prose}                        # settings of every run
  family:                                     # the runs that laws are fitted to
    - grid:                                   # the product of its lists
        size: {from: 25k, to: 400k, points: 4}
        horizon.tokens: [1M, 2M, 4M]          # branches of one trunk
        seed: [0, 1, 2]
      where: D >= 10 * N                      # which of them to keep
  targets:                                    # held out; trained after their predictions are sealed
    - rows: [{size: 1M, horizon.tokens: 8M}]
  analysis: {laws: [chinchilla], where: D >= 1e6}
  budget: {hours: 2}                          # wall time of all workers; also tokens, flops, disk_gigabytes"""
PIPE_WIDTH = 150  # columns where standard output is not a terminal
MAX_WORKERS = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)
    parser.add_argument("--all", action="store_true", help="list every run")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="runs in training at once; default: one per GPU, or per processor"
    )
    parser.add_argument(
        "--gpu", metavar="NAME[:N]", help="estimate hours on N GPUs (h100, a100 ...) from their published peak"
    )
    probing = parser.add_mutually_exclusive_group()
    probing.add_argument("--probe", action="store_true", help="measure this machine again")
    probing.add_argument(
        "--no-probe", action="store_true", help="do not measure; hours are from an earlier measurement, or unknown"
    )
    add_json_argument(parser, "the plan")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and after printing where the plan exceeds its budget or cannot be fitted."""
    from rich.console import Console

    # These load torch and Hydra.
    from windtunnel.sweeps.planning.feasibility import check_feasibility
    from windtunnel.sweeps.planning.gpu_throughput import parse_gpu
    from windtunnel.sweeps.planning.machine import gpu_machine
    from windtunnel.sweeps.planning.summary import summarize_plan

    if arguments.workers is not None and not 1 <= arguments.workers <= MAX_WORKERS:
        raise InputError(f"--workers {arguments.workers}: give at least 1")
    if arguments.gpu and (arguments.workers or arguments.probe or arguments.no_probe):
        raise InputError("--gpu sets the number and speed of GPUs: leave out --workers, --probe and --no-probe")
    gpus = parse_gpu(arguments.gpu) if arguments.gpu else None
    plan = plan_from_arguments(arguments)
    summary = summarize_plan(plan, gpu_machine(plan, gpus) if gpus else _this_machine(plan, arguments))
    if not write_document(summary.to_dict(), arguments.json):
        console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
        summary.print(console, every_run=arguments.all)
    if summary.exceeded:
        raise plan.file.error_at(("budget",), f"beyond the budget: {'; '.join(summary.exceeded)}")
    check_feasibility(plan)
    return 0


def _this_machine(plan: "Plan", arguments: argparse.Namespace) -> "Machine":
    from rich.console import Console

    from windtunnel.sweeps.planning.machine import local_machine  # loads torch and Hydra

    with Console(stderr=True).status("measuring this machine") as status:
        return local_machine(
            plan,
            arguments.runs,
            workers=arguments.workers,
            measure=not arguments.no_probe,
            remeasure=arguments.probe,
            progress=status.update,
        )
