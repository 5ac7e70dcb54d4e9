"""The training loop of a fleet: steps, curves, evaluations and checkpoints, without a host synchronization per step.

Losses stay in a buffer on the device and are copied to the host about once a second. Everything that shows in a result
is decided by step counts; only the times of writing follow the clock.

Shapes: M members, S steps.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as distributed

from windtunnel.train import checkpoint
from windtunnel.train.batches import Batches
from windtunnel.train.evaluation import Evaluation
from windtunnel.train.fleet import Fleet
from windtunnel.train.interruption import Interruption
from windtunnel.train.milestones import milestones_of
from windtunnel.train.progress import Progress
from windtunnel.train.records import RunRecord
from windtunnel.train.training_curve import TrainingCurve

BUFFER_STEPS = 100
# Steps between the collectives in which ranks agree whether to stop: cheap per step, and short beside a grace time.
AGREEMENT_STEPS = 20
FLUSH_SECONDS = 1.0
Ending = Literal["finished", "diverged", "preempted"]
_CONTINUE, _STOP, _ALL_DIVERGED = 0, 1, 2


@dataclass
class Clock:
    """Seconds of this session by purpose."""

    training: float = 0.0
    evaluation: float = 0.0
    checkpoint: float = 0.0
    logging: float = 0.0

    @property
    def total(self) -> float:
        return self.training + self.evaluation + self.checkpoint + self.logging

    @property
    def overhead_share(self) -> float:
        return (self.evaluation + self.checkpoint + self.logging) / self.total if self.total else 0.0


class Loop:
    """Trains a fleet from `start_step` to the end or to an interruption.

    records: one for each member on the first rank; empty on the others. curves: one for each member. earlier_seconds:
    wall time of earlier sessions of the run.
    """

    def __init__(
        self,
        fleet: Fleet,
        batches: Batches,
        evaluation: Evaluation,
        records: Sequence[RunRecord],
        curves: Sequence[TrainingCurve],
        start_step: int,
        earlier_seconds: float,
        progress: Progress | None,
    ) -> None:
        self.fleet, self.batches, self.evaluation = fleet, batches, evaluation
        self.records, self.curves, self.progress = records, curves, progress
        self.step, self._start_step, self._earlier_seconds = start_step, start_step, earlier_seconds
        self.clock = Clock()
        config = fleet.configs[0]
        self._total_steps = config.schedule.total_steps
        self._milestones = set(milestones_of(config))
        self._runtime = config.runtime
        self._checkpoint_steps = {step for member in fleet.configs for step in member.logging.checkpoint_steps}
        self._buffer_S2M = torch.zeros(BUFFER_STEPS, 2, len(fleet.configs), device=fleet.device)
        self._filled = 0
        self._last_loss: float | None = None
        self.results: list[dict[str, float]] = [{} for _ in fleet.configs]  # last evaluation of each member

    def run(self, interruption: Interruption) -> Ending:
        """Train until the end, an interruption, or the divergence of all members."""
        try:
            return self._run(interruption)
        finally:
            if self.progress is not None:
                self.progress.close()

    def _run(self, interruption: Interruption) -> Ending:
        self._mark = self._last_flush = self._last_checkpoint = time.monotonic()
        while self.step < self._total_steps:
            self._buffer_S2M[self._filled] = self.fleet.step(self.step, self.batches)
            self._filled += 1
            self.step += 1
            evaluate = self.step in self._milestones
            if (
                self._filled == BUFFER_STEPS
                or evaluate
                or self.step in self._checkpoint_steps
                or interruption.stop
                or interruption.save
                or time.monotonic() - self._last_flush > FLUSH_SECONDS
            ):
                self._flush()
            decision = self._agree(interruption.stop, evaluate)
            if decision == _ALL_DIVERGED:
                return "diverged"
            if evaluate:
                self._evaluate()
            self._save_if_due(interruption, stopping=decision == _STOP)
            if decision == _STOP and self.step < self._total_steps:
                return "preempted"
        return "finished"

    def _add_time(self, purpose: str) -> None:
        """Add the time since the last call to a purpose."""
        mark = time.monotonic()
        setattr(self.clock, purpose, getattr(self.clock, purpose) + mark - self._mark)
        self._mark = mark

    def _flush(self) -> None:
        """Copy the buffered losses to the host, extend the curves and write completed rows."""
        values_S2M = self._buffer_S2M[: self._filled].cpu().numpy()
        self._add_time("training")
        self._filled = 0
        self._last_flush = time.monotonic()
        is_last = self.step == self._total_steps
        for member, curve in enumerate(self.curves):
            if curve.diverged_at is not None:
                continue
            rows = curve.extend(values_S2M[:, :, member])
            if is_last and curve.diverged_at is None:
                rows += curve.incomplete_row()
            if rows:
                self._last_loss = rows[-1]["loss"]
            if self.records:
                self.records[member].append(rows, [self._timing()] if rows else [])
        if self.progress is not None:
            self.progress.update(self.step, self._last_loss, self.tokens_per_second)
        self._add_time("logging")

    def _timing(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": round(self.wall_seconds, 3),
            "tokens_per_second": round(self.tokens_per_second, 1),
        }

    @property
    def wall_seconds(self) -> float:
        """Wall time over all sessions of the run."""
        return self._earlier_seconds + self.clock.total

    @property
    def tokens_per_second(self) -> float:
        """Throughput of one member over the training time of this session."""
        tokens = (self.step - self._start_step) * self.fleet.configs[0].tokens_per_step
        return tokens / self.clock.training if self.clock.training else 0.0

    def _agree(self, stop: bool, evaluate: bool) -> int:
        """The decision of all ranks, equal at the same step. A single process decides at once."""
        diverged = all(curve.diverged_at is not None for curve in self.curves)
        decision = _ALL_DIVERGED if diverged else _STOP if stop else _CONTINUE
        if self.fleet.ranks.world_size == 1:
            return decision
        if not evaluate and self.step % AGREEMENT_STEPS:
            return _CONTINUE
        agreed = torch.tensor(decision, device=self.fleet.device)
        distributed.all_reduce(agreed, distributed.ReduceOp.MAX)
        return int(agreed.item())

    def _evaluate(self) -> None:
        rows = self.evaluation(self.fleet.model, len(self.fleet.configs))
        for member, (row, curve) in enumerate(zip(rows, self.curves, strict=True)):
            if curve.diverged_at is not None:
                continue
            if not math.isfinite(row["validation_nats_per_token"]):
                curve.diverged_at = self.step  # after the last update; the next loss would have shown it
                continue
            self.results[member] = row
            if self.records:
                tokens = self.step * self.fleet.configs[0].tokens_per_step
                self.records[member].append([{"kind": "evaluation", "step": self.step, "tokens": tokens, **row}])
        self._add_time("evaluation")

    def _save_if_due(self, interruption: Interruption, stopping: bool) -> None:
        is_due = (
            stopping
            or interruption.save
            or self.step in self._checkpoint_steps
            or self.step == self._total_steps
            or time.monotonic() - self._last_checkpoint > self._runtime.checkpoint_seconds
        )
        if not is_due:
            return
        if self._filled:
            self._flush()
        interruption.save = False
        for member, (record, curve) in enumerate(zip(self.records, self.curves, strict=False)):
            if curve.diverged_at is None:
                record.sync()
                state = self.fleet.member_state(member)
                state["pending_losses"] = torch.from_numpy(curve.pending_S2)
                state["recent_losses"] = torch.from_numpy(curve.recent_S)
                checkpoint.save(record.folder, self.step, state, record.folder.name)
                checkpoint.prune(
                    record.folder, keep_newest=self._runtime.keep_checkpoints, keep_steps=self._checkpoint_steps
                )
        self._last_checkpoint = time.monotonic()
        self._add_time("checkpoint")
