"""Every run of the study `ladder-gpu`, composed and started on a CPU.

Each makes two training steps of one sequence (instead of 64) in one thread, on synthetic tokens of the same vocabulary.
GPU speed and bf16 are not tested. For each size, the seconds per step are printed with those that the plan assumes for
one H100 and as many tokens.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from windtunnel.sweeps.planning.cost import step_shape
from windtunnel.sweeps.planning.gpu_throughput import parse_gpu, published_timings
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan
from windtunnel.train.batches import Batches
from windtunnel.train.config.config import RunConfig
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.order import run_order
from windtunnel.train.data.prepare import prepare
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.device import configure_process, decide_numerics, join_ranks
from windtunnel.train.fleet import Fleet

STEPS = 2


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--largest", type=float, default=float("inf"), metavar="N", help="leave out models of more parameters"
    )
    largest = parser.parse_args(arguments).largest
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        plan = make_plan(load_study("ladder-gpu"), folder / "runs", folder / "data")
        runs = [run for run in plan.runs if run.parameters.total <= largest]
        corpus = _corpus(runs[0].config, folder)
        step_seconds: dict[int, list[float]] = {}
        for run in runs:
            step_seconds.setdefault(run.parameters.total, []).append(_measure_step(run, corpus))
        _print_table(plan, runs, step_seconds)


def _corpus(config: RunConfig, folder: Path) -> Corpus:
    """Synthetic tokens of the study's vocabulary."""
    vocabulary, length = config.model.vocabulary_size, config.data.sequence_length
    spec = DataSpec(
        f"synthetic:context-tree?vocabulary={vocabulary}",
        vocabulary=0,
        token_budget=64 * length,
        validation_fraction=0.5,
    )
    return Corpus(prepare(spec, folder / "data"))


def _measure_step(run: PlannedRun, corpus: Corpus) -> float:
    """Seconds per step, at the learning rates of the run's own schedule."""
    config = run.config
    length = config.data.sequence_length
    small = replace(
        config,
        optimizer=replace(config.optimizer, tokens_per_step=length),
        data=replace(config.data, weights=None, unique_tokens=None, max_epochs=1e9),
        runtime=replace(
            config.runtime, device="cpu", precision="fp32", compile="off", threads=1, micro_batch_sequences=0
        ),
    )
    ranks = join_ranks()
    numerics = decide_numerics(small, ranks, None)
    configure_process(numerics)
    fleet = Fleet([small], numerics, ranks)
    batches = Batches(
        corpus, [run_order(small, corpus)], sequence_length=length, sequences_per_step=1, rank=0, world_size=1,
        device=fleet.device,
    )  # fmt: skip
    start = time.perf_counter()
    for step in range(STEPS):
        losses = fleet.step(step, batches)
        if not bool(torch.isfinite(losses).all()) or not 0 < fleet.rates_SM[step, 0] <= config.optimizer.rate:
            raise SystemExit(f"{run.run_id}: step {step} is not finite, or its rate {fleet.rates_SM[step, 0]} is wrong")
    return (time.perf_counter() - start) / STEPS


def _print_table(plan: Plan, runs: list[PlannedRun], step_seconds: dict[int, list[float]]) -> None:
    print(f"{len(runs)} of {len(plan.runs)} runs of {plan.file.name} made {STEPS} steps of one sequence on this CPU")
    print(f"{'parameters':>12}{'runs':>6}{'s per step':>15}{'s per step, H100 assumed':>26}")
    for parameters, seconds in step_seconds.items():
        config = next(run.config for run in runs if run.parameters.total == parameters)
        shape = step_shape(config)
        timing = published_timings({shape: config}, parse_gpu("h100").gpu)[shape]
        assumed = timing.step * config.data.sequence_length / config.tokens_per_step
        print(f"{parameters:>12,}{len(seconds):>6}{min(seconds):>15.2f}{assumed:>26.5f}")


if __name__ == "__main__":
    main(sys.argv[1:])
