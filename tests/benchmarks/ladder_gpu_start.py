"""Every run of the study `ladder-gpu` composed and started: two steps of training in one thread of a CPU, each of one
sequence instead of sixty-four, on tokens of the same vocabulary. What remains for a GPU to show is speed and bf16.

`--largest N` leaves out models above so many parameters. Beside each size stand the seconds of a step here and those
that the plan assumes for one H100, scaled to as many tokens.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from windtunnel.models.accounting import count_parameters
from windtunnel.sweeps.planning.cost import shape_of
from windtunnel.sweeps.planning.gpu_throughput import parse_gpu, published_paces
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan
from windtunnel.train.batches import Batches, order_of
from windtunnel.train.config.config import RunConfig
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.prepare import prepare
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.device import decide_numerics, join_ranks, settle_process
from windtunnel.train.fleet import Fleet

STEPS = 2


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=float, default=float("inf"), metavar="N")
    largest = parser.parse_args(arguments or []).largest
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        plan = make_plan(load_study("ladder-gpu"), folder / "runs", folder / "data")
        chosen = [run for run in plan.runs if count_parameters(run.config.model).total <= largest]
        corpus = _corpus(chosen[0].config, folder)
        spent: dict[int, list[float]] = {}
        for run in chosen:
            seconds = _start(run, corpus)
            spent.setdefault(count_parameters(run.config.model).total, []).append(seconds)
        _tell(plan, chosen, spent)


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


def _start(run: PlannedRun, corpus: Corpus) -> float:
    """Seconds of a step. The rates are those of the run's own schedule."""
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
    settle_process(numerics)
    fleet = Fleet([small], numerics, ranks)
    batches = Batches(
        corpus, [order_of(small, corpus)], sequence_length=length, sequences_per_step=1, rank=0, world_size=1,
        device=fleet.device,
    )  # fmt: skip
    begun = time.perf_counter()
    for step in range(STEPS):
        losses = fleet.step(step, batches)
        if not bool(torch.isfinite(losses).all()) or not 0 < fleet.rates_SM[step, 0] <= config.optimizer.rate:
            raise SystemExit(f"{run.run_id}: step {step} is not finite, or its rate {fleet.rates_SM[step, 0]} is wrong")
    return (time.perf_counter() - begun) / STEPS


def _tell(plan: Plan, chosen: list[PlannedRun], spent: dict[int, list[float]]) -> None:
    print(f"{len(chosen)} of {len(plan.runs)} runs of {plan.file.name} made {STEPS} steps of one sequence on this CPU")
    print(f"{'parameters':>12}{'runs':>6}{'s a step here':>15}{'s a step, H100 assumed':>24}")
    for parameters, seconds in spent.items():
        run = next(each for each in chosen if count_parameters(each.config.model).total == parameters)
        shape = shape_of(run.config)
        pace = published_paces({shape: run.config}, parse_gpu("h100").gpu)[shape]
        assumed = pace.step * run.config.data.sequence_length / run.config.tokens_per_step
        print(f"{parameters:>12,}{len(seconds):>6}{min(seconds):>15.2f}{assumed:>24.5f}")
