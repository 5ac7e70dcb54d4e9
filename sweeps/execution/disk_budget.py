"""Checkpoints on disk of a whole plan: deletion trunk by trunk (`checkpoint_retention`), and its disk budget."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from windtunnel.sweeps.execution.checkpoint_retention import release, trunk_run
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train import checkpoint

BYTES_PER_PARAMETER = 12  # the parameter and two moments, in float32
HEADER_BYTES = 64_000  # names and shapes of tensors, and losses not yet written


class Trunks:
    """The runs of a plan that go on from each other, together: what deletion has to look at, and no more."""

    def __init__(self, plan: Plan) -> None:
        self._root: dict[str, str] = {}
        self._members: dict[str, list[PlannedRun]] = {}
        for run in plan.runs:  # parents come first
            root = self._root[run.run_id] = self._root[run.parent] if run.parent else run.run_id
            self._members.setdefault(root, []).append(run)

    def of(self, run_id: str) -> list[PlannedRun]:
        return self._members[self._root[run_id]]

    @property
    def roots(self) -> list[str]:
        return list(self._members)

    def release(self, run_id: str) -> None:
        """Delete what no run of this one's trunk needs any more."""
        release([trunk_run(run) for run in self.of(run_id)])

    def release_all(self) -> None:
        """The same of every trunk: what a process that was killed left."""
        for root in self._members:
            self.release(root)


def peak_bytes(run: PlannedRun) -> float:
    """The most that a run's own checkpoints take at once: milestones, those for resumption, and one being written."""
    number = len(run.config.logging.checkpoint_steps) + run.config.runtime.keep_checkpoints + 1
    return number * (BYTES_PER_PARAMETER * run.parameters.total + HEADER_BYTES)


class DiskBudget:
    """How much of `budget.disk_gigabytes` is taken: by checkpoints that lie there, and by what runs in training may
    yet write.
    """

    def __init__(self, plan: Plan) -> None:
        gigabytes = plan.file.study.budget.disk_gigabytes
        self._plan = plan
        self.limit = None if gigabytes is None else gigabytes * 1e9
        self._lying: dict[str, int] = {}
        self.measure_all()

    def refuse_too_large(self, runs: Sequence[PlannedRun]) -> None:
        """Raises InputError for a run that could never be trained."""
        if self.limit is None or not runs:
            return
        largest = max(runs, key=peak_bytes)
        if peak_bytes(largest) > self.limit:
            raise self._plan.file.fault(
                ("budget", "disk_gigabytes"),
                f"budget.disk_gigabytes: the checkpoints of {largest.run_id} alone take "
                f"{peak_bytes(largest) / 1e9:.3g} GB of {self.limit / 1e9:.3g}: raise it or drop that run",
            )

    def measure(self, runs: Iterable[PlannedRun]) -> None:
        """Look again at what lies there of these runs."""
        if self.limit is not None:
            for run in runs:
                self._lying[run.run_id] = _lying_bytes(run.folder)

    def measure_all(self) -> None:
        self.measure(self._plan.runs)

    def has_room(self, run: PlannedRun, in_training: Iterable[PlannedRun]) -> bool:
        if self.limit is None:
            return True
        busy = {each.run_id: each for each in (*in_training, run)}
        taken = sum(size for name, size in self._lying.items() if name not in busy)
        return taken + sum(map(peak_bytes, busy.values())) <= self.limit

    def shortage(self, run: PlannedRun) -> str:
        """Why a run cannot start although nothing is left that would make room."""
        lying = sum(size for name, size in self._lying.items() if name != run.run_id)
        return (
            f"budget.disk_gigabytes: its checkpoints take {peak_bytes(run) / 1e9:.3g} GB beside the "
            f"{lying / 1e9:.3g} GB that are still needed: raise it"
        )


def _lying_bytes(folder: Path) -> int:
    total = 0
    for found in checkpoint.find(folder):
        try:
            total += found.path.stat().st_size
        except FileNotFoundError:  # pruned in the meantime
            continue
    return total
