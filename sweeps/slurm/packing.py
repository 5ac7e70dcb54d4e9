"""Runs into the tasks of a SLURM array: chains kept whole, tiny ones together, by estimated time."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from windtunnel.sweeps.study.plan import Plan, PlannedRun

Seconds = Callable[[PlannedRun], float]


@dataclass(frozen=True)
class Chain:
    """Runs of one trunk in the order in which each finds the checkpoint it goes on from: one worker trains them all, so
    none waits for another job.
    """

    runs: tuple[PlannedRun, ...]
    seconds: float


@dataclass(frozen=True)
class Lane:
    """What one worker of a task trains, one after the other."""

    runs: tuple[PlannedRun, ...]
    seconds: float


@dataclass(frozen=True)
class Task:
    """One job of an array: its lanes run side by side."""

    lanes: tuple[Lane, ...]

    @property
    def seconds(self) -> float:
        return max(lane.seconds for lane in self.lanes)


def chains(plan: Plan, runs: Sequence[PlannedRun], seconds_of: Seconds) -> list[Chain]:
    """The chains of these runs of a plan, in its order, which puts parents first."""
    wanted = {run.run_id for run in runs}
    roots: dict[str, str] = {}
    members: dict[str, list[PlannedRun]] = {}
    for run in plan.runs:
        root = roots[run.run_id] = roots[run.parent] if run.parent is not None else run.run_id
        if run.run_id in wanted:
            members.setdefault(root, []).append(run)
    return [Chain(tuple(found), sum(map(seconds_of, found))) for found in members.values()]


def pack(
    found: Sequence[Chain], *, target_seconds: float, workers: int = 1, most_tasks: int | None = None
) -> list[Task]:
    """Tasks of about `target_seconds` each, no more than `most_tasks`: the longest chain first, into the lane with the
    least work.
    """
    total = sum(chain.seconds for chain in found)
    lane_count = math.ceil(total / target_seconds)
    if most_tasks is not None:
        lane_count = min(lane_count, most_tasks * workers)
    lane_count = max(1, min(lane_count, len(found)))
    lanes: list[list[Chain]] = [[] for _ in range(lane_count)]
    load = [(0.0, place) for place in range(lane_count)]
    for chain in sorted(found, key=lambda chain: -chain.seconds):
        seconds, place = heapq.heappop(load)
        lanes[place].append(chain)
        heapq.heappush(load, (seconds + chain.seconds, place))
    filled = [
        Lane(tuple(run for chain in each for run in chain.runs), sum(chain.seconds for chain in each))
        for each in lanes
        if each
    ]
    filled.sort(key=lambda lane: -lane.seconds)  # lanes of like length share a task: none idles for long
    return [Task(tuple(filled[first : first + workers])) for first in range(0, len(filled), workers)]
