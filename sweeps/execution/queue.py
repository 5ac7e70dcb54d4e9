"""The queue of the runs of a study: which can start, and in which order.

A run waits for the checkpoint that it starts from where this launcher trains the run that writes it. Otherwise it
starts at once, from an earlier checkpoint or from scratch, with the same numbers.
"""

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass

from windtunnel.sweeps.execution.job import Job, can_start, make_job
from windtunnel.sweeps.planning.cost import critical_paths
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError

BUSY_SECONDS = 1.0  # between attempts at a run that another process trains


@dataclass
class QueuedRun:
    """A run to train."""

    run: PlannedRun
    job: Job
    rank: tuple[float, int]  # the smallest starts first
    attempts: int = 0  # that did not end
    holder: str | None = None  # the other process that trains it
    stamp: tuple[int, ...] = ()  # of its files (`windtunnel.sweeps.execution.run_progress.file_stamp`)
    stamp_time: float = 0.0  # when the stamp last changed (monotonic seconds)


class RunQueue:
    """Runs that are ready, that wait for a checkpoint, or that another process has locked."""

    def __init__(self, plan: Plan, runs: Sequence[PlannedRun]) -> None:
        paths = flops_to_end(plan)
        self._open = {run.run_id for run in runs}  # neither ended nor given up
        self._ready: list[tuple[tuple[float, int], QueuedRun]] = []
        self._waiting: dict[str, list[QueuedRun]] = {}  # by the run whose checkpoint they wait for
        self._held: list[tuple[float, QueuedRun]] = []  # with the time of the next attempt
        for index, run in enumerate(runs):
            queued = QueuedRun(run, make_job(plan, run), (-paths[run.run_id], index))
            if run.parent in self._open and not _can_start(queued):
                self._waiting.setdefault(run.parent, []).append(queued)
            else:
                self.put(queued)

    @property
    def num_open(self) -> int:
        return len(self._open)

    @property
    def num_ready(self) -> int:
        return len(self._ready)

    def put(self, queued: QueuedRun) -> None:
        heapq.heappush(self._ready, (queued.rank, queued))

    def take(self) -> QueuedRun:
        """The ready run with the longest critical path."""
        return heapq.heappop(self._ready)[1]

    def put_held(self, queued: QueuedRun) -> None:
        """Queue a run that another process holds."""
        self._held.append((time.monotonic() + BUSY_SECONDS, queued))

    def take_held(self) -> list[QueuedRun]:
        """The held runs whose next attempt is due."""
        now = time.monotonic()
        due = [queued for when, queued in self._held if when <= now]
        self._held = [(when, queued) for when, queued in self._held if when > now]
        return due

    @property
    def held(self) -> list[QueuedRun]:
        return [queued for _, queued in self._held]

    def update_waiting(self, run_id: str) -> None:
        """Make ready what waits for a checkpoint of this run that now exists."""
        self._release(run_id, [queued for queued in self._waiting.get(run_id, ()) if _can_start(queued)])

    def close(self, run_id: str) -> None:
        """This run has ended or is given up. What waits for it becomes ready."""
        self._open.discard(run_id)
        self._release(run_id, list(self._waiting.get(run_id, ())))

    def _release(self, run_id: str, released: Sequence[QueuedRun]) -> None:
        for queued in released:
            self._waiting[run_id].remove(queued)
            self.put(queued)


def _can_start(queued: QueuedRun) -> bool:
    try:
        return can_start(queued.job)
    except InputError:  # a damaged record is reported when its run starts
        return False


def flops_to_end(plan: Plan) -> dict[str, float]:
    """FLOPs (6 N D) on the critical path from the start of each run, by run id."""

    def flops_to_branch(branch: PlannedRun) -> float:
        parent = plan.by_id[branch.parent or ""]
        tokens = (branch.parent_step - parent.parent_step) * parent.config.tokens_per_step
        return 6.0 * parent.parameters.total * tokens

    return critical_paths(plan.runs, lambda run: run.new_flops, flops_to_branch)
