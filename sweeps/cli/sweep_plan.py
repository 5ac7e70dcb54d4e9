"""`windtunnel sweep plan`: every run of a study before any is trained, what all of it costs, and what a careful reader
would object to.
"""

import argparse
import os
import sys

from rich.console import Console
from rich.table import Table

from windtunnel.sweeps.cli.arguments import json_output, write_document
from windtunnel.sweeps.cli.study_arguments import add_study_arguments, plan_of_arguments
from windtunnel.sweeps.planning.cost import shapes_of
from windtunnel.sweeps.planning.feasibility import refuse_infeasible
from windtunnel.sweeps.planning.gpu_throughput import (
    ASSUMED_SHARE_OF_PEAK,
    BYTES_PER_PARAMETER,
    Rental,
    parse_gpu,
    published_paces,
)
from windtunnel.sweeps.planning.summary import Machine, Outlook, SizeRow, look_ahead, new_flops
from windtunnel.sweeps.planning.throughput import paces_here
from windtunnel.sweeps.study.plan import Plan
from windtunnel.train.config.run_id import compact
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel sweep plan quickstart
  windtunnel sweep plan ladder --all
  windtunnel sweep plan my-study.yaml --gpu h100:4 --json plan.json

A study file names settings as `windtunnel train` does:

  title: does width pay
  fixed: {data: prose}                        # settings of every run
  family:                                     # what laws are fitted to
    - grid:                                   # the product of its lists
        size: {from: 25k, to: 400k, points: 4}
        horizon.tokens: [1M, 2M, 4M]          # one trunk serves them all
        seed: [0, 1, 2]
      where: D >= 10 * N                      # kept of them
  targets:                                    # held out, trained after the laws are fitted and sealed
    - rows: [{size: 1m, horizon.tokens: 8M}]
  analysis: {laws: [chinchilla], where: D >= 1e6}
  budget: {hours: 2}                          # by the clock, of all workers; also tokens, flops, disk_gigabytes

Exit status 2 where the plan goes beyond its budget, or its laws cannot be fitted to such a family."""
WIDEST_HORIZONS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLE
    add_study_arguments(parser)
    parser.add_argument("--all", action="store_true", help="list every run")
    parser.add_argument(
        "--workers", type=int, metavar="W", help="runs at a time here (default: one a processor or GPU)"
    )
    parser.add_argument(
        "--gpu", metavar="NAME[:N]", help="hours on N such GPUs, by their published peak: h100, a100 ..."
    )
    probing = parser.add_mutually_exclusive_group()
    probing.add_argument("--probe", action="store_true", help="measure this machine again")
    probing.add_argument(
        "--no-probe", action="store_true", help="measure nothing: hours from an earlier probe, or none"
    )
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="everything for programs; - is standard output"
    )


def run(options: argparse.Namespace) -> int:
    """Prints the plan. Raises InputError for bad input, and after the table where the budget is exceeded
    or the analysis cannot be carried out.
    """
    if options.workers is not None and not 1 <= options.workers <= 100_000:
        raise InputError(f"--workers {options.workers}: give at least 1")
    if options.gpu and (options.workers or options.probe or options.no_probe):
        raise InputError("--gpu says how many GPUs and how fast: leave out --workers, --probe and --no-probe")
    rental = parse_gpu(options.gpu) if options.gpu else None
    plan = plan_of_arguments(options)
    outlook = look_ahead(plan, _gpus(plan, rental) if rental else _this_machine(plan, options))
    if not (options.json and write_document(outlook.document(), options.json)):
        show(outlook, every_run=options.all)
    if outlook.exceeded:
        raise plan.file.fault(("budget",), f"beyond the budget: {'; '.join(outlook.exceeded)}")
    refuse_infeasible(plan)
    return 0


def _gpus(plan: Plan, rental: Rental) -> Machine:
    shapes = shapes_of(plan.runs)
    largest = max(run.parameters.total for run in plan.runs) * BYTES_PER_PARAMETER
    if largest > rental.gpu.memory_bytes:
        raise InputError(
            f"--gpu {rental.name}: {largest / 1e9:.3g} GB of parameters, gradients and moments do not fit into its "
            f"{rental.gpu.memory_bytes / 1e9:.3g} GB"
        )
    assumption = (
        f"hours on {rental.words} assume {ASSUMED_SHARE_OF_PEAK:.0%} of the published "
        f"{rental.gpu.bf16_flops_per_second / 1e12:.4g} TFLOP/s (bf16, dense) and a run a GPU; nothing is measured"
    )
    return Machine(rental.words, rental.count, published_paces(shapes, rental.gpu), (assumption,))


def _this_machine(plan: Plan, options: argparse.Namespace) -> Machine:
    progress = Console(stderr=True)
    with progress.status("probing this machine") as status:
        paces = paces_here(
            shapes_of(plan.runs),
            options.runs,
            measure=not options.no_probe,
            anew=options.probe,
            progress=status.update,
        )
    workers = options.workers or _slots()
    words = f"this machine, {workers} worker{'s' if workers > 1 else ''}"
    if not paces:
        return Machine(
            words,
            workers,
            {},
            ("hours are not known: nothing was measured, or every size is too large to be",),
        )
    sources = {pace.source for pace in paces.values()}
    derived = " and ".join(sorted(sources - {"measured"}))
    notes = (f"the pace of some sizes is {derived} by FLOPs from those measured",) if derived else ()
    return Machine(words, workers, paces, notes)


def _slots() -> int:
    """As many runs at a time as there are GPUs, else processors for this process."""
    if "torch" in sys.modules:  # a probe has loaded it; for a count alone it is too slow
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show(outlook: Outlook, *, every_run: bool) -> None:
    """The plan for people."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    console.print(f"{outlook.plan.file.name}: {outlook.plan.file.study.title}", markup=False)
    console.print(_size_table(outlook))
    if every_run:
        console.print(_run_table(outlook))
    for line in (*_total_lines(outlook), *_target_lines(outlook)):
        console.print(line, markup=False, soft_wrap=True)
    for note in (*outlook.machine.assumptions, *outlook.notes):
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def _size_table(outlook: Outlook) -> Table:
    table = Table(
        title="by size: N of all parameters, without embeddings, and those with the head", title_justify="left"
    )
    headings = ("", "N", "non-emb.", "+ head", "shape", "horizons", "seeds", "runs", "tokens", "FLOPs", "hours")
    for heading in headings:
        table.add_column(heading, justify="right" if heading not in ("", "horizons") else "left")
    for row in outlook.sizes:
        table.add_row(
            row.role,
            f"{row.parameters:,}",
            f"{row.non_embedding:,}",
            f"{row.non_embedding_and_head:,}",
            f"{row.width} x {row.depth}",
            _horizons(row),
            str(row.most_seeds) if row.least_seeds == row.most_seeds else f"{row.least_seeds}-{row.most_seeds}",
            f"{row.runs:,}",
            compact(row.tokens),
            f"{row.flops:.3g}",
            _hours(row.hours),
        )
    return table


def _horizons(row: SizeRow) -> str:
    names = [compact(tokens) for tokens in row.horizons]
    return " ".join(names) if len(names) <= WIDEST_HORIZONS else f"{names[0]} ... {names[-1]} ({len(names)})"


def _run_table(outlook: Outlook) -> Table:
    table = Table(title="every run", title_justify="left")
    for heading in ("run", "needs", "tokens", "new", "FLOPs", "hours"):
        table.add_column(heading, justify="left" if heading in ("run", "needs") else "right", overflow="fold")
    for run in outlook.plan.runs:
        needs = f"{run.parent}@{run.parent_step}" if run.parent else "-"
        flops = f"{new_flops(run):.3g}"
        table.add_row(run.run_id, needs, f"{run.tokens:,}", f"{run.new_tokens:,}", flops, _hours(outlook.hours([run])))
    return table


def _total_lines(outlook: Outlook) -> list[str]:
    totals = outlook.totals
    lines = [
        f"{totals.runs:,} runs on {totals.trunks:,} trunks: {compact(totals.tokens)} tokens, {totals.flops:.3g} FLOPs "
        f"(6 N D); as separate runs {compact(totals.separate_tokens)} tokens, {totals.separate_flops:.3g} FLOPs: "
        f"branching saves {totals.saving:.0%}",
    ]
    if totals.hours is not None:
        lines.append(
            f"{outlook.machine.words}: {_hours(totals.hours)} hours, of work {_hours(totals.worker_hours)}; "
            f"the longest chain of runs takes {_hours(totals.longest_path_hours)}"
        )
    lines.append(f"disk: {_bytes(totals.peak_bytes)} at most, {_bytes(totals.left_bytes)} left at the end")
    return lines


def _target_lines(outlook: Outlook) -> list[str]:
    lines = []
    for point in outlook.targets:
        at, beyond = point.at, point.beyond
        seeds = len({run.config.seed for run in point.runs})
        lines.append(
            f"target N = {at['N']:,.0f}, D = {compact(round(at['D']))}, C = {at['C']:.3g}, {seeds} "
            f"seed{'s' if seeds > 1 else ''}: {beyond['N']:.3g} x the largest fitted N, {beyond['D']:.3g} x D, "
            f"{beyond['C']:.3g} x C; {point.tokens_per_parameter:.3g} tokens per parameter"
        )
    return lines


def _hours(hours: float | None) -> str:
    if hours is None:
        return "-"
    return f"{hours:.2f}" if hours >= 0.1 else f"{hours:.2g}"


def _bytes(number: int) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 1e3:.3g} kB"
