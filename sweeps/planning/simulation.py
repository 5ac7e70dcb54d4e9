"""Simulates a plan on a number of workers: when it ends, and how much disk its checkpoints take.

The family trains first, then the targets. A worker takes the run with the longest critical path. A run can start as
soon as the checkpoint that it starts from exists. Checkpoints are deleted when no run needs them: a branch point when
the last run that starts from it has ended, the checkpoints of a family run when it ends. The checkpoints that the study
file requests and the last one of each target stay.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from windtunnel.sweeps.planning.cost import (
    StepShape,
    Timing,
    checkpoint_bytes,
    critical_paths,
    record_bytes,
    seconds_between,
    step_shape,
    training_seconds,
)
from windtunnel.sweeps.study.plan import Plan, PlannedRun, Role


@dataclass(frozen=True)
class Timeline:
    """The result of a simulation. Bytes are of checkpoints and records together."""

    seconds: float  # until the last run ends
    longest_path: float  # seconds with any number of workers
    work: float  # seconds, summed over all runs
    peak_bytes: int
    left_bytes: int  # at the end
    seconds_by_id: Mapping[str, float]


def simulate(plan: Plan, timings: Mapping[StepShape, Timing], workers: int) -> Timeline:
    seconds_by_id = {run.run_id: training_seconds(run, timings[step_shape(run.config)]) for run in plan.runs}
    simulator = _Simulator(plan, timings, seconds_by_id, max(1, workers))
    longest = sum(simulator.train(plan.runs_of(role)) for role in get_args(Role))
    records = sum(record_bytes(run.config, _num_domains(run), seconds_by_id[run.run_id]) for run in plan.runs)
    return Timeline(
        seconds=simulator.now,
        longest_path=longest,
        work=sum(seconds_by_id.values()),
        peak_bytes=simulator.disk.peak + records,
        left_bytes=simulator.disk.used + records,
        seconds_by_id=seconds_by_id,
    )


class _Simulator:
    """Advances from event to event: a run ends, or reaches the checkpoint from which another starts."""

    def __init__(
        self, plan: Plan, timings: Mapping[StepShape, Timing], seconds_by_id: dict[str, float], workers: int
    ) -> None:
        self._plan, self._timings, self._seconds, self._workers = plan, timings, seconds_by_id, workers
        self._indices = {run.run_id: index for index, run in enumerate(plan.runs)}
        self._branches: dict[str, list[PlannedRun]] = {}
        for run in plan.runs:
            if run.parent is not None:
                self._branches.setdefault(run.parent, []).append(run)
        self.disk = _DiskUsage(plan)
        self.now = 0.0

    def train(self, runs: Sequence[PlannedRun]) -> float:
        """Train these runs, whose other ancestors are trained. Returns the longest path through them, in seconds."""
        paths = critical_paths(runs, lambda run: self._seconds[run.run_id], self._seconds_to_branch)
        ready = [(-paths[run.run_id], self._indices[run.run_id], run) for run in runs if run.parent not in paths]
        heapq.heapify(ready)
        # (time, index in the plan, whether the run ends, run). The index orders events of equal time, so that a plan
        # has one timeline.
        events: list[tuple[float, int, bool, PlannedRun]] = []
        free_workers = self._workers
        while ready or events:
            while ready and free_workers:
                _, index, run = heapq.heappop(ready)
                free_workers -= 1
                self.disk.start(run)
                heapq.heappush(events, (self.now + self._seconds[run.run_id], index, True, run))
                for branch in self._branches.get(run.run_id, ()):
                    time = self.now + self._seconds_to_branch(branch)
                    heapq.heappush(events, (time, self._indices[branch.run_id], False, branch))
            self.now, index, ends, run = heapq.heappop(events)
            if ends:
                free_workers += 1
                self.disk.end(run)
            else:
                self.disk.add_branch_point(run)
                if run.run_id in paths:
                    heapq.heappush(ready, (-paths[run.run_id], index, run))
        return max(paths.values(), default=0.0)

    def _seconds_to_branch(self, branch: PlannedRun) -> float:
        """Seconds from the start of its parent until a branch can start."""
        parent = self._plan.by_id[branch.parent or ""]
        timing = self._timings[step_shape(parent.config)]
        return timing.start + seconds_between(parent.config, timing, parent.parent_step, branch.parent_step)


class _DiskUsage:
    """Bytes of the checkpoints that exist, and their maximum so far."""

    def __init__(self, plan: Plan) -> None:
        self.used = self.peak = 0
        self._plan = plan
        self._waiting: dict[tuple[str, int], int] = {}  # branch point -> runs that still need it
        for run in plan.runs:
            if run.parent is not None:
                key = (run.parent, run.parent_step)
                self._waiting[key] = self._waiting.get(key, 0) + 1
        self._branch_points: set[tuple[str, int]] = set()

    def _add(self, number: int, run: PlannedRun) -> None:
        self.used += number * checkpoint_bytes(run.config)
        self.peak = max(self.peak, self.used)

    def start(self, run: PlannedRun) -> None:
        """Reserves the checkpoints for resumption, one being written, and those that the study file requests."""
        self._add(run.config.runtime.keep_checkpoints + 1 + len(run.requested_checkpoint_steps), run)

    def add_branch_point(self, run: PlannedRun) -> None:
        """The checkpoint that this run starts from now exists."""
        key = (run.parent or "", run.parent_step)
        parent = self._plan.by_id[key[0]]
        if key not in self._branch_points and run.parent_step not in parent.requested_checkpoint_steps:
            self._branch_points.add(key)
            self._add(1, parent)

    def end(self, run: PlannedRun) -> None:
        self._add(-(run.config.runtime.keep_checkpoints + 1) + (run.role == "target"), run)
        if run.parent is not None:
            key = (run.parent, run.parent_step)
            self._waiting[key] -= 1
            if not self._waiting[key] and key in self._branch_points:
                self._branch_points.discard(key)
                self._add(-1, self._plan.by_id[run.parent])


def _num_domains(run: PlannedRun) -> int:
    """Upper bound on the losses of one evaluation: the whole, and each domain."""
    return 1 + run.config.data.spec.count("+")
