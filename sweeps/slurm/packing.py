"""Pack runs into the tasks of a SLURM array by estimated time: trunks stay whole, and short ones share a task."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from windtunnel.sweeps.study.plan import Plan, PlannedRun

DurationOf = Callable[[PlannedRun], float]  # seconds


@dataclass(frozen=True)
class TrunkChain:
    """Runs of one trunk, each after the run whose checkpoint it continues. One worker trains them all, so none waits
    for another job.
    """

    runs: tuple[PlannedRun, ...]
    seconds: float


@dataclass(frozen=True)
class Lane:
    """The runs that one worker of a task trains, in order."""

    runs: tuple[PlannedRun, ...]
    seconds: float


@dataclass(frozen=True)
class Task:
    """One job of an array. Its lanes run in parallel."""

    lanes: tuple[Lane, ...]

    @property
    def seconds(self) -> float:
        return max(lane.seconds for lane in self.lanes)


def trunk_chains(plan: Plan, runs: Sequence[PlannedRun], duration_of: DurationOf) -> list[TrunkChain]:
    """The chains of these runs, in the order of the plan, which has parents first."""
    included = {run.run_id for run in runs}
    roots: dict[str, str] = {}
    members: dict[str, list[PlannedRun]] = {}
    for run in plan.runs:
        root = roots[run.run_id] = roots[run.parent] if run.parent is not None else run.run_id
        if run.run_id in included:
            members.setdefault(root, []).append(run)
    return [TrunkChain(tuple(chain), sum(map(duration_of, chain))) for chain in members.values()]


def pack(
    chains: Sequence[TrunkChain], *, target_seconds: float, workers: int = 1, max_tasks: int | None = None
) -> list[Task]:
    """Tasks of about `target_seconds` each, at most `max_tasks`. The longest chain comes first, into the lane with the
    least work.
    """
    total = sum(chain.seconds for chain in chains)
    lane_count = math.ceil(total / target_seconds)
    if max_tasks is not None:
        lane_count = min(lane_count, max_tasks * workers)
    lane_count = max(1, min(lane_count, len(chains)))
    assigned: list[list[TrunkChain]] = [[] for _ in range(lane_count)]
    load = [(0.0, index) for index in range(lane_count)]
    for chain in sorted(chains, key=lambda chain: -chain.seconds):
        seconds, index = heapq.heappop(load)
        assigned[index].append(chain)
        heapq.heappush(load, (seconds + chain.seconds, index))
    lanes = [
        Lane(tuple(run for chain in lane for run in chain.runs), sum(chain.seconds for chain in lane))
        for lane in assigned
        if lane
    ]
    lanes.sort(key=lambda lane: -lane.seconds)  # lanes of similar length share a task, so that none idles for long
    return [Task(tuple(lanes[first : first + workers])) for first in range(0, len(lanes), workers)]
