"""How a plan will go over a number of workers: when it ends, and how much disk its checkpoints take on the way.

The family is trained first, then the targets. A worker takes the run with the longest path still before the end; a run
may start as soon as the checkpoint that it goes on from exists. Checkpoints go when no run still needs them: those to
branch from when the last run that starts there has ended, a finished family run's own at once. What the study file
asks for and the last of each target stay.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from windtunnel.sweeps.planning.cost import (
    Pace,
    Shape,
    checkpoint_bytes,
    record_bytes,
    seconds_between,
    seconds_of,
    shape_of,
)
from windtunnel.sweeps.study.plan import Plan, PlannedRun, Role


@dataclass(frozen=True)
class Timeline:
    """seconds: until the last run ends. longest_path: what no number of workers would go below. work: summed over all
    runs. Bytes are of checkpoints and records together.
    """

    seconds: float
    longest_path: float
    work: float
    peak_bytes: int
    left_bytes: int
    seconds_by_id: Mapping[str, float]


def simulate(plan: Plan, paces: Mapping[Shape, Pace], workers: int) -> Timeline:
    seconds_by_id = {run.run_id: seconds_of(run, paces[shape_of(run.config)]) for run in plan.runs}
    clock = _Clock(plan, paces, seconds_by_id, max(1, workers))
    longest = sum(clock.advance(plan.of(role)) for role in get_args(Role))
    records = sum(record_bytes(run.config, _domains(run), seconds_by_id[run.run_id]) for run in plan.runs)
    return Timeline(
        seconds=clock.now,
        longest_path=longest,
        work=sum(seconds_by_id.values()),
        peak_bytes=clock.disk.peak + records,
        left_bytes=clock.disk.taken + records,
        seconds_by_id=seconds_by_id,
    )


class _Clock:
    """Goes from event to event: a run ends, or reaches the checkpoint from which another starts."""

    def __init__(self, plan: Plan, paces: Mapping[Shape, Pace], seconds_by_id: dict[str, float], workers: int) -> None:
        self.plan, self.paces, self.seconds, self.workers = plan, paces, seconds_by_id, workers
        self.places = {run.run_id: place for place, run in enumerate(plan.runs)}
        self.children: dict[str, list[PlannedRun]] = {}
        for run in plan.runs:
            if run.parent is not None:
                self.children.setdefault(run.parent, []).append(run)
        self.disk = _Disk(self.children)
        self.now = 0.0

    def advance(self, runs: Sequence[PlannedRun]) -> float:
        """Train all of these, whose other ancestors are trained already. Returns the longest path through them."""
        paths, among = self._paths(runs), {run.run_id for run in runs}
        ready = [(-paths[run.run_id], self.places[run.run_id], run) for run in runs if run.parent not in among]
        heapq.heapify(ready)
        # (time, place in the plan, whether the run ends, the run): equal times in the order of the plan, so that a plan
        # has one timeline.
        events: list[tuple[float, int, bool, PlannedRun]] = []
        free = self.workers
        while ready or events:
            while ready and free:
                _, place, run = heapq.heappop(ready)
                free -= 1
                self.disk.begin(run)
                heapq.heappush(events, (self.now + self.seconds[run.run_id], place, True, run))
                for child in self.children.get(run.run_id, ()):
                    at = self.now + self._until(child)
                    heapq.heappush(events, (at, self.places[child.run_id], False, child))
            self.now, place, ends, run = heapq.heappop(events)
            if ends:
                free += 1
                self.disk.end(run, self.plan)
            else:
                self.disk.branch(run, self.plan)
                if run.run_id in among:
                    heapq.heappush(ready, (-paths[run.run_id], place, run))
        return max(paths.values(), default=0.0)

    def _until(self, child: PlannedRun) -> float:
        """Seconds from its parent's start until it may start itself."""
        parent = self.plan.by_id[child.parent or ""]
        pace = self.paces[shape_of(parent.config)]
        return pace.start + seconds_between(parent.config, pace, parent.parent_step, child.parent_step)

    def _paths(self, runs: Sequence[PlannedRun]) -> dict[str, float]:
        """From each run's start to the end of the last of these runs that waits for it."""
        paths = {run.run_id: self.seconds[run.run_id] for run in runs}
        for run in reversed(runs):  # parents come before their branches in a plan
            if run.parent in paths:
                paths[run.parent] = max(paths[run.parent], self._until(run) + paths[run.run_id])
        return paths


class _Disk:
    """Bytes of checkpoints that lie there at the moment, and the most there were."""

    def __init__(self, children: Mapping[str, list[PlannedRun]]) -> None:
        self.taken = self.peak = 0
        self._waiting: dict[tuple[str, int], int] = {}  # runs that still need a checkpoint
        for run_id, branches in children.items():
            for child in branches:
                key = (run_id, child.parent_step)
                self._waiting[key] = self._waiting.get(key, 0) + 1
        self._kept: set[tuple[str, int]] = set()

    def _add(self, number: int, run: PlannedRun) -> None:
        self.taken += number * checkpoint_bytes(run.config)
        self.peak = max(self.peak, self.taken)

    def begin(self, run: PlannedRun) -> None:
        """Those for resumption, one being written, and from now on what the file asks for."""
        self._add(run.config.runtime.keep_checkpoints + 1 + len(run.asked_checkpoint_steps), run)

    def branch(self, run: PlannedRun, plan: Plan) -> None:
        """The checkpoint that this run goes on from has come to be."""
        key = (run.parent or "", run.parent_step)
        parent = plan.by_id[key[0]]
        if key not in self._kept and run.parent_step not in parent.asked_checkpoint_steps:
            self._kept.add(key)
            self._add(1, parent)

    def end(self, run: PlannedRun, plan: Plan) -> None:
        self._add(-(run.config.runtime.keep_checkpoints + 1) + (run.role == "target"), run)
        if run.parent is not None:
            key = (run.parent, run.parent_step)
            self._waiting[key] -= 1
            if not self._waiting[key] and key in self._kept:
                self._kept.discard(key)
                self._add(-1, plan.by_id[run.parent])


def _domains(run: PlannedRun) -> int:
    """At most so many losses in an evaluation: the whole, and each domain."""
    return 1 + run.config.data.spec.count("+")
