"""Tokens per second of a training step at three sizes on one CPU thread.

The baseline is a plain loop around transformers' LlamaForCausalLM of the same shape, with torch's fused AdamW, gradient
clipping and the same batches. Both are measured without records, evaluation and checkpoints. They alternate, so that a
busy machine slows both; the ratio is the median over turns.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from windtunnel.models.accounting import count_parameters, flops_per_token
from windtunnel.train.batches import Batches
from windtunnel.train.config.compose import compose
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import resolve
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.order import run_order
from windtunnel.train.device import configure_process, decide_numerics, join_ranks
from windtunnel.train.fleet import Fleet
from windtunnel.train.gemm_peak import gemm_flops_per_second
from windtunnel.train.records import read_record
from windtunnel.train.run import run_folder, train_runs

SIZES = {"12k": 60, "200k": 20, "3M": 3}  # size: steps per turn
TURNS = 7
measure_peak = gemm_flops_per_second.__wrapped__  # without its cache: measured in every turn


def configuration(size: str, directory: str, *overrides: str) -> RunConfig:
    paths = (
        f"runtime.data_directory={directory}/data",
        f"runtime.runs_directory={directory}/runs",
        "logging.wandb=off",
    )
    request = compose([f"size={size}", "horizon.tokens=4M", "runtime.threads=1", *paths, *overrides])
    return resolve(request, (), progress=lambda message: None)[0]


def baseline_step(config: RunConfig) -> Callable[[torch.Tensor, torch.Tensor], None]:
    model = config.model
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=model.vocabulary_size,
            hidden_size=model.width,
            intermediate_size=model.feedforward_width,
            num_hidden_layers=model.depth,
            num_attention_heads=model.head_count,
            num_key_value_heads=model.head_count,
            max_position_embeddings=config.data.sequence_length,
            tie_word_embeddings=model.tied_embedding,
        )
    )
    optimizer = torch.optim.AdamW(llama.parameters(), lr=1e-3, fused=True)

    def step(inputs_BT: torch.Tensor, targets_BT: torch.Tensor) -> None:
        logits_BTV = llama(input_ids=inputs_BT, use_cache=False).logits
        torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(llama.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(size: str, steps: int, directory: str) -> None:
    config = configuration(size, directory)
    ranks = join_ranks()
    numerics = decide_numerics(config, ranks, None)
    configure_process(numerics)
    corpus = Corpus(Path(config.runtime.data_directory) / config.data.folder)
    fleet = Fleet([config], numerics, ranks)
    batches = Batches(
        corpus,
        [run_order(config, corpus)],
        sequence_length=config.data.sequence_length,
        sequences_per_step=config.sequences_per_step,
        rank=0,
        world_size=1,
        device=fleet.device,
    )
    baseline = baseline_step(config)
    ours, theirs, peaks, number = [], [], [], 0
    for _ in range(TURNS + 1):
        start = time.perf_counter()
        for _ in range(steps):
            fleet.step(number, batches)
            number += 1
        middle = time.perf_counter()
        for step in range(number - steps, number):
            inputs_MBT, targets_MBT = batches.at(step)
            baseline(inputs_MBT[0], targets_MBT[0])
        ours.append(middle - start)
        theirs.append(time.perf_counter() - middle)
        peaks.append(measure_peak("cpu", torch.float32, 1))
    ours, theirs, peaks = ours[1:], theirs[1:], peaks[1:]  # the first turn warms up
    rate = steps * config.tokens_per_step / statistics.median(ours)
    flops = flops_per_token(config.model, config.data.sequence_length).exact_causal
    share = statistics.median(
        steps * config.tokens_per_step * flops / (a * p) for a, p in zip(ours, peaks, strict=True)
    )
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    print(
        f"{size:>5} {count_parameters(config.model).non_embedding:>10,} {rate:>10,.0f} tokens/s "
        f"{share:>6.0%} of GEMM peak ({statistics.median(peaks) / 1e9:.0f} GFLOP/s)   "
        f"{statistics.median(ratios):.2f}x the speed of the baseline ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )


def measure_overhead(directory: str) -> None:
    config = configuration("12k", directory)
    train_runs([config], show_progress=False)
    performance = read_record(run_folder(config))["performance"]
    print(
        f"whole run at 12k, {config.total_tokens:,} tokens: {performance['tokens_per_second']:,.0f} tokens/s in "
        f"training; evaluation, logging and checkpoints take {performance['overhead_share']:.1%} of "
        f"{performance['wall_seconds']:.0f} s"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        print("one thread, float32, 1,024 tokens per step, sequences of 128 bytes")
        for size, steps in SIZES.items():
            measure(size, steps, directory)
        measure_overhead(directory)


if __name__ == "__main__":
    main()
