"""How far a study is, from its records and SLURM's queue alone: no other state is kept, so any login node can tell."""

import json
import os
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from windtunnel.sweeps.pipeline.stage import Stage
from windtunnel.sweeps.planning.summary import new_flops
from windtunnel.sweeps.slurm.continuation import continuation_of
from windtunnel.sweeps.slurm.packing import Seconds
from windtunnel.sweeps.slurm.queue import QueuedTask
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.records import FINAL, Json, read_record

# `stopped` was begun, has no process and is not in the queue; `missing` was never begun and is not in the queue.
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
    seconds: float | None  # that a run with a result took

    @property
    def tokens_done(self) -> int:
        """Of those that no other run of the plan trains."""
        if self.state in FINAL:
            return self.run.new_tokens
        return max(0, self.step - self.run.parent_step) * self.run.config.tokens_per_step


@dataclass(frozen=True)
class StudyStatus:
    study: str
    runs: tuple[RunStatus, ...]
    tasks: tuple[QueuedTask, ...]
    queue_known: bool
    prepared: bool  # False: the data are not at hand, and without them the ids of runs are not known
    remaining_seconds: float | None  # of work, one run after the other; None: not known
    stage: Stage | None = None  # of the closed loop

    @property
    def continuation(self) -> QueuedTask | None:
        """The job in the queue that goes on with the closed loop."""
        return continuation_of(self.tasks)

    def count(self) -> dict[State, int]:
        found = Counter(each.state for each in self.runs)
        return {state: found[state] for state in STATES}

    def of(self, state: State) -> list[RunStatus]:
        return [each for each in self.runs if each.state == state]

    def document(self) -> Json:
        tokens = {
            "done": sum(each.tokens_done for each in self.runs),
            "planned": sum(each.run.new_tokens for each in self.runs),
        }
        return {
            "study": self.study,
            "runs": len(self.runs),
            "prepared": self.prepared,
            "stage": self.stage,
            "continuation": self.continuation.job if self.continuation else None,
            "counts": dict(self.count()),
            "tokens": tokens,
            "running": [
                {
                    "run_id": each.run.run_id,
                    "step": each.step,
                    "total_steps": each.run.config.schedule.total_steps,
                    "job": each.task.name if each.task else None,
                }
                for each in self.of("running")
            ],
            "failed": [{"run_id": each.run.run_id, "error": each.error} for each in self.of("failed")],
            "queue": [{"job": task.name, "state": task.state, "reason": task.reason} for task in self.tasks]
            if self.queue_known
            else None,
            "remaining_seconds": None if self.remaining_seconds is None else round(self.remaining_seconds),
        }


def study_status(
    plan: Plan,
    seconds_of: Seconds | None,
    tasks: Sequence[QueuedTask] | None,
    in_queue: Mapping[str, QueuedTask],
    stage: Stage | None = None,
) -> StudyStatus:
    """The status of every run; `seconds_of` is what they are foreseen to take, where that is known. `tasks` are the
    study's in the queue and `in_queue` those that runs are part of; None where there is no queue to ask.
    """
    found = [_status(run, in_queue.get(run.run_id), tasks is not None) for run in plan.runs]
    return StudyStatus(
        study=plan.file.name,
        runs=tuple(found),
        tasks=tuple(tasks or ()),
        queue_known=tasks is not None,
        prepared=plan.prepared,
        remaining_seconds=_remaining(found, seconds_of),
        stage=stage,
    )


def _status(run: PlannedRun, task: QueuedTask | None, queue_known: bool) -> RunStatus:
    if not (run.folder / "run.json").exists():
        return RunStatus(run, "queued" if task else "missing", 0, None, task, None)
    record = read_record(run.folder)
    recorded = record["status"]
    if recorded in FINAL:
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
    """Whether the process that holds a run's lock is there. On another machine the queue says so; where there is none,
    the record is believed.
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
        pass  # another user's: there it is
    return True


def last_step(folder: Path) -> int:
    """The last step in a run's curve, from the end of the file."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return 0
    # What follows the last line end is torn, and so may be what comes before the first one.
    for line in reversed(lines[:-1]):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            continue
    return 0


def _remaining(found: Sequence[RunStatus], seconds_of: Seconds | None) -> float | None:
    """Seconds of work left: the estimate, else the FLOPs, corrected by what the runs that are done took."""
    weigh = seconds_of or new_flops
    done = [(weigh(each.run), each.seconds) for each in found if each.seconds is not None]
    if seconds_of is None and not done:
        return None
    correction = sum(seconds for _, seconds in done) / sum(guess for guess, _ in done) if done else 1.0
    left = 0.0
    for each in found:
        if each.state not in FINAL:
            left += weigh(each.run) * (1 - each.tokens_done / max(1, each.run.new_tokens))
    return left * correction
