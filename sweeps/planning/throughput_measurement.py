"""Measures the timing of one shape on this machine: start, step, evaluated token and checkpoint, in seconds.

On one CPU thread it measures processor time, which other processes affect little; elsewhere, wall-clock time.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from windtunnel.sweeps.planning.cost import Timing
from windtunnel.train import checkpoint
from windtunnel.train.batches import Batches
from windtunnel.train.config.config import RunConfig
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.order import run_order
from windtunnel.train.data.prepare import prepare
from windtunnel.train.data.specification import DataSpec
from windtunnel.train.device import configure_process, decide_numerics, join_ranks
from windtunnel.train.evaluation import SEQUENCES_PER_PASS, Evaluation
from windtunnel.train.fleet import Fleet

MEASURED_SECONDS = 0.5  # of training steps
BLOCK_SECONDS = 0.05  # steps are timed in blocks of at least this length
MIN_BLOCKS, MAX_BLOCKS = 3, 20
MIN_TOKENS = 1 << 17


@dataclass(frozen=True)
class Stopwatch:
    """Measures seconds on a device."""

    device: torch.device
    threads: int

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.device.type == "cpu" and self.threads == 1 else time.perf_counter()

    def fastest(self, work: Callable[[], object], times: int) -> float:
        timings = []
        for _ in range(times):
            start = self.now()
            work()
            timings.append(self.now() - start)
        return min(timings)


def initial_flops_per_second() -> float:
    """A guess before the first measurement, so that a shape that is far too large is not tried."""
    return 1e13 if torch.cuda.is_available() else 2e10


def measure_timing(config: RunConfig, folder: Path, sequences: int) -> Timing:
    """The timing of a configuration's shape, from steps of so many sequences. Takes about a second. `folder` holds the
    synthetic corpus and a checkpoint; measurements can share it.
    """
    threads = torch.get_num_threads()
    try:
        timing = _measure(_long_run(config, sequences), folder)
    finally:
        torch.set_num_threads(threads)
    scale = config.sequences_per_step / sequences
    return timing if scale == 1 else replace(timing, step=timing.step * scale, source="extrapolated")


def _long_run(config: RunConfig, sequences: int) -> RunConfig:
    """A run of the same shape except for the sequences of a step, long enough for any measurement."""
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
    """The largest divisor of `sequences` that also divides the configured micro-batch."""
    micro_batch = config.runtime.micro_batch_sequences
    return math.gcd(micro_batch, sequences) if micro_batch else 0


def _measure(config: RunConfig, folder: Path) -> Timing:
    corpus = _corpus(config, folder)
    ranks = join_ranks()
    numerics = decide_numerics(config, ranks, None)
    configure_process(numerics)
    watch = Stopwatch(numerics.torch_device(ranks), numerics.threads)
    begin = watch.now()
    fleet = Fleet([config], numerics, ranks)
    length = config.data.sequence_length
    batches = Batches(
        corpus,
        [run_order(config, corpus)],
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
    start = watch.now() - begin
    step = _seconds_per_step(fleet, batches, watch)
    evaluated = watch.fastest(lambda: evaluation(fleet.model, 1), 2)
    saved = watch.fastest(lambda: checkpoint.save(folder, 0, fleet.member_state(0), "measurement"), 1)
    return Timing(start, step, evaluated / evaluation.tokens, saved, "measured")


def _seconds_per_step(fleet: Fleet, batches: Batches, watch: Stopwatch) -> float:
    """The lower quartile over blocks of steps: processor time also grows where other processes share the core."""
    timings: list[float] = []
    step, steps_per_block, total = 1, 1, 0.0
    while len(timings) < MIN_BLOCKS or (total < MEASURED_SECONDS and len(timings) < MAX_BLOCKS):
        start = watch.now()
        for _ in range(steps_per_block):
            fleet.step(step, batches)
            step += 1
        block = watch.now() - start
        total += block
        timings.append(block / steps_per_block)
        steps_per_block = max(1, min(20, round(BLOCK_SECONDS / max(timings[-1], 1e-6))))
    return statistics.quantiles(timings, n=4)[0] if len(timings) > 3 else min(timings)


def _corpus(config: RunConfig, folder: Path) -> Corpus:
    """Synthetic tokens within the vocabulary; training on them is as fast as on any others."""
    vocabulary = 1 << max(4, min(16, config.model.vocabulary_size.bit_length() - 1))
    spec = DataSpec(
        f"synthetic:context-tree?vocabulary={vocabulary}",
        vocabulary=0,
        token_budget=max(MIN_TOKENS, 2 * SEQUENCES_PER_PASS * config.data.sequence_length),
        validation_fraction=0.5,
    )
    return Corpus(prepare(spec, folder / "data"))
