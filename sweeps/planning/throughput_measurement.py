"""One shape measured on this machine: start, step, evaluated token and checkpoint, in seconds.

In one thread of a CPU it is processor time that is measured: what else the machine does at the moment is no property of
the shape. Elsewhere it is time by the clock.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from windtunnel.sweeps.planning.cost import Pace
from windtunnel.train import checkpoint
from windtunnel.train.batches import Batches, order_of
from windtunnel.train.config.config import RunConfig
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.prepare import prepare
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.device import decide_numerics, join_ranks, settle_process
from windtunnel.train.evaluation import SEQUENCES_PER_PASS, Evaluation
from windtunnel.train.fleet import Fleet

SECONDS = 0.5  # of training steps
BLOCK_SECONDS = 0.05  # shorter steps are timed several together
LEAST_BLOCKS, MOST_BLOCKS = 3, 20
LEAST_TOKENS = 1 << 17


@dataclass(frozen=True)
class Stopwatch:
    """Seconds that work takes on a device."""

    device: torch.device
    threads: int

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.device.type == "cpu" and self.threads == 1 else time.perf_counter()

    def fastest(self, work: Callable[[], object], times: int) -> float:
        found = []
        for _ in range(times):
            mark = self.now()
            work()
            found.append(self.now() - mark)
        return min(found)


def likely_flops_per_second() -> float:
    """Of a device that nothing was measured on yet, so that a first shape far too large is not tried."""
    return 1e13 if torch.cuda.is_available() else 2e10


def measure_pace(config: RunConfig, folder: Path, sequences: int) -> Pace:
    """The pace of this configuration's shape, in about a second, from steps of so many sequences. `folder` is for what
    training needs on disk; shapes measured in one folder share it.
    """
    threads = torch.get_num_threads()
    try:
        pace = _measure(_long_run(config, sequences), folder)
    finally:
        torch.set_num_threads(threads)
    scale = config.sequences_per_step / sequences
    return pace if scale == 1 else replace(pace, step=pace.step * scale, source="extrapolated")


def _long_run(config: RunConfig, sequences: int) -> RunConfig:
    """Of the same shape but for the sequences of a step, with steps and data that do not end."""
    return replace(
        config,
        optimizer=replace(config.optimizer, tokens_per_step=sequences * config.data.sequence_length),
        schedule=replace(config.schedule, total_steps=max(10_000, config.schedule.total_steps)),
        data=replace(config.data, weights=None, unique_tokens=None, max_epochs=1e9),
        runtime=replace(
            config.runtime,
            compile="off",
            threads=config.runtime.threads or 1,
            micro_batch_sequences=_divisor(config, sequences),
        ),
    )


def _divisor(config: RunConfig, sequences: int) -> int:
    """The study's micro-batch as far as it goes into so many sequences."""
    asked = config.runtime.micro_batch_sequences
    return math.gcd(asked, sequences) if asked else 0


def _measure(config: RunConfig, folder: Path) -> Pace:
    corpus = _corpus(config, folder)
    ranks = join_ranks()
    numerics = decide_numerics(config, ranks, None)
    settle_process(numerics)
    watch = Stopwatch(numerics.torch_device(ranks), numerics.threads)
    begun = watch.now()
    fleet = Fleet([config], numerics, ranks)
    length = config.data.sequence_length
    batches = Batches(
        corpus,
        [order_of(config, corpus)],
        sequence_length=length,
        sequences_per_step=config.sequences_per_step,
        rank=0,
        world_size=1,
        device=fleet.device,
    )
    evaluation = Evaluation(
        corpus,
        sequence_length=length,
        evaluation_tokens=SEQUENCES_PER_PASS * length,
        ranks=ranks,
        device=fleet.device,
    )
    fleet.step(0, batches)  # allocates, and loads kernels
    start = watch.now() - begun
    step = _seconds_per_step(fleet, batches, watch)
    evaluated = watch.fastest(lambda: evaluation(fleet.model, 1), 2)
    saved = watch.fastest(lambda: checkpoint.save(folder, 0, fleet.member_state(0), "probe"), 1)
    return Pace(start, step, evaluated / evaluation.tokens, saved, "measured")


def _seconds_per_step(fleet: Fleet, batches: Batches, watch: Stopwatch) -> float:
    """The lower quartile over blocks of steps: processor time too is stretched where others share the core."""
    timings: list[float] = []
    number, together, spent = 1, 1, 0.0
    while len(timings) < LEAST_BLOCKS or (spent < SECONDS and len(timings) < MOST_BLOCKS):
        mark = watch.now()
        for _ in range(together):
            fleet.step(number, batches)
            number += 1
        block = watch.now() - mark
        spent += block
        timings.append(block / together)
        together = max(1, min(20, round(BLOCK_SECONDS / max(timings[-1], 1e-6))))
    return statistics.quantiles(timings, n=4)[0] if len(timings) > 3 else min(timings)


def _corpus(config: RunConfig, folder: Path) -> Corpus:
    """Synthetic tokens that the vocabulary holds: as fast to train on as any."""
    vocabulary = 1 << max(4, min(16, config.model.vocabulary_size.bit_length() - 1))
    spec = DataSpec(
        f"synthetic:context-tree?vocabulary={vocabulary}",
        vocabulary=0,
        token_budget=max(LEAST_TOKENS, 2 * SEQUENCES_PER_PASS * config.data.sequence_length),
        validation_fraction=0.5,
    )
    return Corpus(prepare(spec, folder / "data"))
