"""A study whose runs are recorded instead of trained: their losses follow an additive law with seed noise."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from windtunnel.sweeps.study.load import parse_study
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan
from windtunnel.train.config.run_id import scientific_hash
from windtunnel.train.counts import corpus_summary, counts
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.records import RunRecord, now

STUDY = """
title: Of a law
fixed: {data: zipf-facts, data.token_budget: 400k, data.evaluation_tokens: 1024, data.sequence_length: 32,
        data.max_epochs: 1000, optimizer.tokens_per_step: 1024, schedule.warmup_tokens: 8192}
family:
  - grid: {size: [10k, 25k, 50k, 100k], horizon.tokens: [1M, 2M, 4M], seed: [0, 1]}
targets:
  - grid: {size: 200k, horizon.tokens: 16M, seed: [0, 1]}
analysis:
  laws: [chinchilla, kaplan, overtraining]
"""
SEED_NOISE = 0.002


def plan_text(text: str, folder: Path, data_directory: Path) -> Plan:
    """The plan of a study text, as if in `FOLDER/law.yaml`, with its runs in `FOLDER/runs`."""
    return make_plan(parse_study(text, folder / "law.yaml"), folder / "runs", data_directory, prepare=True)


def loss_of(run: PlannedRun) -> float:
    size, tokens = run.parameters.total, run.tokens
    noise = SEED_NOISE * np.random.default_rng(run.config.seed + size).standard_normal()
    return float((1.2 + 20 / size**0.3 + 60 / tokens**0.35) * math.exp(noise))


def write_record(run: PlannedRun, status: str = "finished") -> None:
    config = run.config
    corpus = Corpus(Path(config.runtime.data_directory) / config.data.folder)
    with RunRecord(run.folder) as record:
        record.update(
            run_id=run.run_id,
            scientific_hash=scientific_hash(config),
            status=status,
            created=now(),
            config=asdict(config),
            lineage={"parent": run.parent, "step": run.parent_step} if run.parent else None,
            counts=counts(config, corpus),
            data=corpus_summary(corpus),
            result={"validation_nats_per_token": loss_of(run), "tokens": run.tokens} if status == "finished" else None,
        )
        record.append([{"kind": "evaluation", "step": config.schedule.total_steps, "tokens": run.tokens}])


class RecordingTrainer:
    """Writes records instead of training, and collects the run ids. The run `broken` fails."""

    def __init__(self, broken: str | None = None) -> None:
        self.requests: list[list[str]] = []
        self.broken = broken

    def __call__(self, runs: Sequence[PlannedRun]) -> bool:
        self.requests.append([run.run_id for run in runs])
        for run in runs:
            write_record(run, "failed" if run.run_id == self.broken else "finished")
        return self.broken is None or self.broken not in self.requests[-1]
