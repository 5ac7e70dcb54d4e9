"""The status of a study, from its records and SLURM's queue alone, so any login node can report it."""

import json
import os
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from windtunnel.sweeps.slurm.continuation import find_continuation
from windtunnel.sweeps.slurm.packing import DurationOf
from windtunnel.sweeps.slurm.queue import QueuedTask
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.records import FINAL_STATUSES, Json, read_record

# `stopped`: started, has no process and is not in the queue. `missing`: never started and not in the queue.
State = Literal["finished", "diverged", "running", "queued", "stopped", "failed", "missing"]
STATES: tuple[State, ...] = ("finished", "diverged", "running", "queued", "stopped", "failed", "missing")
TAIL_BYTES = 4096


@dataclass(frozen=True)
class RunStatus:
    run: PlannedRun
    state: State
    step: int
    error: str | None  # of a failed run
    task: QueuedTask | None
    seconds: float | None  # wall time of a run with a result

    @property
    def tokens_done(self) -> int:
        """Trained tokens, without those that the run shares with its trunk."""
        if self.state in FINAL_STATUSES:
            return self.run.new_tokens
        return max(0, self.step - self.run.parent_step) * self.run.config.tokens_per_step


@dataclass(frozen=True)
class StudyStatus:
    """stage: the stage of the pipeline. prepared: False where the data are missing here, without which run ids are not
    known. remaining_seconds: of work, one run after the other; None where it is not known.
    """

    study: str
    runs: tuple[RunStatus, ...]
    tasks: tuple[QueuedTask, ...]
    queue_known: bool
    prepared: bool
    remaining_seconds: float | None
    stage: str | None = None

    @property
    def continuation(self) -> QueuedTask | None:
        """The job in the queue that continues the pipeline."""
        return find_continuation(self.tasks)

    @property
    def counts(self) -> dict[State, int]:
        counts = Counter(run.state for run in self.runs)
        return {state: counts[state] for state in STATES}

    def with_state(self, state: State) -> list[RunStatus]:
        return [run for run in self.runs if run.state == state]

    def to_dict(self) -> Json:
        queue = [{"job": task.name, "state": task.state, "reason": task.reason} for task in self.tasks]
        return {
            "study": self.study,
            "runs": len(self.runs),
            "prepared": self.prepared,
            "stage": self.stage,
            "continuation": self.continuation.job if self.continuation else None,
            "counts": dict(self.counts),
            "tokens": {
                "done": sum(run.tokens_done for run in self.runs),
                "planned": sum(run.run.new_tokens for run in self.runs),
            },
            "running": [
                {
                    "run_id": run.run.run_id,
                    "step": run.step,
                    "total_steps": run.run.config.schedule.total_steps,
                    "job": run.task.name if run.task else None,
                }
                for run in self.with_state("running")
            ],
            "failed": [{"run_id": run.run.run_id, "error": run.error} for run in self.with_state("failed")],
            "queue": queue if self.queue_known else None,
            "remaining_seconds": None if self.remaining_seconds is None else round(self.remaining_seconds),
        }


def study_status(
    plan: Plan,
    duration_of: DurationOf | None,
    tasks: Sequence[QueuedTask] | None,
    in_queue: Mapping[str, QueuedTask],
    stage: str | None = None,
) -> StudyStatus:
    """The status of every run. duration_of: estimated seconds of a run, where known. tasks: those of the study in the
    queue; None without SLURM. in_queue: run id -> its task.
    """
    runs = [_run_status(run, in_queue.get(run.run_id), tasks is not None) for run in plan.runs]
    return StudyStatus(
        study=plan.file.name,
        runs=tuple(runs),
        tasks=tuple(tasks or ()),
        queue_known=tasks is not None,
        prepared=plan.prepared,
        remaining_seconds=_remaining_seconds(runs, duration_of),
        stage=stage,
    )


def _run_status(run: PlannedRun, task: QueuedTask | None, queue_known: bool) -> RunStatus:
    if not (run.folder / "run.json").exists():
        return RunStatus(run, "queued" if task else "missing", 0, None, task, None)
    record = read_record(run.folder)
    recorded = record["status"]
    if recorded in FINAL_STATUSES:
        seconds = record.get("performance", {}).get("wall_seconds")
        return RunStatus(run, recorded, run.config.schedule.total_steps, None, task, seconds)
    step, error = last_step(run.folder), record.get("error")
    state: State = "stopped"
    if recorded == "running" and _is_alive(run.folder, task, queue_known):
        state = "running"
    elif recorded == "failed" and (task is None or task.state != "PENDING"):
        state = "failed"
    elif task is not None:
        state = "queued"
    return RunStatus(run, state, step, error if state == "failed" else None, task, None)


def _is_alive(folder: Path, task: QueuedTask | None, queue_known: bool) -> bool:
    """Whether the process that holds a run's lock exists. On another machine the queue decides; without a queue, the
    record is trusted.
    """
    try:
        words = (folder / "lock").read_text().split()
        process, machine = int(words[1]), words[3].rstrip(",")
    except (OSError, ValueError, IndexError):
        return False
    if machine != socket.gethostname():
        return task is not None and task.state == "RUNNING" if queue_known else True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists and belongs to another user
    return True


def last_step(folder: Path) -> int:
    """The last step in a run's metrics, from the end of the file."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return 0
    for line in reversed(lines[:-1]):  # text after the last line break is torn, and so may be the first line
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            continue
    return 0


def _remaining_seconds(runs: Sequence[RunStatus], duration_of: DurationOf | None) -> float | None:
    """Estimated durations, or FLOPs, of the work that is left, scaled by the wall time of the runs that are done."""
    weight = duration_of or (lambda run: run.new_flops)
    done = [(weight(run.run), run.seconds) for run in runs if run.seconds is not None]
    if duration_of is None and not done:
        return None
    scale = sum(seconds for _, seconds in done) / sum(estimate for estimate, _ in done) if done else 1.0
    left = 0.0
    for run in runs:
        if run.state not in FINAL_STATUSES:
            left += weight(run.run) * (1 - run.tokens_done / max(1, run.run.new_tokens))
    return left * scale
