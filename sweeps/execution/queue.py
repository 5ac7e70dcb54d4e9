"""The queue of a study's runs: which may start, and in which order.

A run waits for the checkpoint that it goes on from where this launcher trains the run that keeps it; otherwise it
starts at once, from an earlier checkpoint or from scratch, to the same numbers.
"""

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass

from windtunnel.sweeps.execution.job import Job, job_of, may_start
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.errors import InputError

BUSY_SECONDS = 1.0  # between looks at a run that another process trains


@dataclass
class Entry:
    """A run to train."""

    run: PlannedRun
    job: Job
    rank: tuple[float, int]  # the least comes first
    attempts: int = 0  # begun here without coming to an end
    held: str | None = None  # by another process, in its words
    trace: tuple[int, ...] = ()  # of its records when last looked at
    changed: float = 0.0  # when that last changed (monotonic seconds)


class RunQueue:
    """Entries that are ready, wait for another's checkpoint, or are held by another process."""

    def __init__(self, plan: Plan, runs: Sequence[PlannedRun]) -> None:
        paths = critical_paths(plan)
        self._open = {run.run_id for run in runs}  # neither ended nor given up
        self._ready: list[tuple[tuple[float, int], Entry]] = []
        self._waiting: dict[str, list[Entry]] = {}  # by the run whose checkpoint they wait for
        self._held: list[tuple[float, Entry]] = []  # with the time of the next look
        for place, run in enumerate(runs):
            entry = Entry(run, job_of(plan, run), (-paths[run.run_id], place))
            if run.parent in self._open and not _may_start(entry):
                self._waiting.setdefault(run.parent, []).append(entry)
            else:
                self.put(entry)

    @property
    def num_open(self) -> int:
        return len(self._open)

    @property
    def num_ready(self) -> int:
        return len(self._ready)

    def put(self, entry: Entry) -> None:
        heapq.heappush(self._ready, (entry.rank, entry))

    def take(self) -> Entry:
        """The ready one with the longest path before the end of the study."""
        return heapq.heappop(self._ready)[1]

    def put_held(self, entry: Entry) -> None:
        self._held.append((time.monotonic() + BUSY_SECONDS, entry))

    def take_held(self) -> list[Entry]:
        """Those that another process held, when it is time to look again."""
        now = time.monotonic()
        due = [entry for when, entry in self._held if when <= now]
        self._held = [(when, entry) for when, entry in self._held if when > now]
        return due

    @property
    def held(self) -> list[Entry]:
        return [entry for _, entry in self._held]

    def look(self, run_id: str) -> None:
        """Make ready what waits for a checkpoint of this run that is there now."""
        self._release(run_id, [entry for entry in self._waiting.get(run_id, ()) if _may_start(entry)])

    def close(self, run_id: str) -> None:
        """This run has ended or is given up: nothing more will come of it."""
        self._open.discard(run_id)
        self._release(run_id, list(self._waiting.get(run_id, ())))

    def _release(self, run_id: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._waiting[run_id].remove(entry)
            self.put(entry)


def _may_start(entry: Entry) -> bool:
    try:
        return may_start(entry.job)
    except InputError:  # a broken record is told of when its run is begun
        return False


def critical_paths(plan: Plan) -> dict[str, float]:
    """FLOPs (6 N D) from the start of each run to the end of the last that waits for it, by id.

    A run that goes on from another's checkpoint waits for that step only, not for the other's end.
    """
    longest: dict[str, float] = {}
    for run in reversed(plan.runs):  # parents come before their branches in a plan
        longest[run.run_id] = max(longest.get(run.run_id, 0.0), _flops(run, run.new_tokens))
        if run.parent is not None:
            parent = plan.by_id[run.parent]
            tokens = (run.parent_step - parent.parent_step) * parent.config.tokens_per_step
            through = _flops(parent, tokens) + longest[run.run_id]
            longest[run.parent] = max(longest.get(run.parent, 0.0), through)
    return longest


def _flops(run: PlannedRun, tokens: int) -> float:
    return 6.0 * run.parameters.total * tokens
