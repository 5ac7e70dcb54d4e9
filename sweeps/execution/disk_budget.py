"""The checkpoints of a plan on disk: pruned trunk by trunk, and kept within the disk budget."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from windtunnel.sweeps.execution.checkpoint_retention import make_trunk_run, prune_checkpoints
from windtunnel.sweeps.planning.cost import CHECKPOINT_BYTES_PER_PARAMETER
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train import checkpoint

HEADER_BYTES = 64_000  # upper bound on tensor names and shapes, and losses not written yet


class Trunks:
    """The runs of a plan, grouped by trunk: runs that start from each other's checkpoints."""

    def __init__(self, plan: Plan) -> None:
        self._roots: dict[str, str] = {}
        self._trunks: dict[str, list[PlannedRun]] = {}
        for run in plan.runs:  # parents come first
            root = self._roots[run.run_id] = self._roots[run.parent] if run.parent else run.run_id
            self._trunks.setdefault(root, []).append(run)

    def trunk_of(self, run_id: str) -> list[PlannedRun]:
        """All runs of the trunk that a run belongs to, parents first."""
        return self._trunks[self._roots[run_id]]

    def prune(self, run_id: str) -> None:
        """Delete the checkpoints that no run of this run's trunk needs."""
        prune_checkpoints([make_trunk_run(run) for run in self.trunk_of(run_id)])

    def prune_all(self) -> None:
        """Prune every trunk, also of what a killed process left."""
        for root in self._trunks:
            self.prune(root)


def max_checkpoint_bytes(run: PlannedRun) -> float:
    """Upper bound on the checkpoints of a run at one time: milestones, those for resumption, and one being written."""
    number = len(run.config.logging.checkpoint_steps) + run.config.runtime.keep_checkpoints + 1
    return number * (CHECKPOINT_BYTES_PER_PARAMETER * run.parameters.total + HEADER_BYTES)


class DiskBudget:
    """The use of `budget.disk_gigabytes`: existing checkpoints, and what runs in training can still write."""

    def __init__(self, plan: Plan) -> None:
        gigabytes = plan.file.study.budget.disk_gigabytes
        self._plan = plan
        self.limit = None if gigabytes is None else gigabytes * 1e9
        self._existing: dict[str, int] = {}  # bytes by run id
        self.measure_all()

    def check_largest(self, runs: Sequence[PlannedRun]) -> None:
        """Raises InputError where one run alone exceeds the limit."""
        if self.limit is None or not runs:
            return
        largest = max(runs, key=max_checkpoint_bytes)
        if max_checkpoint_bytes(largest) > self.limit:
            raise self._plan.file.error_at(
                ("budget", "disk_gigabytes"),
                f"budget.disk_gigabytes: the checkpoints of {largest.run_id} alone take "
                f"{max_checkpoint_bytes(largest) / 1e9:.3g} GB of {self.limit / 1e9:.3g}: raise it or drop that run",
            )

    def measure(self, runs: Iterable[PlannedRun]) -> None:
        """Update the bytes of the existing checkpoints of these runs."""
        if self.limit is not None:
            for run in runs:
                self._existing[run.run_id] = _existing_bytes(run.folder)

    def measure_all(self) -> None:
        self.measure(self._plan.runs)

    def has_room(self, run: PlannedRun, in_training: Iterable[PlannedRun]) -> bool:
        """Whether a run fits beside those in training."""
        if self.limit is None:
            return True
        active = {other.run_id: other for other in (*in_training, run)}
        used = sum(size for name, size in self._existing.items() if name not in active)
        return used + sum(map(max_checkpoint_bytes, active.values())) <= self.limit

    def shortage(self, run: PlannedRun) -> str:
        """The error of a run that cannot start although nothing more can be deleted."""
        used = sum(size for name, size in self._existing.items() if name != run.run_id)
        return (
            f"budget.disk_gigabytes: its checkpoints take {max_checkpoint_bytes(run) / 1e9:.3g} GB beside the "
            f"{used / 1e9:.3g} GB that are still needed: raise it"
        )


def _existing_bytes(folder: Path) -> int:
    total = 0
    for saved in checkpoint.find(folder):
        try:
            total += saved.path.stat().st_size
        except FileNotFoundError:  # pruned in the meantime
            continue
    return total
